"""A linear map from features of items to their rows, by ridge regression, chosen on items held out.

The row of an item with the vector x is b + W' x, with W' = (Xc' Yc)' (Xc' Xc + lambda)^-1 over the items that
have features, their vectors and rows less the means, and b what makes the mean row come out at the mean
vector. Lambda is, for a category, as many items as must share a value before it counts half.

A regression's rows are shorter than those that it is fitted to, the more so the less features say, and an
item with a short row is hardly ever among the first of a whole catalogue. The map is multiplied by what makes
its rows as long as the items' in the quadratic mean, so that a new item stands beside the others as an
average one does. Among themselves that changes no ranking.

Lambda is chosen by hiding items: a fifth of them at a time is left out of the regression and of what users
have touched, and for each user the hidden items are ranked by their mapped rows. Whether the map says
anything at all is asked of the same rankings with the rows of hidden items exchanged at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse

from lerg_edge.data.features import ItemFeatures
from lerg_edge.features.encoding import Encoding

__all__ = ["PENALTIES", "FeatureMap", "MapTrial", "choose_map", "hidden_folds"]

PENALTIES = (1.0, 10.0, 100.0, 1_000.0)
_FOLDS = 5
_FEWEST_ITEMS = 50  # with features: fewer than ten hidden at a time tell nothing
_MOST_USERS = 2_000
_EXCHANGES = 20
_SURE = 3.0  # deviations of the rankings by chance
_K = 20
_ROWS_AT_ONCE = 2_048
_USERS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """Rows from features.

    Attributes:
        encoding: of features as vectors.
        weights: int8 [F, d], and scales, float32 [F]: what a place adds to a row is weight * scale.
        offset: float32 [d], the row of an item of which nothing is known.
        gain: what the regression has been multiplied by.
        penalty: lambda.
    """

    encoding: Encoding
    weights: np.ndarray
    scales: np.ndarray
    offset: np.ndarray
    penalty: float
    gain: float

    def rows(self, features: ItemFeatures, items: np.ndarray) -> np.ndarray:
        """Rows of some items, float32 [n, d]."""
        vectors = self.encoding.matrix(features, items) * self.scales
        return (vectors @ self.weights + self.offset).astype(np.float32)


@dataclass(frozen=True, slots=True)
class MapTrial:
    """What items held out gave.

    Attributes:
        scores: NDCG@20 of hidden items by lambda; empty where too few items have features.
        chance: mean of the same with rows exchanged, and its deviation.
        items: that have features and somebody who touched them.
        penalty: the lambda that was chosen; None where no map is better than chance.
    """

    scores: dict[float, float]
    chance: tuple[float, float]
    items: int
    penalty: float | None

    def described(self) -> dict[str, Any]:
        """As a manifest has it, for people."""
        return {
            "items": self.items,
            "folds": _FOLDS,
            "ndcg@20": {f"{penalty:g}": round(score, 6) for penalty, score in self.scores.items()},
            "chance": round(self.chance[0], 6),
            "chance_deviation": round(self.chance[1], 6),
            "penalty": self.penalty,
        }


def choose_map(
    features: ItemFeatures, rows: np.ndarray, touched: sparse.csr_matrix, *, seed: int
) -> tuple[FeatureMap | None, MapTrial]:
    """The map that ranks hidden items best, None where none does so better than chance.

    Args:
        features: of the I items.
        rows: float [I, d], what each is ranked by.
        touched: [U, I], training interactions.
        seed: of folds, users and exchanges.

    Raises:
        InputError: the features cannot be encoded; see `Encoding.of`.
    """
    encoding = Encoding.of(features)
    items = np.flatnonzero(features.known & (np.bincount(touched.indices, minlength=len(rows)) > 0))
    if len(items) < _FEWEST_ITEMS:
        return None, MapTrial({}, (0.0, 0.0), len(items), None)
    rng = np.random.default_rng([seed, 31])
    folds = hidden_folds(items, rng)
    sums = [_Sums.of(encoding, features, rows, fold) for fold in folds]
    rankings = [_Rankings(rows, touched, fold, rng) for fold in folds]
    whole = _Sums.together(sums)
    scores: dict[float, float] = {}
    tops: dict[float, list[np.ndarray]] = {}
    for penalty in PENALTIES:
        tops[penalty] = []
        for fold, hidden, ranking in zip(folds, sums, rankings, strict=True):
            weights, offset = whole.without(hidden).solved(penalty)
            tops[penalty].append(ranking.top(encoding.matrix(features, fold) @ weights + offset))
        scores[penalty] = _mean_ndcg(rankings, tops[penalty], None)
    best = max(scores, key=lambda penalty: (scores[penalty], penalty))
    exchanged = [
        _mean_ndcg(rankings, tops[best], [rng.permutation(len(fold)) for fold in folds])
        for _ in range(_EXCHANGES)
    ]
    chance = (float(np.mean(exchanged)), float(np.std(exchanged, ddof=1)))
    sure = scores[best] > chance[0] + _SURE * chance[1]
    trial = MapTrial(scores, chance, len(items), best if sure else None)
    if not sure:
        return None, trial
    weights, offset = whole.solved(best)
    gain = _gain(encoding.matrix(features, items) @ weights + offset, rows[items])
    return _quantised(encoding, gain * weights, gain * offset, penalty=best, gain=gain), trial


def hidden_folds(items: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Items in five parts of equal size, each ascending."""
    return [np.sort(part) for part in np.array_split(rng.permutation(items), _FOLDS)]


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What a regression asks of its items: number, sums, and products of vectors and rows."""

    count: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, encoding: Encoding, features: ItemFeatures, rows: np.ndarray, items: np.ndarray) -> _Sums:
        places, dim = encoding.size, rows.shape[1]
        x, y = np.zeros(places), np.zeros(dim)
        xx, xy = np.zeros((places, places)), np.zeros((places, dim))
        for start in range(0, len(items), _ROWS_AT_ONCE):
            part = items[start : start + _ROWS_AT_ONCE]
            vectors, wanted = encoding.matrix(features, part), rows[part].astype(np.float64)
            x += vectors.sum(axis=0)
            y += wanted.sum(axis=0)
            xx += vectors.T @ vectors
            xy += vectors.T @ wanted
        return cls(len(items), x, y, xx, xy)

    @classmethod
    def together(cls, parts: Sequence[_Sums]) -> _Sums:
        return cls(
            sum(part.count for part in parts),
            *(sum(getattr(part, name) for part in parts) for name in ("x", "y", "xx", "xy")),
        )

    def without(self, other: _Sums) -> _Sums:
        return _Sums(
            self.count - other.count,
            *(getattr(self, name) - getattr(other, name) for name in ("x", "y", "xx", "xy")),
        )

    def solved(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights float64 [F, d] and offset [d]."""
        mean_x, mean_y = self.x / self.count, self.y / self.count
        products = self.xx - np.outer(mean_x, self.x)
        products[np.diag_indices_from(products)] += penalty
        wanted = self.xy - np.outer(mean_x, self.y)
        weights = linalg.solve(products, wanted, assume_a="pos")
        return weights, mean_y - mean_x @ weights


