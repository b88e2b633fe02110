"""The best of many, of which some come at a time: nothing grows with how many there are."""

from __future__ import annotations

import numpy as np

__all__ = ["Best"]


class Best:
    """The k best entries of each row, by descending score and then ascending index.

    A score that is NaN or -inf is no candidate.

    Args:
        rows: how many rankings.
        k: entries of each.

    Attributes:
        indices: int64 [rows, k], -1 where there are no more.
        scores: float32 [rows, k], -inf there.
    """

    def __init__(self, rows: int, k: int) -> None:
        self.indices = np.full((rows, k), -1, dtype=np.int64)
        self.scores = np.full((rows, k), -np.inf, dtype=np.float32)

    def offer(self, row: int, first: int, scores: np.ndarray) -> None:
        """Take the scores of the entries from `first` on, float32 [n]; offer entries in ascending order."""
        better = np.flatnonzero(scores > self.scores[row, -1])
        if not len(better):
            return
        merged = np.concatenate((self.scores[row], scores[better]))
        indices = np.concatenate((self.indices[row], first + better))
        order = np.argsort(-merged, kind="stable")[: self.scores.shape[1]]
        self.indices[row], self.scores[row] = indices[order], merged[order]
