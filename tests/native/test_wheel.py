"""What is shipped: the wheel, in an environment that has numpy and click and nothing else.

`make test` builds `dist/` first. Called alone, a wheel that is older than a source is built anew, aside.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from _small_programs import SmallProgram

pytestmark = pytest.mark.native

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("CMakeLists.txt", "pyproject.toml", "runtime", "lerg_edge", "exporter/lerg_exporter")
MAX_WHEEL_BYTES = 8 << 20
ENGINE = {"libexecutorch.so", "libexecutorch_kernels_optimized.so", "libexecutorch_threadpool.so"}


def newest_source() -> float:
    files = [path for name in SOURCES for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_file()]
    return max(path.stat().st_mtime for path in files if "__pycache__" not in path.parts)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sources as they are."""
    for built in (ROOT / "dist").glob("lerg_edge-*.whl"):
        if built.stat().st_mtime >= newest_source():
            return built
    folder = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "-w", str(folder), str(ROOT)], check=True)
    return next(folder.glob("lerg_edge-*.whl"))


@pytest.fixture(scope="session")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel and what it requires: numpy and click."""
    folder = tmp_path_factory.mktemp("device")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    subprocess.run([*pip, str(wheel)], check=True)
    return python


def run(python: Path, code: str, *arguments: str) -> str:
    """Standard output of a program that sees nothing of this environment."""
    command = [str(python), "-I", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}, cwd="/").stdout


def test_the_wheel_holds_the_engine_and_no_build_leftovers(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    beside = {Path(name).name for name in names if name.startswith("lerg_runtime/")}
    assert {*ENGINE, "liblerg_kernels.so", "errors.py", "_native.pyi", "LICENSE.executorch"} <= beside
    assert any(name.startswith("_native.") and name.endswith(".so") for name in beside)
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {
        "lerg_edge",
        "lerg_exporter",
        "lerg_runtime",
    }
    assert not [name for name in names if re.search(r"__pycache__|\.(cpp|h|a|pyc)$", name)]


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf, of binutils, is not installed")
def test_the_libraries_are_found_beside_the_module_and_nowhere_else(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    libraries = sorted((tmp_path / "lerg_runtime").glob("*.so"))
    assert len(libraries) == 5
    for library in libraries:
        dynamic = subprocess.run(
            ["readelf", "-d", str(library)], capture_output=True, text=True, check=True
        ).stdout
        assert re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", dynamic) == ["$ORIGIN"], library.name
        if not library.name.startswith("_native"):
            # A process that also loads ExecuTorch's own copy finds by this name that it has one already.
            assert re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) == [library.name]
        content = library.read_bytes()
        for folder in (ROOT, Path(sys.prefix)):
            assert str(folder).encode() not in content, f"{library.name} names {folder}"


IMPORTABLE = """
import importlib.util, json, sys
print(json.dumps([importlib.util.find_spec(name) is not None for name in sys.argv[1:]]))
"""


def test_the_device_has_neither_torch_nor_executorch(device: Path) -> None:
    names = ["torch", "executorch", "scipy", "numpy", "click", "lerg_runtime"]
    assert json.loads(run(device, IMPORTABLE, *names)) == [False, False, False, True, True, True]


PROGRAM = """
import json, sys
import numpy as np
from lerg_runtime import _native
budget = _native.Budget(1 << 20)
program = _native.Program(sys.argv[1], budget)
product = program.load("dense").execute(np.ones((1, 8), np.float32), np.arange(2))[0]
given = {"codebook": np.ones((20, 4), np.float32), "step": np.ones(1, np.float32)}
finetune = program.load("finetune", given)
losses = []
for _ in range(5):
    loss, gradient, *_ = finetune.execute(np.arange(4), np.arange(4) + 5)
    losses.append(float(loss))
    _native.sgd_step(given["codebook"], gradient, None, learning_rate=1.0)
loaded = [name for name in ("torch", "executorch") if name in sys.modules]
print(json.dumps({"product": product.tolist(), "losses": losses, "peak": budget.peak, "loaded": loaded}))
"""


def test_the_device_runs_a_program(device: Path, small: SmallProgram) -> None:
    found = json.loads(run(device, PROGRAM, small.path))
    expected = np.ones((1, 8), np.float32) @ small.weight.T + small.bias
    np.testing.assert_allclose(found["product"], expected, rtol=1e-5)
    assert found["losses"] == sorted(found["losses"], reverse=True)
    assert found["losses"][-1] < found["losses"][0]
    assert 0 < found["peak"] <= 1 << 20
    assert found["loaded"] == []


def test_the_device_has_the_command(device: Path) -> None:
    done = subprocess.run(
        [str(device.parent / "lerg-edge"), "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={},
        cwd="/",
    )
    assert "recommend" in done.stdout
