"""Mutants that once ended the process, hung, passed the budget or had an error without a name, run again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzzing.__main__ import kept_recipes
from fuzzing.bundles import seed_kinds
from fuzzing.flat import read_program, write_program
from fuzzing.recipes import Recipe, Seed, make
from fuzzing.runner import Outcome, Runner

pytestmark = pytest.mark.native

MUTANTS = 30  # of each kind, beside those that are kept


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as running:
        yield running


@pytest.fixture(scope="module", params=seed_kinds())
def seed(request: pytest.FixtureRequest) -> Seed:
    return Seed(request.param)


def test_a_seed_is_a_whole_bundle(runner: Runner, seed: Seed) -> None:
    """Otherwise every mutant of it would be refused for the seed's own fault."""
    outcome = runner.run(seed, {"kind": seed.kind})
    assert outcome == Outcome("fine", ""), "make the seeds anew: PYTHONPATH=tests python -m fuzzing.seeds"


def test_a_program_comes_back_as_it_was(seed: Seed) -> None:
    tree, segments = read_program(seed.files["model.pte"])
    again, rest = read_program(write_program(tree, segments))
    assert (again, rest) == (tree, segments)


def test_mutants_are_refused_or_run_within_the_budget(runner: Runner, seed: Seed) -> None:
    outcomes = [(number, runner.run(seed, make(seed, number))) for number in range(MUTANTS)]
    assert [(number, outcome) for number, outcome in outcomes if not outcome.good] == []
    assert "refused" in {outcome.kind for _, outcome in outcomes}


@pytest.mark.parametrize(
    "recipe", [pytest.param(recipe, id=str(at)) for at, recipe in enumerate(kept_recipes())]
)
def test_kept_mutants(runner: Runner, recipe: Recipe) -> None:
    outcome = runner.run(Seed(recipe["kind"]), recipe)
    assert outcome.good, outcome


def test_what_a_mutant_does_is_told_apart(tmp_path: Path) -> None:
    """The harness itself: a process that dies or hangs is not taken for a refusal."""
    seed = Seed("native-folded-8")
    for script, kind in {"kill -SEGV $$": "crash", "exec sleep 60": "hang"}.items():
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\necho '\"start\"'; read line\n{script}\n")
        python.chmod(0o755)
        with Runner(str(python), timeout=3) as runner:
            assert runner.run(seed, {"kind": seed.kind}).kind == kind
