"""What is shipped: the wheel, in an environment that has what it requires and nothing else.

`make test` builds `dist/` first. Called alone, a wheel that is older than a source is built anew, aside.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from _wheel_checks import (
    ROOT,
    check_libraries,
    check_wheel,
    imported_symbols,
    installed_bytes,
    newest_source,
)

if TYPE_CHECKING:
    from _small_programs import SmallProgram

pytestmark = pytest.mark.native

MAX_WHEEL_BYTES = 8 << 20
ENGINE = {"libexecutorch.so", "libexecutorch_kernels_optimized.so", "libexecutorch_threadpool.so"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sources as they are."""
    stamp = ROOT / "dist" / ".built"
    if stamp.is_file() and stamp.stat().st_mtime >= newest_source():
        return next((ROOT / "dist").glob(f"lerg_edge-*_{platform.machine()}.whl"))
    folder = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "-w", str(folder / "built"), str(ROOT)], check=True)
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "tag_wheel.py"), str(folder / "built"), str(folder)], check=True
    )
    return next(folder.glob("lerg_edge-*.whl"))


@pytest.fixture(scope="session")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the device's part of the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("device")
    part = [sys.executable, str(ROOT / "tools" / "device_wheel.py"), str(wheel), str(folder / "wheel")]
    made = subprocess.run(part, capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    subprocess.run([*pip, made], check=True)
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
    assert "_native.abi3.so" in beside
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {
        "lerg_edge",
        "lerg_exporter",
        "lerg_runtime",
    }
    assert not [name for name in names if re.search(r"__pycache__|\.(cpp|h|a|pyc)$", name)]


def test_it_is_for_every_python_of_this_machine(wheel: Path) -> None:
    check_wheel(wheel, platform.machine())


def test_its_libraries_are_found_beside_the_module_and_nowhere_else(wheel: Path, tmp_path: Path) -> None:
    check_libraries(wheel, platform.machine(), tmp_path)


def test_no_exception_can_cross_a_kernel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    wanted = imported_symbols(tmp_path / "lerg_runtime" / "liblerg_kernels.so")
    # Neither what throws, nor what catches, nor what allocates by throwing, nor what unwinding calls.
    forbidden = re.compile(
        r"__cxa_(throw|begin_catch|rethrow)|__gxx_personality|_Unwind|_Zn[wa]m|_ZSt\d+__throw"
    )
    assert not [name for name in wanted if forbidden.match(name)]
    assert "getenv" in wanted  # the list is not empty for some other reason


def test_a_device_installs_little(wheel: Path, tmp_path: Path) -> None:
    # Most is ExecuTorch's: 11.3 MB of it on x86-64, 9.5 MB on arm64.
    assert installed_bytes(wheel, tmp_path, package="lerg_runtime") < 13_500_000


IMPORTABLE = """
import importlib.util, json, sys
print(json.dumps([importlib.util.find_spec(name) is not None for name in sys.argv[1:]]))
"""


def test_the_device_has_neither_torch_nor_executorch(device: Path) -> None:
    lacking = ["torch", "executorch", "scipy", "lerg_edge", "lerg_exporter"]
    there = ["numpy", "click", "lerg_runtime"]
    found = json.loads(run(device, IMPORTABLE, *lacking, *there))
    assert found == [False] * len(lacking) + [True] * len(there)
    assert not (device.parent / "lerg-export").exists()


def test_the_device_part_says_what_it_requires_and_is_another_version(device: Path) -> None:
    found = json.loads(run(device, REQUIRES))
    assert found["version"].endswith("+device")
    assert {re.split(r"\W", name)[0] for name in found["requires"]} == {
        "numpy",
        "click",
        "nanobind",
        "cryptography",
    }


REQUIRES = """
import json
from importlib.metadata import requires, version
print(json.dumps({"version": version("lerg-edge"), "requires": requires("lerg-edge")}))
"""


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


def other_pythons() -> list[Path]:
    """Interpreters of other versions on this machine, of those that the wheel is for."""
    names = [f"python3.{minor}" for minor in range(11, 20) if minor != sys.version_info.minor]
    found = {name: path for name in names if (path := shutil.which(name)) and "/shims/" not in path}
    for name in names:
        for path in (Path.home() / ".pyenv" / "versions").glob(f"*/bin/{name}"):
            found.setdefault(name, str(path))
    return [Path(path) for path in found.values()]


@pytest.mark.skipif(not other_pythons(), reason="no other CPython from 3.11 on is installed")
def test_other_versions_of_python_run_the_same_wheel(
    wheel: Path, device: Path, small: SmallProgram, tmp_path: Path
) -> None:
    expected = run(device, PROGRAM, small.path)
    for interpreter in other_pythons():
        folder = tmp_path / interpreter.name
        subprocess.run([str(interpreter), "-m", "venv", "--without-pip", str(folder)], check=True)
        python = folder / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
        subprocess.run([*pip, str(wheel)], check=True)
        assert run(python, PROGRAM, small.path) == expected, interpreter
