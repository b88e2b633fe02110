"""Adds up the metrics of rankings that come in batches, at several k at once.

The formulas are in docs/metrics.md. Sums are taken user by user, so that no result depends on the batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerg_runtime._numbers import distinct
from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.serving._metrics import Metrics, RankingMetrics, UserGroup
from lerg_runtime.serving._per_user import FIGURES, UserFigures

__all__ = ["MAX_GROUPS", "RankingSums", "group_edges"]

MAX_GROUPS = 4
_ITEMS_AT_ONCE = 1 << 16


def group_edges(ascending: np.ndarray) -> np.ndarray:
    """The greatest count of each group but the last: the quartiles of the counts, each once.

    Args:
        ascending: integer [n] counts of the users, ascending, n >= 1.

    Returns:
        At most 3 counts, ascending, all below the greatest.
    """
    places = [-(-len(ascending) * part // MAX_GROUPS) - 1 for part in range(1, MAX_GROUPS)]
    edges = distinct(ascending[places])
    return edges[edges < ascending[-1]]


class RankingSums:
    """Sums over users, by group.

    Args:
        tests: the test pairs; nothing that grows with them is taken beside.
        known: what users have touched.
        degrees: integer [I], how many users have touched each item.
        ks: lengths of rankings, ascending, each once.
        edges: of `group_edges`.
        covered: uint8 [I] to work in.
        figures: where each user's go, in the order in which they are added; None to keep none.
    """

    def __init__(
        self,
        tests: InteractionRows,
        *,
        known: InteractionRows,
        degrees: np.ndarray,
        ks: Sequence[int],
        edges: np.ndarray,
        covered: np.ndarray,
        figures: UserFigures | None = None,
    ) -> None:
        self._tests, self._known, self._degrees = tests, known, degrees
        self._ks, self._lasts = tuple(ks), np.array(ks) - 1
        self._edges = edges
        self._discounts = 1.0 / np.log2(np.arange(2, ks[-1] + 2))
        self._ideal = np.concatenate(([0.0], np.cumsum(self._discounts)))
        groups = len(edges) + 1
        self._sums = np.zeros((groups, len(ks), len(FIGURES) + 1))  # the last: popularity beside own items
        self._own = np.zeros(groups)
        self._counts = np.zeros((groups, 3), dtype=np.int64)  # users, fewest and most items
        self._covered = covered
        covered[:] = len(ks)
        self._figures, self._added = figures, 0

    def add(self, users: np.ndarray, top: np.ndarray) -> None:
        """Count rankings.

        Args:
            users: int32 [B], each with at least one test item and added once.
            top: int64 [B, greatest k], item indices from best to worst, -1 for none.
        """
        relevant = self._tests.indptr[users + 1] - self._tests.indptr[users]
        figures = np.empty((len(users), len(self._ks), len(FIGURES)))
        self._measure_hits(users, top, relevant, figures)
        self._measure_popularity(top, figures)
        for place in reversed(range(len(self._ks))):
            items = top[:, : self._ks[place]]
            items = items[items >= 0]
            self._covered[items] = np.minimum(self._covered[items], place)
        own = np.array([self._own_popularity(user) for user in users.tolist()])
        lengths = self._known.indptr[users + 1] - self._known.indptr[users]
        groups = np.searchsorted(self._edges, lengths)
        beside_own = figures[:, :, -1:] * (lengths > 0)[:, None, None]
        np.add.at(self._sums, groups, np.concatenate((figures, beside_own), axis=2))
        np.add.at(self._own, groups, own)
        for group in distinct(groups).tolist():
            of_group = lengths[groups == group]
            count, fewest, most = self._counts[group].tolist()
            least = int(of_group.min())
            self._counts[group] = (
                count + len(of_group),
                min(fewest, least) if count else least,
                max(most, int(of_group.max())),
            )
        if self._figures is not None:
            rows = slice(self._added, self._added + len(users))
            self._figures.figures[rows] = figures
            self._figures.own_popularity[rows] = own
            self._figures.tests[rows] = relevant
        self._added += len(users)

    def averages(self) -> Metrics:
        """The metrics of all rankings so far."""
        coverage = [float(np.count_nonzero(self._covered <= place)) for place in range(len(self._ks))]
        items = max(1, len(self._covered))
        return Metrics(
            self._averages(
                self._sums.sum(axis=0),
                float(self._own.sum()),
                self._added,
                coverage=[count / items for count in coverage],
            ),
            users=self._added,
            pairs=len(self._tests),
            groups=tuple(
                UserGroup(
                    fewest, most, users, self._averages(self._sums[group], float(self._own[group]), users)
                )
                for group, (users, fewest, most) in enumerate(self._counts.tolist())
                if users
            ),
            per_user=self._figures,
        )

    def _averages(
        self, sums: np.ndarray, own: float, users: int, *, coverage: Sequence[float] | None = None
    ) -> tuple[RankingMetrics, ...]:
        means = sums[:, :-1] / max(1, users)
        return tuple(
            RankingMetrics(
                k,
                **dict(zip(FIGURES, means[place].tolist(), strict=True)),
                popularity_lift=float(sums[place, -1]) / own - 1 if own else None,
                coverage=None if coverage is None else coverage[place],
            )
            for place, k in enumerate(self._ks)
        )

    def _measure_hits(
        self, users: np.ndarray, top: np.ndarray, relevant: np.ndarray, out: np.ndarray
    ) -> None:
        asked = np.repeat(users, top.shape[1]), top.reshape(-1)
        hits = self._tests.contains(*asked).reshape(top.shape)
        found = np.cumsum(hits, axis=1, dtype=np.int32)
        count = found[:, self._lasts]
        precisions = np.cumsum(hits * found / np.arange(1, top.shape[1] + 1), axis=1)[:, self._lasts]
        first = np.argmax(hits, axis=1)[:, None]
        out[:, :, 0] = count / (self._lasts + 1)
        out[:, :, 1] = count / relevant[:, None]
        out[:, :, 2] = count > 0
        out[:, :, 3] = (count > 0) / (first + 1)
        out[:, :, 4] = precisions / relevant[:, None]
        gains = np.cumsum(hits * self._discounts, axis=1)[:, self._lasts]
        out[:, :, 5] = gains / self._ideal[np.minimum(relevant[:, None], self._lasts + 1)]

    def _measure_popularity(self, top: np.ndarray, out: np.ndarray) -> None:
        there = top >= 0
        recommended = np.maximum(np.cumsum(there, axis=1)[:, self._lasts], 1)
        degrees = self._degrees[np.maximum(top, 0)]
        information = np.log2(self._known.user_count) - np.log2(np.maximum(degrees, 1))
        for column, values in ((6, information), (7, degrees)):
            out[:, :, column] = np.cumsum(values * there, axis=1)[:, self._lasts] / recommended

    def _own_popularity(self, user: int) -> float:
        items = self._known.of_user(user)
        parts = (items[start : start + _ITEMS_AT_ONCE] for start in range(0, len(items), _ITEMS_AT_ONCE))
        return sum(int(self._degrees[part].sum(dtype=np.int64)) for part in parts) / max(1, len(items))
