"""How users who are not retained are served: by their placeholder, or from their own history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Interactions
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.tuning import RANKING, evaluate
from lerg_runtime import Recommender

__all__ = ["OTHER_STAGE", "WAYS", "PrunedUsers", "choose_by_validation"]

WAYS = ("placeholder", "history")
OTHER_STAGE = {"history": "placeholders_only", "placeholder": "with_history"}
"""By the way that a bundle serves them, the name of what the other way gives."""
_LEAST_USERS = 100


@dataclass(frozen=True, slots=True)
class PrunedUsers:
    """A way to serve them, and what validation said of both.

    Attributes:
        way: `placeholder` or `history`.
        scores: NDCG@20 of pruned users on their validation pairs, by way; empty where they were not asked.
        users: how many of them have validation pairs.
    """

    way: str = WAYS[0]
    scores: Mapping[str, float] | None = None
    users: int = 0

    def described(self) -> dict[str, Any]:
        """For people."""
        if self.scores is None:
            return {"served_by": self.way}
        return {
            "served_by": self.way,
            f"validation_ndcg@{RANKING}": dict(self.scores),
            "validation_users": self.users,
        }


def choose_by_validation(
    bundles: Mapping[str, Path], held_out: Interactions, pruned: np.ndarray, *, progress: Progress
) -> PrunedUsers:
    """The way that is better on the validation pairs of pruned users; all others are served alike.

    Placeholders are means of rows that have seen all pairs, so what is said of them is a little too good: a
    tie goes to history, and so does a set where fewer than 100 pruned users can say otherwise.

    Args:
        bundles: by way, bundles that have not seen the pairs.
        held_out: the validation pairs.
        pruned: bool [U], who is not retained.
    """
    if not pruned.any():
        return PrunedUsers()
    pairs = held_out.subset(pruned[held_out.users])
    if len(np.unique(pairs.users)) < _LEAST_USERS:
        progress.note(f"fewer than {_LEAST_USERS} pruned users can be validated; they are served by history")
        return PrunedUsers("history")
    scores: dict[str, float] = {}
    for way in WAYS:
        with Recommender.open(bundles[way]) as recommender:
            found = evaluate(recommender, pairs)
        scores[way] = float(found[f"ndcg@{RANKING}"])
    best = max(reversed(WAYS), key=lambda way: scores[way])
    progress.note(
        f"validation NDCG@{RANKING} of {found['users']} pruned users is {scores['placeholder']:.4f} by their "
        f"placeholder and {scores['history']:.4f} by their history"
    )
    return PrunedUsers(best, scores, int(found["users"]))
