"""Rankings of a seeded catalogue in which popular items are ranked high, and what was wanted of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle import InteractionRows
from lerg_runtime.serving._metrics import Metrics
from lerg_runtime.serving._per_user import UserFigures
from lerg_runtime.serving._ranking_sums import RankingSums, group_edges

USERS, ITEMS = 50, 40


@dataclass(frozen=True)
class Rankings:
    """Who has touched and who wanted what, bool [U, I] both; items from best to worst, int64 [U, I]."""

    known: np.ndarray
    wanted: np.ndarray
    top: np.ndarray


def rankings(seed: int = 17) -> Rankings:
    """Of every user at least one item is wanted; nobody has touched the last item."""
    random = np.random.default_rng(seed)
    scores = random.random((USERS, ITEMS)) + np.linspace(0, 1, ITEMS)
    known = random.random((USERS, ITEMS)) < np.linspace(0.05, 0.5, ITEMS)
    known[np.arange(USERS), np.arange(USERS) % (ITEMS - 3)] = True
    known[:, -1] = False
    wanted = ~known & (random.random((USERS, ITEMS)) < 0.15)
    wanted[np.arange(USERS), np.argmin(known, axis=1)] = True
    top = np.argsort(-np.where(known, -np.inf, scores), axis=1, kind="stable")
    top[np.take_along_axis(known, top, axis=1)] = -1
    return Rankings(known, wanted, top)


def by_user(pairs: np.ndarray) -> InteractionRows:
    """Interactions of a matrix, bool [U, I]."""
    users, items = (part.astype(np.int32) for part in np.nonzero(pairs))
    return InteractionRows.of_sorted(users, items, user_count=len(pairs), item_count=pairs.shape[1])


def measured(given: Rankings, ks: tuple[int, ...], *, batch: int = 7, per_user: bool = False) -> Metrics:
    """The metrics of all users, added some at a time."""
    count, items = given.known.shape
    users = np.arange(count, dtype=np.int32)
    figures = UserFigures(
        ks,
        None,  # type: ignore[arg-type]  # ids are not asked for
        users,
        np.empty(count, np.int32),
        np.empty((count, len(ks), 8), np.float32),
        np.empty(count, np.float32),
    )
    sums = RankingSums(
        by_user(given.wanted),
        known=by_user(given.known),
        degrees=given.known.sum(axis=0).astype(np.int32),
        ks=ks,
        edges=group_edges(np.sort(given.known.sum(axis=1))),
        covered=np.empty(items, np.uint8),
        figures=figures if per_user else None,
    )
    for start in range(0, count, batch):
        part = users[start : start + batch]
        sums.add(part, given.top[part, : ks[-1]])
    return sums.averages()
