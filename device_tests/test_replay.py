"""The kernels' calls of `tests/native`, recorded here and made again on the device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from device_tests.transports import Transport

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("test_kernels.py", "test_folded_kernels.py", "test_retrieval.py")
ENOUGH = 900
LARGEST = 1e-5  # of the largest value: sums of float32, taken in another order


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "device_tests.recording", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(f"tests/native/{name}" for name in TESTS)],
        cwd=ROOT,
        env={**os.environ, "LERG_RECORDINGS": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return folder


@pytest.mark.slow
def test_kernels_answer_there_what_they_answer_here(transport: Transport, recordings: Path) -> None:
    folder = transport.push(recordings)
    script = transport.push(ROOT / "device_tests" / "replay.py")
    found = transport.python(script, folder).json()
    print(found)
    assert found["wrong"] == []
    assert found["calls"] >= ENOUGH
    assert max(found["worst"].values()) <= LARGEST, found["worst"]
