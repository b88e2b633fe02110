"""From a history to the row that somebody is ranked by.

Somebody who has touched the items i_1 .. i_n, the oldest first, has the row

    h = M sum over r of w_r h_{i_r} / sqrt(n deg(i_r)),

one hop of the propagation rule (LightGCN, arXiv 2002.02126, equation 3) with two additions of this project's
own. Recency: w_r = 2^(-(n - r) / half-life), so that the latest item counts in full and those before it ever
less. And a metric, from the item rows H as they are served,

    M = (H'H d / tr(H'H) + ridge I)^-1,

the closed form by which ridge regression of all items on the history folds a user in, as for ALS (Hu, Koren
and Volinsky, ICDM 2008) and EASE (arXiv 1905.03375), up to a factor that no ranking sees. Directions that all
items share count less in it than those that tell items apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.errors import InputError

__all__ = ["Histories", "HistoryRule", "history_rows", "recency_weights", "ridge_metric"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRule:
    """How a history becomes a row.

    Attributes:
        ridge: weight of the identity in the metric; None for no metric.
        half_life: items after which an older one counts half as much; None where all count alike.

    Raises:
        InputError: a value that is not above 0.
    """

    ridge: float | None = None
    half_life: float | None = None

    def __post_init__(self) -> None:
        for name in ("ridge", "half_life"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise InputError(f"{name} is {value}; it must be above 0, or None")

    def described(self) -> dict[str, float | None]:
        """As a manifest has it."""
        return {"ridge": self.ridge, "half_life": self.half_life}

    def __str__(self) -> str:
        parts = [f"{name.replace('_', '-')} {value:g}" for name, value in self.described().items() if value]
        return ", ".join(parts) or "one hop"


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What some people have touched, each in the order of time.

    Attributes:
        items: int [n], item indices of the first person, the oldest first, then of the next.
        starts: int64 [B + 1], where each begins.
    """

    items: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Histories:
        """From one array of item indices a person."""
        lengths = [len(row) for row in rows]
        items = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        return cls(items, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 [B]."""
        return np.diff(self.starts)

    @property
    def ranks(self) -> np.ndarray:
        """int64 [n], 0 for the latest item of each person."""
        return np.repeat(self.starts[1:], self.lengths) - 1 - np.arange(len(self.items))

    def part(self, start: int, end: int) -> Histories:
        """The people from `start` up to `end`."""
        first, last = self.starts[start], self.starts[end]
        return Histories(self.items[first:last], self.starts[start : end + 1] - first)

    def matrix(self, item_count: int) -> sparse.csr_matrix:
        """float32 [B, I], 1 where an item is in a history."""
        ones = np.ones(len(self.items), np.float32)
        return sparse.csr_matrix((ones, self.items, self.starts), shape=(len(self), item_count))


def recency_weights(ranks: np.ndarray, half_life: float | None) -> np.ndarray:
    """2^(-rank / half-life), or ones.

    Args:
        ranks: int [n], 0 for the latest item.

    Returns:
        float64 [n].
    """
    if half_life is None:
        return np.ones(len(ranks))
    weights: np.ndarray = np.exp2(-np.asarray(ranks, np.float64) / half_life)
    return weights


def ridge_metric(item_rows: np.ndarray, ridge: float | None) -> np.ndarray:
    """M = (H'H d / tr(H'H) + ridge I)^-1, or the identity.

    Its eigenvalues lie between 1 / (ridge + d) and 1 / ridge.

    Args:
        item_rows: float [I, d].

    Returns:
        float64 [d, d], symmetric.
    """
    dim = item_rows.shape[1]
    if ridge is None:
        return np.eye(dim)
    rows = item_rows.astype(np.float64)
    gram = rows.T @ rows
    trace = float(np.trace(gram))
    if trace > 0.0:
        gram *= dim / trace
    inverse = np.linalg.inv(gram + ridge * np.eye(dim))
    return (inverse + inverse.T) / 2


def history_rows(
    histories: Histories,
    item_rows: np.ndarray,
    degrees: np.ndarray,
    *,
    half_life: float | None = None,
    newcomers: int = 0,
) -> np.ndarray:
    """The rows before the metric; zeros for an empty history.

    Args:
        item_rows: float32 [I, d].
        degrees: int [I], users who have touched each item.
        newcomers: 1 for people who are not counted in `degrees`, else 0.

    Returns:
        float32 [B, d].
    """
    counts = np.maximum(degrees[histories.items] + newcomers, 1) * np.repeat(
        histories.lengths, histories.lengths
    )
    weights = recency_weights(histories.ranks, half_life) / np.sqrt(counts)
    shape = (len(histories), len(item_rows))
    summed = sparse.csr_matrix((weights.astype(np.float32), histories.items, histories.starts), shape=shape)
    rows: np.ndarray = np.asarray(summed @ item_rows, np.float32)
    return rows
