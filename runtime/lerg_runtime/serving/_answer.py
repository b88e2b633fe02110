"""Rankings as callers get them: raw ids and scores."""

from __future__ import annotations

import numpy as np

from lerg_runtime.bundle._ids import IdMap

__all__ = ["Answer", "Ranking", "raw_ids"]

Ranking = tuple[np.ndarray, np.ndarray]
"""Raw ids, and scores float32."""


def raw_ids(ids: IdMap, indices: np.ndarray) -> np.ndarray:
    """Raw ids of indices; of an index below 0 it is -1, or None among ids that are text."""
    raw = ids.take(np.maximum(indices, 0))
    raw[indices < 0] = None if raw.dtype == object else -1
    return raw


class Answer:
    """The two arrays that a caller gets, filled part by part: beside them nothing grows with their size.

    Args:
        ids: raw ids of what is ranked.
        rows: how many rankings.
        k: places of each.
    """

    def __init__(self, ids: IdMap, rows: int, k: int) -> None:
        self._ids = ids
        nothing = raw_ids(ids, np.full(1, -1)) if len(ids) else np.full(1, -1)
        self._raw_ids = np.full((rows, k), nothing[0], dtype=nothing.dtype)
        self._scores = np.full((rows, k), -np.inf, dtype=np.float32)
        self._texts: dict[int, object] = {}  # one object an id, however often it comes

    def put(self, rows: np.ndarray, ranks: slice, indices: np.ndarray, scores: np.ndarray) -> None:
        """Write these places of the rankings of `rows`."""
        self._raw_ids[rows, ranks] = self._raw(indices)
        self._scores[rows, ranks] = scores

    def merge(self, row: int, indices: np.ndarray, scores: np.ndarray) -> None:
        """Put more entries into the ranking of a row, which come after those of the same score.

        Args:
            indices: integer [n]; scores: float32 [n], finite.
        """
        together = np.concatenate((self._scores[row], scores))
        order = np.argsort(-together, kind="stable")[: self._scores.shape[1]]
        self._raw_ids[row] = np.concatenate((self._raw_ids[row], self._raw(indices)))[order]
        self._scores[row] = together[order]

    def of_all(self) -> Ranking:
        """Both arrays, [rows, k]."""
        return self._raw_ids, self._scores

    def of_one(self) -> Ranking:
        """The first row, without the places after the last entry."""
        there = self._scores[0] > -np.inf
        return self._raw_ids[0][there], self._scores[0][there]

    def _raw(self, indices: np.ndarray) -> np.ndarray:
        if self._raw_ids.dtype != object:
            return raw_ids(self._ids, indices)
        distinct, places = np.unique(indices, return_inverse=True)
        new = np.array([index for index in distinct.tolist() if index not in self._texts], dtype=np.int64)
        self._texts.update(zip(new.tolist(), raw_ids(self._ids, new).tolist(), strict=True))
        texts = np.empty(len(distinct), dtype=object)
        texts[:] = [self._texts[index] for index in distinct.tolist()]
        return texts[places.reshape(indices.shape)]
