"""How sure metrics are, and how sure the difference of two bundles on the same users is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from lerg_runtime.errors import InputError
from lerg_runtime.serving._bootstrap import percentile_interval, resampled_sums
from lerg_runtime.serving._per_user import FIGURES, UserFigures

__all__ = ["RESAMPLES", "Comparison", "Difference", "Interval", "compare_users", "user_intervals"]

RESAMPLES = 1000
_MOST_RESAMPLES = 100_000
_USERS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % percentile interval of the bootstrap over users."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of two bundles on the same users.

    Attributes:
        this, other: the averages of either bundle over the users of the comparison.
        difference: this - other.
        low, high: bounds of its 95 % paired bootstrap interval: in each resample both bundles are averaged
            over the same users.
    """

    this: float
    other: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of two bundles.

    Attributes:
        users: whom both were measured on, and on as many pairs.
        left_out: users of this one that the comparison leaves out: the other was not measured on them, or
            on another number of pairs.
        other_left_out: likewise of the other one.
        resamples, seed: of the bootstrap.
        differences: by name, such as `ndcg@20`. Coverage is no average over users and not among them.
    """

    users: int
    left_out: int
    other_left_out: int
    resamples: int
    seed: int
    differences: Mapping[str, Difference]

    def as_dict(self) -> dict[str, object]:
        """Plain values, `differences` among them as an object by name."""
        return asdict(self)


def user_intervals(figures: UserFigures, *, resamples: int, seed: int) -> dict[str, Interval]:
    """An interval by the name of each metric; of one that is not defined there is none.

    Raises:
        InputError: there cannot be so many resamples.
    """
    _check(resamples)
    blocks = (_columns(figures, rows) for rows in _parts(len(figures)))
    sums = resampled_sums(blocks, len(figures), _width(figures), resamples=resamples, seed=seed)
    low, high = percentile_interval(_averages(sums, len(figures), len(figures.ks)))
    bounds = zip(_names(figures), low.tolist(), high.tolist(), strict=True)
    return {name: Interval(least, most) for name, least, most in bounds if math.isfinite(least)}


def compare_users(this: UserFigures, other: UserFigures, *, resamples: int, seed: int) -> Comparison:
    """What two bundles differ by on the users whom both know by the same id.

    Raises:
        InputError: other lengths of rankings, no user in common, or there cannot be so many resamples.
    """
    _check(resamples)
    if this.ks != other.ks:
        raise InputError(
            f"rankings of {this.ks} are not to be compared with those of {other.ks}; use the same k"
        )
    width, lengths = _width(this), len(this.ks)
    totals, count = np.zeros(2 * width), 0
    for block in _pairs(this, other):
        totals += block.sum(axis=0)
        count += len(block)
    if count == 0:
        raise InputError(
            "no user was measured on as many pairs of both bundles; compare bundles of the same users "
            "on pairs that neither has learned from"
        )
    sums = resampled_sums(_pairs(this, other), count, 2 * width, resamples=resamples, seed=seed)
    (ours, theirs), (our_sums, their_sums) = (
        [_averages(part[..., side], count, lengths) for side in (slice(0, width), slice(width, None))]
        for part in (totals, sums)
    )
    low, high = percentile_interval(our_sums - their_sums)
    columns = (part.tolist() for part in (ours, theirs, ours - theirs, low, high))
    rows = zip(_names(this), *columns, strict=True)
    return Comparison(
        users=count,
        left_out=len(this) - count,
        other_left_out=len(other) - count,
        resamples=resamples,
        seed=seed,
        differences={name: Difference(*row) for name, *row in rows if all(map(math.isfinite, row))},
    )


def _check(resamples: int) -> None:
    if not 1 <= resamples <= _MOST_RESAMPLES:
        raise InputError(f"resamples is {resamples}; it must be 1 to {_MOST_RESAMPLES}")


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _USERS_AT_ONCE):
        yield slice(start, min(start + _USERS_AT_ONCE, count))


def _pairs(this: UserFigures, other: UserFigures) -> Iterator[np.ndarray]:
    """The columns of both, side by side, of users whom both were measured on with as many pairs."""
    for part in _parts(len(this)):
        theirs = other.ids.find_many(this.ids.take(this.users[part]))
        places = np.minimum(np.searchsorted(other.users, theirs), len(other) - 1)
        same = (other.users[places] == theirs) & (other.tests[places] == this.tests[part])
        if same.any():
            rows = np.arange(part.start, part.stop)[same]
            yield np.concatenate((_columns(this, rows), _columns(other, places[same])), axis=1)


def _columns(figures: UserFigures, rows: slice | np.ndarray) -> np.ndarray:
    """Figures; popularity of recommended items, for users with items of their own; and that of these."""
    values = figures.figures[rows].astype(np.float64)
    own = figures.own_popularity[rows].astype(np.float64)[:, None]
    beside_own = values[:, :, -1] * (own > 0)
    return np.concatenate((values.reshape(len(values), -1), beside_own, own), axis=1)


def _width(figures: UserFigures) -> int:
    return len(figures.ks) * (len(FIGURES) + 1) + 1


def _averages(sums: np.ndarray, count: int, lengths: int) -> np.ndarray:
    """From sums of `_columns` to the metrics of `_names`, [..., K * 9]; NaN for a lift over nothing."""
    figures = lengths * len(FIGURES)
    own = sums[..., -1:]
    lift = sums[..., figures:-1] / np.where(own > 0, own, np.nan) - 1
    return np.concatenate((sums[..., :figures] / count, lift), axis=-1)


def _names(figures: UserFigures) -> list[str]:
    """In the order of `_averages`."""
    return [f"{name}@{k}" for k in figures.ks for name in FIGURES] + [
        f"popularity_lift@{k}" for k in figures.ks
    ]