class _Rankings:
    """Users who have touched hidden items and others, by the others."""

    def __init__(
        self, rows: np.ndarray, touched: sparse.csr_matrix, hidden: np.ndarray, rng: np.random.Generator
    ) -> None:
        is_hidden = np.zeros(touched.shape[1], dtype=np.float32)
        is_hidden[hidden] = 1.0
        wanted = touched @ is_hidden
        left = np.diff(touched.indptr) - wanted
        eligible = np.flatnonzero((wanted > 0) & (left > 0))
        users = np.sort(rng.permutation(eligible)[:_MOST_USERS])
        chosen = touched[users].astype(np.float32)
        self._wanted = chosen[:, hidden].tocsr()
        # One hop of the propagation rule from the items that are left: as somebody is served by a history.
        degrees = np.maximum(np.bincount(touched.indices, minlength=touched.shape[1]), 1)
        weights = (1.0 - is_hidden) / np.sqrt(degrees)
        self._rows = (chosen @ sparse.diags_array(weights.astype(np.float32)).tocsr()) @ rows.astype(
            np.float32
        )
        gains = 1.0 / np.log2(np.arange(_K) + 2.0)
        self._gains = gains
        counts = np.minimum(np.diff(self._wanted.indptr), _K)
        self._ideal = np.concatenate(([0.0], np.cumsum(gains)))[counts]

    def top(self, rows: np.ndarray) -> np.ndarray:
        """The hidden items that each user is given, int64 [users, k], best first."""
        k = min(_K, len(rows))
        found = np.empty((len(self._rows), k), dtype=np.int64)
        for start in range(0, len(found), _USERS_AT_ONCE):
            scores = self._rows[start : start + _USERS_AT_ONCE] @ rows.T
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
            found[start : start + len(scores)] = np.take_along_axis(best, order, axis=1)
        return found

    def ndcgs(self, top: np.ndarray, order: np.ndarray | None) -> np.ndarray:
        """Of each user, float64 [users], with hidden items exchanged by an order."""
        given = top if order is None else order[top]
        dense = np.zeros(self._wanted.shape[1], dtype=bool)
        found = np.empty(len(given))
        indptr, indices = self._wanted.indptr, self._wanted.indices
        for row, items in enumerate(given):
            mine = indices[indptr[row] : indptr[row + 1]]
            dense[mine] = True
            found[row] = self._gains[: len(items)][dense[items]].sum()
            dense[mine] = False
        return found / self._ideal


def _mean_ndcg(
    rankings: Sequence[_Rankings], tops: Sequence[np.ndarray], order: Sequence[np.ndarray] | None
) -> float:
    orders = order if order is not None else [None] * len(rankings)
    found = [
        ranking.ndcgs(top, exchanged) for ranking, top, exchanged in zip(rankings, tops, orders, strict=True)
    ]
    every = np.concatenate(found)
    return float(every.mean()) if len(every) else 0.0


def _gain(mapped: np.ndarray, rows: np.ndarray) -> float:
    """What makes mapped rows as long as rows in the quadratic mean; 1 where one of both is zero."""
    lengths = [float(np.square(each, dtype=np.float64).sum()) for each in (mapped, rows)]
    return float(np.sqrt(lengths[1] / lengths[0])) if min(lengths) > 0 else 1.0


def _quantised(
    encoding: Encoding, weights: np.ndarray, offset: np.ndarray, *, penalty: float, gain: float
) -> FeatureMap:
    scales = (np.abs(weights).max(axis=1) / 127.0).astype(np.float32)
    scales[scales == 0] = 1.0
    whole = np.clip(np.rint(weights / scales[:, None].astype(np.float64)), -127, 127).astype(np.int8)
    return FeatureMap(encoding, whole, scales, offset.astype(np.float32), penalty, gain)
