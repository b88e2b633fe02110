"""Ranking metrics of an open bundle on held-out interactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._resolved import ResolvedPairs
from lerg_runtime.planning._fitting import check_phase
from lerg_runtime.planning._phases import Phase
from lerg_runtime.planning._plan import plan_tests
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._metrics import Metrics
from lerg_runtime.serving._per_user import FIGURES, UserFigures
from lerg_runtime.serving._ranking_sums import RankingSums, group_edges

__all__ = ["evaluate"]

_PLACES_AT_ONCE = 1 << 11  # of rankings in memory, beside the budget
_PAIRS_AT_ONCE = 1 << 13


def evaluate(
    bundle: OpenBundle,
    test: ResolvedPairs,
    *,
    ks: Sequence[int],
    per_user: bool = False,
    on_progress: Callable[[int, int], object] | None = None,
) -> Metrics:
    """Rank the whole catalogue, seen items left out, for each user with test items.

    Pairs that the bundle has learned from, and those that were rated low, are never recommended: they are
    counted and not measured. A pair that the export held out is a candidate where it is in `test`, and
    nowhere else.

    Args:
        bundle: an open bundle.
        test: held-out interactions, which are put in another order; all that grows with them is counted.
        ks: lengths of rankings, ascending, each once.
        per_user: keep the figures of each user, in memory that is counted.
        on_progress: called with users done and users in all.

    Raises:
        InputError: nothing is left to measure.
        BudgetError: the pairs do not fit beside recommending for one user.
    """
    shape = bundle.manifest.model
    check_evaluation(bundle, pairs=len(test), ks=ks if per_user else None)
    most = min(shape.users, len(test))
    indptr = bundle.empty((shape.users + 1,), "int32")
    users = bundle.empty((most,), "int32")
    lengths = bundle.empty((most,), "int32")
    covered = bundle.empty((shape.items,), "uint8")
    kept = _figures_of(bundle, users, ks) if per_user else None
    with bundle.serving() as serving:
        given = len(test)
        left = _move_unseen(test, (serving.interactions, bundle.seen_only.disliked, serving.disliked))
        seen = given - left
        if left == 0:
            raise InputError(
                f"nothing is left to measure: of {test.rows + test.below_threshold} rows {seen} "
                f"are pairs that the bundle has seen already, {test.duplicates} repeat one, {test.unknown} "
                f"are unknown and {test.below_threshold} rated below the threshold; give pairs that it was "
                "not trained on"
            )
        tests = InteractionRows.of_pairs(
            test.users[:left], test.items[:left], indptr=indptr, item_count=shape.items
        )
        users = users[: _list_distinct(test.users[:left], users)]
        sums = RankingSums(
            tests,
            known=serving.interactions,
            degrees=serving.item_degrees,
            ks=ks,
            edges=_edges(serving.interactions, users, lengths[: len(users)]),
            covered=covered,
            figures=kept and _first(kept, len(users)),
        )
        longest = ks[-1]
        at_once = max(1, min(serving.users_at_once, _PLACES_AT_ONCE // longest))
        top = np.empty((at_once, longest), dtype=np.int64)
        for start in range(0, len(users), at_once):
            batch = users[start : start + at_once]
            for piece in serving.rank(batch, k=longest, measured=tests.of_user):
                top[piece.users, piece.ranks] = piece.items
            sums.add(batch, top[: len(batch)])
            if on_progress is not None:
                on_progress(start + len(batch), len(users))
    return replace(
        sums.averages(),
        rows=test.rows + test.below_threshold,
        unknown=test.unknown,
        below_threshold=test.below_threshold,
        duplicates=test.duplicates,
        already_seen=seen,
    )


def check_evaluation(bundle: OpenBundle, *, pairs: int, ks: Sequence[int] | None = None) -> None:
    """Refuse test pairs that do not fit beside recommending for one user.

    Args:
        bundle: an open bundle.
        pairs: distinct pairs.
        ks: lengths of rankings of which each user's figures are kept; None to keep none.

    Raises:
        BudgetError: names each item, and the budget that is enough.
    """
    plan = bundle.plan(bundle.workload(users_at_once=1))
    figures = None if ks is None else len(ks) * len(FIGURES)
    tests = plan_tests(bundle.manifest, pairs, figures=figures)
    largest = max((plan.phase(name) for name in ("encode", "recommend")), key=lambda phase: phase.total_bytes)
    check_phase(Phase("evaluate", (*largest.items, *tests)), bundle.budget_bytes, doing="evaluating")


def _figures_of(bundle: OpenBundle, users: np.ndarray, ks: Sequence[int]) -> UserFigures:
    """Memory for the figures of so many users."""
    count = len(users)
    return UserFigures(
        tuple(ks),
        bundle.entities.user_ids,
        users,
        tests=bundle.empty((count,), "int32"),
        figures=bundle.empty((count, len(ks), len(FIGURES)), "float32"),
        own_popularity=bundle.empty((count,), "float32"),
    )


def _first(kept: UserFigures, count: int) -> UserFigures:
    """The first rows of it."""
    names = ("users", "tests", "figures", "own_popularity")
    return replace(kept, **{name: getattr(kept, name)[:count] for name in names})


def _edges(known: InteractionRows, users: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Edges of the groups of users by the lengths of their histories, which are sorted in `lengths`."""
    for start in range(0, len(users), _PAIRS_AT_ONCE):
        part = users[start : start + _PAIRS_AT_ONCE]
        lengths[start : start + len(part)] = known.indptr[part + 1] - known.indptr[part]
    lengths.sort()
    return group_edges(lengths)


def _move_unseen(test: ResolvedPairs, seen: tuple[InteractionRows | None, ...]) -> int:
    """Move the pairs that can be recommended to the front, some at a time, and tell how many they are."""
    count = 0
    for start in range(0, len(test), _PAIRS_AT_ONCE):
        users, items = (part[start : start + _PAIRS_AT_ONCE] for part in (test.users, test.items))
        keep = np.ones(len(users), dtype=bool)
        for pairs in seen:
            if pairs is not None:
                keep &= ~pairs.contains(users, items)
        users, items = users[keep], items[keep]
        test.users[count : count + len(users)] = users
        test.items[count : count + len(items)] = items
        count += len(users)
    return count


def _list_distinct(users: np.ndarray, distinct: np.ndarray) -> int:
    """Write each of the ascending users once, and tell how many they are."""
    count = 0
    for start in range(0, len(users), _PAIRS_AT_ONCE):
        part = users[start : start + _PAIRS_AT_ONCE]
        before = users[start - 1] if start else -1
        found = part[np.diff(part, prepend=before) != 0]
        distinct[count : count + len(found)] = found
        count += len(found)
    return count
