"""Which selection an export takes: the one that is asked for, or the one that validation prefers."""

from __future__ import annotations

from typing import Any

import pytest

from lerg_edge.selection import SELECTORS
from lerg_exporter.exporting.kinds.selectors import AUTO, CANDIDATES, PROGRAMS
from lerg_exporter.exporting.selecting import choose


def _choose(selector: str, scores: dict[str, float]) -> tuple[Any, dict[str, float]]:
    """Selections are their selector's names here."""
    made: Any = lambda name: (name, None)  # noqa: E731
    return choose(selector, made, lambda selection, _: scores[str(selection)])


@pytest.mark.parametrize("best", CANDIDATES)
def test_auto_takes_what_validation_prefers(best: str) -> None:
    scores = {name: 0.2 if name == best else 0.1 for name in CANDIDATES}
    (selection, _), found = _choose(AUTO, scores)
    assert (selection, found) == (best, scores)


def test_ties_go_to_the_earlier_candidate() -> None:
    (selection, _), _ = _choose(AUTO, dict.fromkeys(CANDIDATES, 0.0))
    assert selection == CANDIDATES[0]


@pytest.mark.parametrize(("score", "taken"), [(0.2008, "bip"), (0.2011, "degree")])
def test_a_simple_rule_has_to_be_clearly_better_than_the_program(score: float, taken: str) -> None:
    scores = dict.fromkeys(CANDIDATES, 0.1) | {"bip": 0.2, "degree": score}
    (selection, _), _ = _choose(AUTO, scores)
    assert selection == taken


def test_among_objectives_of_the_program_any_gain_counts() -> None:
    (selection, _), _ = _choose(AUTO, dict.fromkeys(CANDIDATES, 0.1) | {PROGRAMS[-1]: 0.1001})
    assert selection == PROGRAMS[-1]


def test_a_stated_selector_is_not_asked_for_its_score() -> None:
    assert _choose("random", {}) == (("random", None), {})


def test_every_candidate_is_built_in() -> None:
    assert set(CANDIDATES) <= set(SELECTORS)
