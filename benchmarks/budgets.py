"""Every command of the device within its budget: what was predicted, what was counted, what was resident.

`python -m benchmarks.budgets BUNDLE=DATA ...` runs each command on bundles that were exported before, from
folders with `train.txt` and `test.txt`, in processes of its own, and writes `docs/budgets.md`. A budget is
found as a person would: from too little, by what the refusals say. The command must then end well at that
budget, its address space limited to what budget and allowance add, and be refused 64 bytes below it. Linux.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.budget_pages import write_page

LARGE_ROWS = 1_000_000
ALLOWANCE = 8 << 20  # of address space beside the budget, for Python's own objects and their arenas
_TOO_LITTLE = 1000
_ENOUGH = re.compile(r"give at least (\d+) bytes")


@dataclass(frozen=True, slots=True)
class Measured:
    """One command on one bundle, in bytes.

    Attributes:
        bundle, command: names.
        predicted: the budget that the refusals ask for.
        counted: the most that was taken of it.
        resident: the most that the process had over the loaded interpreter.
        refusals: until the budget was enough.
    """

    bundle: str
    command: str
    predicted: int
    counted: int
    resident: int
    refusals: int


def measure(bundle: Path, data: Path, work: Path) -> Iterator[Measured]:
    """All commands on one bundle.

    Raises:
        SystemExit: a command died, took more than its budget, or ran with less.
    """
    for name, arguments in commands(bundle, data, work):
        budget, refusals = _TOO_LITTLE, 0
        while (last := run(arguments, budget, work)).status == 3 and refusals < 6:
            told = _ENOUGH.findall(last.sentence)
            if len(told) != 1 or int(told[0]) <= budget or ":" not in last.sentence:
                raise SystemExit(f"{bundle.name}, {name}, {budget}: not itemised: {last.sentence}")
            budget, refusals = int(told[0]), refusals + 1
        _check(last.status == 0 and refusals > 0, bundle, name, budget, last.sentence)
        below = run(arguments, budget - 64, work)
        _check(below.status == 3, bundle, name, budget - 64, below.sentence)
        yield Measured(bundle.name, name, budget, last.counted, last.resident, refusals)


@dataclass(frozen=True, slots=True)
class Ran:
    """How one process ended: its status, its last line, and what it took in bytes."""

    status: int
    sentence: str
    counted: int
    resident: int


def run(arguments: list[str], budget: int, work: Path) -> Ran:
    """One command at one budget, its address space limited to what the budget and the allowance add."""
    result, limit = work / "result.json", str(budget + ALLOWANCE)
    for left in (result, work / "top.csv"):
        left.unlink(missing_ok=True)
    shutil.rmtree(work / "saved", ignore_errors=True)
    command = [*arguments, "--memory-budget", str(budget), "--threads", "1"]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.budget_child", result, limit, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    sentence = lines[-1] if lines else ended.stderr[-300:]
    if not result.exists() or "Traceback" in ended.stderr:
        raise SystemExit(f"{arguments} at {budget} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    told = json.loads(result.read_text())
    return Ran(told["status"], sentence, told["counted_bytes"], told["resident_bytes"])


def commands(bundle: Path, data: Path, work: Path) -> Iterator[tuple[str, list[str]]]:
    """Names and arguments; `--memory-budget` and `--threads` are added."""
    where, first = str(bundle), (data / "train.txt").read_text().split("\n", 1)[0].split()
    small, large = files(data, work)
    finetune = ["finetune", where, "--epochs", "1", "--skip-unknown", "-o", str(work / "saved")]
    everybody = ["recommend", where, "--all-users", "-o", str(work / "top.csv")]
    yield "recommend, one user", ["recommend", where, "--user", first[0]]
    yield "recommend, one user, k = 4,000", ["recommend", where, "--user", first[0], "-k", "4000"]
    yield "recommend, all users", everybody
    if sum(1 for _ in (data / "train.txt").open()) < 5000:  # else the file would have gigabytes
        yield "recommend, all users, k = 4,000", [*everybody, "-k", "4000"]
    yield "recommend, all users, JSON", ["recommend", where, "--all-users", "--json"]
    yield "recommend, a history", ["recommend", where, "--history", ",".join(first[1:6])]
    yield "evaluate", ["evaluate", where, "--test", str(data / "test.txt"), "--skip-unknown"]
    yield "profile", ["profile", where, "--seconds", "0.05", "--runs", "5"]
    yield "finetune, 50 users' pairs, saved anew", [*finetune, "--interactions", str(small)]
    yield "finetune, 1,000,000 rows, saved anew", [*finetune, "--interactions", str(large)]
    grown = work / f"{bundle.name}-grown"
    if not grown.exists():
        subprocess.run(
            [sys.executable, "-m", "lerg_runtime", *finetune[:-1], str(grown), "--interactions", str(large)],
            check=True,
            capture_output=True,
        )
    yield "recommend, one user, 1,000,000 local", ["recommend", str(grown), "--user", first[0]]


def files(data: Path, work: Path) -> tuple[Path, Path]:
    """Pairs of some users, and a million rows, nearly all of them of pairs that nobody has seen."""
    small, large = work / f"{data.name}-small.txt", work / f"{data.name}-large.csv"
    if not large.exists():
        lines = (data / "test.txt").read_text().splitlines()
        small.write_text("\n".join(lines[:50]) + "\n")
        rows = [line.split() for line in (data / "train.txt").read_text().splitlines()]
        users = [row[0] for row in rows if len(row) > 1]
        items = sorted({item for row in rows for item in row[1:]})
        random = np.random.default_rng(0)
        drawn = zip(random.choice(users, LARGE_ROWS), random.choice(items, LARGE_ROWS), strict=True)
        large.write_text("user,item\n" + "\n".join(f"{user},{item}" for user, item in drawn) + "\n")
    return small, large


def _check(right: bool, bundle: Path, name: str, budget: int, sentence: str) -> None:
    if not right:
        raise SystemExit(f"{bundle.name}, {name}, at a budget of {budget}: {sentence}")


def main(pairs: list[str]) -> None:
    """Measure and write the page."""
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs:
            bundle, data = map(Path, pair.split("=", 1))
            for row in measure(bundle, data, Path(folder)):
                print(row, flush=True)
                rows.append(row)
    write_page(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
