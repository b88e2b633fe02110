"""Rankings of which only some items may come, against the same rankings of the whole catalogue.

Both are the program `recommend` with the mask written for each user, as the runtime does it: the peer's has
what the user has seen, ours the filter too. The answers are those that cutting the whole ranking gives.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Row, compare, native_threads
from benchmarks.retrieval import BATCH, K, Rank, ranking_programs
from lerg_runtime.serving._barred import Barred, write_masks

ITEMS, DIM, SEEN = 40_981, 64, 27  # gowalla's catalogue and a usual history


def run() -> list[Row]:
    """Rank generated rows, in which a few directions count most, from either table."""
    random = np.random.default_rng(0)
    weights = np.linspace(2, 0.2, DIM)
    users, items = (
        (random.normal(size=(count, DIM)) * weights).astype(np.float32) for count in (BATCH, ITEMS)
    )
    print(f"{ITEMS} items, d = {DIM}, K = {K}, {SEEN} seen by each user")
    with ranking_programs(items) as programs:
        return [row for table, rank in programs.items() for row in _rows(table, rank, users, random)]


def _rows(table: str, rank: Rank, users: np.ndarray, random: np.random.Generator) -> Iterator[Row]:
    seen = [np.sort(random.choice(ITEMS, SEEN, replace=False)) for _ in users]
    order = random.permutation(ITEMS)
    none = order[:0]
    filters = {
        "nothing": (None, none),
        "100 excluded": (None, order[:100]),
        "10 % excluded": (None, order[: ITEMS // 10]),
        "50 % allowed": (order[: ITEMS // 2], none),
        "10 % allowed": (order[: ITEMS // 10], none),
        "1 % allowed": (order[: ITEMS // 100], none),
        "100 allowed": (order[:100], none),
    }
    with native_threads(1):
        for name, (only, never) in filters.items():
            for count, runs in ((1, 200), (BATCH, 9)):
                rows = users[:count]
                whole = [Barred((those,)) for those in seen[:count]]
                filtered = [Barred((those,), only, never) for those in seen[:count]]
                _check(rank, rows, filtered)
                rank(rows, whole)
                yield compare(
                    f"{table}, {name}, {count} user{'s' * (count > 1)}",
                    lambda rows=rows, barred=filtered: rank(rows, barred),  # type: ignore[misc]
                    lambda rows=rows, barred=whole: rank(rows, barred),  # type: ignore[misc]
                    runs=runs,
                )


def _check(rank: Rank, rows: np.ndarray, filtered: list[Barred]) -> None:
    """End the run unless the first users get the best of what is open to them, best first."""
    found, scores = (part.copy() for part in rank(rows, filtered))
    for user, barred in enumerate(filtered[:3]):
        mask = np.empty(ITEMS, bool)
        write_masks([barred], mask[None])
        everything = Barred((np.flatnonzero(mask),))
        again, points = rank(rows[user : user + 1], [everything])
        if not (np.array_equal(found[user], again[0]) and np.array_equal(scores[user], points[0])):
            raise SystemExit("a filtered ranking is not the one of its mask")
        if mask[found[user][found[user] >= 0]].any() or (np.diff(scores[user]) > 0).any():
            raise SystemExit("a filtered ranking has an item that may not come, or is out of order")
        # What is left out must be no better than the last that came: items are scored one by one.
        left = np.setdiff1d(np.flatnonzero(~mask), found[user])
        best, best_scores = rank(rows[user : user + 1], [Barred((), left)])
        if best[0, 0] >= 0 and best_scores[0, 0] > scores[user, -1]:
            raise SystemExit("a filtered ranking lacks a better item")
