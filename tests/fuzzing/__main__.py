"""Makes and runs mutants of every kind of bundle, and prints what became of them.

    PYTHONPATH=tests python -m fuzzing [--seconds 60 | --count 10000] [--kind KIND] [--sanitized PYTHON]

A mutant that ends the process, hangs, passes the budget, makes a sanitizer speak or gets an error without a
name is kept in `build/fuzz/` as a recipe, and the exit status is 1. Put the recipe into
`tests/fuzzing/corpus/` with the fix.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import sys
import time
from pathlib import Path

from fuzzing.bundles import seed_kinds
from fuzzing.recipes import Recipe, Seed, make
from fuzzing.runner import Outcome, Runner

FINDINGS = Path("build/fuzz")
CORPUS = Path(__file__).parent / "corpus"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, help="for how long, shared by the kinds")
    parser.add_argument("--count", type=int, default=None, help="mutants of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--new", action="store_true", help="first is drawn: other mutants each time")
    parser.add_argument("--corpus", action="store_true", help="run those that are kept before")
    parser.add_argument("--kind", action="append", choices=seed_kinds(), help="only these kinds")
    parser.add_argument("--sanitized", help="the interpreter of a build with sanitizers")
    asked = parser.parse_args()
    kinds = asked.kind or seed_kinds()
    share = (asked.seconds or 60) / len(kinds) if asked.count is None else None
    first = random.randrange(10**6, 10**9) if asked.new else asked.first
    bad = run_kept(asked.sanitized) if asked.corpus else 0
    for kind in kinds:
        counts, of_kind = run_kind(
            kind, first=first, count=asked.count, seconds=share, python=asked.sanitized
        )
        bad += of_kind
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"{kind}: {sum(counts.values())} mutants: {told}", flush=True)
    print(f"numbers from {first}, with {'sanitizers' if asked.sanitized else 'the release build'}")
    if bad:
        print(f"{bad} mutants were not refused as they should be; their recipes are in {FINDINGS}/")
    return 1 if bad else 0


def run_kind(
    kind: str, *, first: int, count: int | None, seconds: float | None, python: str | None
) -> tuple[collections.Counter[str], int]:
    """How many mutants ended how, and how many of these endings are faults of ours."""
    seed = Seed(kind)
    counts: collections.Counter[str] = collections.Counter()
    bad, number = 0, first
    began = time.monotonic()
    with Runner(python or sys.executable, sanitized=python is not None) as runner:
        unchanged = runner.run(seed, {"kind": kind})
        if unchanged.kind != "fine":
            raise SystemExit(f"the seed {kind} itself is not fine: {unchanged}; make the seeds anew")
        while (count is None or number < first + count) and (
            seconds is None or time.monotonic() - began < seconds
        ):
            recipe = make(seed, number)
            outcome = runner.run(seed, recipe)
            counts[outcome.kind] += 1
            if not outcome.good:
                bad += 1
                keep(number, recipe, outcome)
            number += 1
    return counts, bad


def kept_recipes() -> list[Recipe]:
    """The mutants that once were findings."""
    files = sorted(CORPUS.glob("*.json"))
    return [recipe for file in files for recipe in json.loads(file.read_text(encoding="utf-8"))]


def run_kept(python: str | None) -> int:
    recipes = kept_recipes()
    bad = 0
    with Runner(python or sys.executable, sanitized=python is not None) as runner:
        for number, recipe in enumerate(recipes):
            outcome = runner.run(Seed(recipe["kind"]), recipe)
            if not outcome.good:
                bad += 1
                keep(number, recipe, outcome)
    print(f"corpus: {len(recipes)} mutants, {bad} not as they should be", flush=True)
    return bad


def keep(number: int, recipe: dict[str, object], outcome: Outcome) -> None:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{recipe['kind']}-{number}-{outcome.kind.replace(' ', '-')}.json"
    path.write_text(
        json.dumps({**recipe, "outcome": outcome.kind, "detail": outcome.detail}, indent=1) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
