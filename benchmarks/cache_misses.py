"""Misses of the last cache while a method of a program runs, in a model of a small device's caches.

`misses` runs this module in a process of its own under valgrind's cachegrind, which counts every access of
the kernels; what loading takes is subtracted. The model is that of a Raspberry Pi 4: 32 KB of data a core,
1 MB for all.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

__all__ = ["LAST_LEVEL_BYTES", "can_count", "misses"]

LAST_LEVEL_BYTES = 1 << 20
_FEW, _MANY = 1, 3  # runs, of which the difference is counted
_COUNTED = re.compile(r"LLd misses:\s+([\d,]+)")


def can_count() -> bool:
    """Whether valgrind is installed."""
    return shutil.which("valgrind") is not None


def misses(
    program: Path, method: str, parameters: Mapping[str, np.ndarray], inputs: Sequence[np.ndarray]
) -> int:
    """Lines that one call of a method reads or writes and that 1 MB does not have.

    Raises:
        SystemExit: the run under valgrind failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        numbered = {f"input{number}": array for number, array in enumerate(inputs)}
        np.savez(given, **{f"parameter_{name}": array for name, array in parameters.items()}, **numbered)
        few, many = (_counted(program, method, given, runs) for runs in (_FEW, _MANY))
    return (many - few) // (_MANY - _FEW)


def _counted(program: Path, method: str, given: Path, runs: int) -> int:
    done = subprocess.run(
        [
            "valgrind",
            "--tool=cachegrind",
            "--cache-sim=yes",
            "--D1=32768,2,64",
            f"--LL={LAST_LEVEL_BYTES},16,64",
            "--cachegrind-out-file=/dev/null",
            *(sys.executable, "-m", "benchmarks.cache_misses"),
            *(str(program), method, str(given), str(runs)),
        ],
        capture_output=True,
        text=True,
    )
    found = _COUNTED.search(done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"valgrind did not count the misses of {method}: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def _run(program: str, method: str, given: str, runs: int) -> None:
    """What is counted: one thread, and nothing of the exporter's."""
    from lerg_runtime import _native

    _native.set_threads(1)
    with np.load(given, allow_pickle=False) as arrays:
        parameters = {
            name.removeprefix("parameter_"): arrays[name] for name in arrays.files if name[0] == "p"
        }
        inputs = [arrays[f"input{number}"] for number in range(len(arrays.files) - len(parameters))]
    loaded = _native.Program(program, _native.Budget(0)).load(method, parameters)
    for _ in range(runs):
        loaded.execute(*inputs)


if __name__ == "__main__":
    _run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
