"""Runs mutants in child processes and sorts them by what became of them."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from fuzzing.bundles import write
from fuzzing.recipes import Recipe, Seed

GOOD = ("fine", "refused", "budget", "failed")
BUDGET_BYTES = 8 << 20
MANY = 300  # mutants that one child is given before it makes room for a fresh one
# What a process may map beyond what it maps with nothing open: threads reserve stacks that they never touch.
ADDRESS_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        kind: one of `GOOD`, or `crash`, `sanitizer`, `hang`, `over budget`, `exception`, `unclear`.
        detail: what was said.
    """

    kind: str
    detail: str

    @property
    def good(self) -> bool:
        return self.kind in GOOD


class Runner:
    """Opens and runs mutants, each in a process that has survived all before it.

    Args:
        python: an interpreter that has lerg_runtime; a build with sanitizers has one of its own.
        sanitized: whether it is such a build, in whose processes memory cannot be bounded.
        timeout: seconds that one mutant may take, far more than it should.
    """

    def __init__(
        self, python: str = sys.executable, *, sanitized: bool = False, timeout: float = 120
    ) -> None:
        self._python, self._sanitized, self._timeout = python, sanitized, timeout
        self._place = tempfile.TemporaryDirectory(prefix="mutants-")
        self._errors = Path(self._place.name) / "stderr"
        self._child: subprocess.Popen[str] | None = None
        self._given = 0

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._place.cleanup()

    def run(self, seed: Seed, recipe: Recipe) -> Outcome:
        """Make the mutant, and have it opened and run.

        Raises:
            LookupError: the recipe is not for this seed.
        """
        folder = Path(self._place.name) / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        write(seed.build(recipe), folder)
        if self._given == MANY:
            self._end()
        child = self._child or self._start()
        assert child.stdin is not None
        self._given += 1
        child.stdin.write(f"{folder}\n")
        child.stdin.flush()
        answer = self._line(child)
        if isinstance(answer, Outcome):
            self._end()
            return answer
        return Outcome(answer["outcome"], answer["detail"])

    def _start(self) -> subprocess.Popen[str]:
        limits = [str(BUDGET_BYTES)]
        if not self._sanitized:
            limits.append(str(ADDRESS_BYTES))
        with self._errors.open("w") as errors:
            self._child = subprocess.Popen(
                [self._python, str(Path(__file__).with_name("child.py")), *limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._given = 0
        first = self._line(self._child)
        if first != "start":
            raise RuntimeError(
                f"the process for mutants does not start: {first} {self._errors.read_text()[-2000:]}"
            )
        return self._child

    def _line(self, child: subprocess.Popen[str]) -> object:
        assert child.stdout is not None
        if not select.select([child.stdout], [], [], self._timeout)[0]:
            return Outcome("hang", f"no answer after {self._timeout} seconds")
        line = child.stdout.readline()
        if line:
            return json.loads(line)
        status = child.wait()
        said = self._errors.read_text(errors="replace")
        if "Sanitizer" in said or "runtime error:" in said:
            return Outcome("sanitizer", said[-6000:])
        return Outcome("crash", f"exit status {status}: {said[-2000:]}")

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        self._child = None
