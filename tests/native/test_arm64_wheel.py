"""The cross-built wheel, and what it answers on emulated processors with and without the dot product.

`make wheel-arm64` builds it; in CI it has to be there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from _wheel_checks import ROOT, check_libraries, check_wheel, installed_bytes, newest_source

from device_tests.transports import open_transport
from device_tests.transports.userland import BUILD, NEEDED, RELEASES, arm64_wheel, emulated

pytestmark = pytest.mark.native


def missing(what: str) -> None:
    """Skips, and says why; in CI, which has to install it, fails."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def wheel() -> Path:
    found, stamp = arm64_wheel(), ROOT / "dist" / ".built-arm64"
    if found is None or stamp.stat().st_mtime < newest_source():
        missing("there is no arm64 wheel of these sources: make wheel-arm64")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def emulation(wheel: Path) -> Path:
    """The wheel, once it is known that it can be run."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking:
        missing(f"there is no {', '.join(lacking)}: apt-get install qemu-user-static")
    return wheel


def test_it_is_for_every_python_on_arm64(wheel: Path) -> None:
    check_wheel(wheel, "aarch64")
    check_wheel(next((ROOT / "dist").glob("lerg_edge-*_aarch64.whl")), "aarch64")


def test_its_libraries_are_for_arm64_and_found_beside_the_module(wheel: Path, tmp_path: Path) -> None:
    check_libraries(wheel, "aarch64", tmp_path)


def test_a_device_installs_11_megabytes(wheel: Path, tmp_path: Path) -> None:
    assert installed_bytes(wheel, tmp_path) <= 11_000_000


@pytest.mark.parametrize(
    ("cpu", "codes"), [("cortex-a72", "neon"), ("cortex-a76", "dotprod"), ("max", "dotprod")]
)
def test_build_info_tells_which_loops_run(emulation: Path, tmp_path: Path, cpu: str, codes: str) -> None:
    done = emulated(emulation, cpu, "-c", BUILD_INFO, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {"isa": "neon", "codes": codes, "rows": "neon", "half": "neon"}


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_each_release_of_debian_runs_the_same_wheel(emulation: Path, tmp_path: Path, release: str) -> None:
    chosen = RELEASES[release]
    done = emulated(emulation, "cortex-a72", "-c", VERSIONS, cwd=tmp_path, release=chosen)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [chosen.python, "neon"]


VERSIONS = """
import sys
from lerg_runtime import Recommender, _native
print("%d.%d" % sys.version_info[:2], _native.build_info()["codes"])
"""

BUILD_INFO = """
import json
from lerg_runtime import _native
info = _native.build_info()
print(json.dumps({name: info[name] for name in ("isa", "codes", "rows", "half")}))
"""


def test_with_numpy_it_is_64_megabytes(emulation: Path, tmp_path: Path) -> None:
    assert emulated(emulation, "max", "-c", "import lerg_runtime", cwd=tmp_path).returncode == 0
    site = BUILD / "site"
    sizes: dict[str, int] = defaultdict(int)
    for path in site.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            sizes[path.relative_to(site).parts[0]] += path.stat().st_size
    assert not {"lerg_edge", "lerg_exporter"} & set(sizes)
    whole = sum(sizes.values())
    of_numpy = sum(size for name, size in sizes.items() if name.startswith("numpy"))
    assert whole <= 64_000_000, sizes
    # The bound is 13 MB; half of one is left for what comes.
    assert whole - of_numpy < 12_500_000, sizes


ANSWERS = """
import sys
import numpy as np
from lerg_runtime import Recommender
from lerg_runtime.golden import check_golden

bundle = sys.argv[1]
assert not any(check_golden(bundle).values()), check_golden(bundle)
with Recommender.open(bundle) as rec:
    users = rec.user_ids.take(np.arange(len(rec.user_ids))).tolist()
    before = rec.recommend(users, k=20)
    history = rec.recommend_from_history(before[0][3][:4].tolist(), k=20)
    pairs = [(user, before[0][row][rank]) for row, user in enumerate(users[:30]) for rank in (12, 15, 19)]
    report = rec.finetune(pairs, epochs=2, seed=5)
    after = rec.recommend(users, k=20)
    codebook, step = rec.state.codebook, rec.state.step
np.savez(
    sys.argv[2], items=before[0], scores=before[1], history_items=history[0], history_scores=history[1],
    losses=report.losses, later_items=after[0], later_scores=after[1], codebook=codebook, step=step,
)
"""


def test_emulated_processors_answer_as_this_machine_does(emulation: Path, tmp_path: Path) -> None:
    from traced import built

    bundle = shutil.copytree(built(item_table="int8"), tmp_path / "bundle")
    answers = {}
    here = open_transport("local")
    try:
        copy = here.push(bundle)
        done = here.python("-c", ANSWERS, copy, str(tmp_path / "here.npz"))
        assert done.status == 0, done.stderr
    finally:
        here.close()
    for cpu in ("cortex-a72", "cortex-a76"):
        done = emulated(
            emulation, cpu, "-c", ANSWERS, str(bundle), str(tmp_path / f"{cpu}.npz"), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    for name in ("here", "cortex-a72", "cortex-a76"):
        with np.load(tmp_path / f"{name}.npz") as arrays:
            answers[name] = dict(arrays)
    for cpu in ("cortex-a72", "cortex-a76"):
        for name, expected in answers["here"].items():
            found = answers[cpu][name]
            if expected.dtype.kind == "f":
                largest = np.abs(expected[np.isfinite(expected)]).max()
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * largest, err_msg=name)
            else:
                np.testing.assert_array_equal(found, expected, err_msg=name)
    # The dot product is exact: the same to the last bit with and without it.
    for name, expected in answers["cortex-a72"].items():
        np.testing.assert_array_equal(answers["cortex-a76"][name], expected, err_msg=name)
