"""Which selection an export takes: the one that is asked for, or the one that validation prefers."""

from __future__ import annotations

from typing import Any

import pytest

from lerg_edge.selection import SELECTORS
from lerg_exporter.selecting import choose
from lerg_exporter.selectors import AUTO, CANDIDATES


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


def test_a_stated_selector_is_not_asked_for_its_score() -> None:
    assert _choose("random", {}) == (("random", None), {})


def test_every_candidate_is_built_in() -> None:
    assert set(CANDIDATES) <= set(SELECTORS)
