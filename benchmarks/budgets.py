"""Every command of the device within its budget: what was predicted, what was counted, what was resident.

`python -m benchmarks.budgets BUNDLE=DATA ...` runs each command on bundles that were exported before, from
folders with `train.txt` and `test.txt`, in processes of its own, and puts the rows into `docs/budgets.md`, in
place of those of the same commands on bundles of the same names. A budget is found as a person would: from
too little, by what the refusals say. The command must then end well at that budget, once with its address
space limited to what budget and allowance add, once in a control group that is limited likewise, and be
refused 64 bytes below it, unless the refusal said `at most`. Linux. `+` behind DATA adds the commands on a
million rows; `--only TEXT` measures the first command, whose budget others need, and those with TEXT in their
names.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.budget_commands import Command, commands
from benchmarks.budget_pages import write_page
from device_tests.control_group import ControlGroup

ALLOWANCE = 8 << 20  # of address space beside the budget, for Python's own objects and their arenas
GROUP_ALLOWANCE = 2 << 20  # of memory beside the budget, for Python's own objects and the kernel's
_TOO_LITTLE = 1000
_MOST_REFUSALS = 6
_ENOUGH = re.compile(r"give at least (\d+) bytes")


@dataclass(frozen=True, slots=True)
class Measured:
    """One command on one bundle, in bytes.

    Attributes:
        bundle, command: names.
        predicted: the budget that the refusals ask for; of a command that takes none, the bundle's least.
        counted: the most that was taken of it; None without a budget.
        resident: the most that the process had over the loaded interpreter.
        charged: the most that the control group was charged with; None without one.
    """

    bundle: str
    command: str
    predicted: int
    counted: int | None
    resident: int
    charged: int | None


@dataclass(frozen=True, slots=True)
class Ran:
    """How one process ended: its status, its last sentence, and what it took in bytes."""

    status: int
    sentence: str
    counted: int
    resident: int
    charged: int | None


class Bench:
    """Runs commands; see `benchmarks.budget_child`.

    Args:
        work: a folder for what they read and write.
        grouped: whether there are control groups.
    """

    def __init__(self, work: Path, *, grouped: bool) -> None:
        self.work, self.grouped = work, grouped
        self._server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.budget_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, bundle: Path, data: Path, *, large: bool, only: str = "") -> Iterator[Measured]:
        """All commands on one bundle, or the first and those with `only` in their names.

        Raises:
            SystemExit: a command died, took more than its budget, or ran with less.
        """
        least = 0  # what opening takes
        for command in commands(bundle, data, self.work, large=large):
            if least and only not in command.name:
                continue
            budget, at_most = self._enough(bundle, command) if command.takes_budget else (least, True)
            least = least or budget
            last = self._right(bundle, command, budget, grouped=False)
            charged = self._right(bundle, command, budget, grouped=True).charged if self.grouped else None
            if not at_most:
                below = self._run(command, budget - 64)
                _check(below.status == 3, bundle, command, budget - 64, below.sentence)
            counted = last.counted if command.takes_budget else None
            yield Measured(bundle.name, command.name, budget, counted, last.resident, charged)

    def close(self) -> None:
        """End the server."""
        self._server.communicate()

    def _enough(self, bundle: Path, command: Command) -> tuple[int, bool]:
        """What the refusals ask for in the end, and whether the last one could tell no more than a bound."""
        budget, at_most = _TOO_LITTLE, False
        for _ in range(_MOST_REFUSALS):
            last = self._run(command, budget)
            if last.status != 3:
                break
            told = _ENOUGH.findall(last.sentence)
            itemised = len(told) == 1 and int(told[0]) > budget and ":" in last.sentence
            _check(itemised, bundle, command, budget, f"not itemised: {last.sentence}")
            budget, at_most = int(told[0]), "at most" in last.sentence
        _check(budget > _TOO_LITTLE, bundle, command, budget, "not refused")
        return budget, at_most

    def _right(self, bundle: Path, command: Command, budget: int, *, grouped: bool) -> Ran:
        found = self._run(command, budget, grouped=grouped)
        _check(found.status == 0, bundle, command, budget, found.sentence)
        return found

    def _run(self, command: Command, budget: int, *, grouped: bool = False) -> Ran:
        (self.work / "top.csv").unlink(missing_ok=True)
        shutil.rmtree(self.work / "saved", ignore_errors=True)
        if command.copied is not None:
            before, after = command.copied
            shutil.rmtree(after, ignore_errors=True)
            shutil.copytree(before, after)
        options = ["--memory-budget", str(budget)] * command.takes_budget
        options += ["--threads", "1"] * command.takes_threads
        request = {
            "arguments": [*command.arguments, *options],
            "errors": str(self.work / "errors"),
            "room": 0 if grouped else budget + ALLOWANCE,
            "group": None,
        }
        if not grouped:
            return self._answer(request, charged=None)
        group = ControlGroup(budget + GROUP_ALLOWANCE)
        try:
            request["group"] = str(group.processes)
            return self._answer(request, charged=group.peak_bytes)
        finally:
            group.close()

    def _answer(self, request: dict[str, Any], *, charged: Any) -> Ran:
        if self._server.stdin is None or self._server.stdout is None:
            raise SystemExit("the server has no pipes")
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        told = json.loads(self._server.stdout.readline())
        said = Path(request["errors"]).read_text()
        if "status" not in told or "Traceback" in said:
            raise SystemExit(f"{request} ended with {told['ended']}: {said[-2000:]}")
        lines = [line for line in said.splitlines() if line.startswith("Error: ")]
        return Ran(
            told["status"],
            lines[-1] if lines else said[-300:],
            told["counted"],
            told["resident"],
            None if charged is None else charged(),
        )


def _check(right: bool, bundle: Path, command: Command, budget: int, sentence: str) -> None:
    if not right:
        raise SystemExit(f"{bundle.name}, {command.name}, at a budget of {budget}: {sentence}")


def _has_groups() -> bool:
    try:
        ControlGroup(1 << 24).close()
    except OSError as error:
        print(f"no control group to measure in, so that half is left out: {error}", flush=True)
        return False
    return True


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budgets")
    parser.add_argument("pairs", nargs="+", metavar="BUNDLE=DATA", help="a `+` behind it: a million rows too")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="the first command, and those with TEXT in their names"
    )
    asked = parser.parse_args()
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), grouped=_has_groups())
        for pair in asked.pairs:
            bundle, data = pair.split("=", 1)
            large, folder_of_data = data.endswith("+"), Path(data.rstrip("+"))
            for row in bench.measure(Path(bundle), folder_of_data, large=large, only=asked.only):
                print(row, flush=True)
                rows.append(row)
        bench.close()
    write_page(rows)


if __name__ == "__main__":
    main()
