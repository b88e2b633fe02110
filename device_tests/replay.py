"""Makes recorded kernel calls again, on the device, and says how far its answers are from the recorded ones.

    python replay.py FOLDER

Prints one JSON object: `calls`; `equal`, how many answered the same to the last bit; `worst`, the largest
difference by test, as a share of the largest value; `wrong`, what cannot be put down to rounding. It needs
nothing but the wheel.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from lerg_runtime import _native


def arrays(recorded: np.lib.npyio.NpzFile, kind: str) -> list[np.ndarray]:
    count = sum(name.startswith(kind) for name in recorded.files)
    return [recorded[f"{kind}{n}"] for n in range(count)]


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """As a share of the largest value; infinity where it is no matter of rounding."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return np.inf
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else np.inf
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], found[~finite], equal_nan=True):
        return np.inf
    gap, largest = np.abs(expected - found)[finite], np.abs(expected)[finite]
    return float(gap.max() / (largest.max() or 1)) if gap.size else 0.0


def main(folder: Path) -> None:
    worst: dict[str, float] = defaultdict(float)
    calls, equal, wrong = 0, 0, []
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as recorded:
            test, method = str(recorded["test"]), str(recorded["method"])
            program = _native.Program(str(folder / str(recorded["program"])), _native.Budget(0))
            outputs = program.load(method).execute(*arrays(recorded, "input"))
            gaps = [difference(*pair) for pair in zip(arrays(recorded, "output"), map(np.asarray, outputs))]  # noqa: B905
        calls += 1
        equal += not any(gaps)
        if any(np.isinf(gaps)):
            wrong.append(f"{test}: {method}")
        else:
            name = test.partition("::")[2].partition("[")[0]
            worst[name] = max(worst[name], *gaps)
    print(json.dumps({"calls": calls, "equal": equal, "worst": worst, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
