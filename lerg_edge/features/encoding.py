"""Features of items as vectors: what a category, a number or a vector counts.

Of a category each value has a place of its own, and an item with n known values has 1 / n at each of them.
Numbers have mean 0 and variance 1 over the items that have one; a vector has mean 0 in each place, and all of
its places together have variance 1, so that it counts as much as one number. What is missing counts 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lerg_edge.data.features import FeatureColumn, FeatureKind, ItemFeatures
from lerg_edge.errors import InputError

__all__ = ["MOST_FEATURES", "EncodedColumn", "Encoding"]

MOST_FEATURES = 2_048
_FEWEST_ITEMS = 2  # a value that one item alone has tells nothing of others
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class EncodedColumn:
    """How one feature is encoded.

    Attributes:
        name, kind: of the column.
        values: of a category, the values that have a place, in the order of their places.
        means, deviations: of a number or a vector, float32 [n]: a place is (x - mean) / deviation.
        left_out: values of a category that have no place.
    """

    name: str
    kind: FeatureKind
    values: tuple[str, ...] = ()
    means: np.ndarray | None = None
    deviations: np.ndarray | None = None
    left_out: int = 0

    @property
    def size(self) -> int:
        """Places of the column."""
        return len(self.values) if self.means is None else len(self.means)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How features become vectors of F places.

    Attributes:
        columns: those that have a place at all, in the order of the file.
        unused: names of the others: a number that is the same for all items, a category without a value that
            two items share.
    """

    columns: tuple[EncodedColumn, ...]
    unused: tuple[str, ...] = ()

    @classmethod
    def of(cls, features: ItemFeatures) -> Encoding:
        """The encoding that suits these items.

        Values that fewer than two items have get no place, and where there are more than `MOST_FEATURES`
        places in all the rarest values get none.

        Raises:
            InputError: numbers and vectors alone take more places, or no column tells items apart.
        """
        numeric = {column.name: _numeric(column) for column in features.columns if column.kind != "category"}
        room = MOST_FEATURES - sum(found.size for found in numeric.values() if found)
        if room < 0:
            raise InputError(
                f"the numbers and vectors of the item features take {MOST_FEATURES - room:,} places and at "
                f"most {MOST_FEATURES:,} may be; shorten the vectors"
            )
        counts = {
            column.name: Counter(value for values in column.texts for value in values)
            for column in features.columns
            if column.kind == "category"
        }
        ranked = sorted(
            (-count, name, value)
            for name, counted in counts.items()
            for value, count in counted.items()
            if count >= _FEWEST_ITEMS
        )
        kept = {(name, value) for _, name, value in ranked[:room]}
        columns, unused = [], []
        for column in features.columns:
            if column.kind == "category":
                counted = counts[column.name]
                values = tuple(sorted(value for value in counted if (column.name, value) in kept))
                found = EncodedColumn(column.name, column.kind, values, left_out=len(counted) - len(values))
            else:
                found = numeric[column.name] or EncodedColumn(column.name, column.kind)
            if found.size:
                columns.append(found)
            else:
                unused.append(column.name)
        if not columns:
            raise InputError(
                "no column of the item features tells items apart: each is the same for all, or has no value "
                "that two items share"
            )
        return cls(tuple(columns), tuple(unused))

    @property
    def size(self) -> int:
        """F."""
        return sum(column.size for column in self.columns)

    def matrix(self, features: ItemFeatures, items: Iterable[int] | np.ndarray) -> np.ndarray:
        """The vectors of some items, float64 [n, F]."""
        wanted = np.asarray(items, dtype=np.int64)
        given = {column.name: column for column in features.columns}
        found = np.zeros((len(wanted), self.size))
        start = 0
        for column in self.columns:
            part = found[:, start : start + column.size]
            start += column.size
            source = given[column.name]
            if column.means is None:
                places = {value: place for place, value in enumerate(column.values)}
                for row, item in enumerate(wanted.tolist()):
                    known = [places[value] for value in source.texts[item] if value in places]
                    part[row, known] = 1.0 / max(len(known), 1)
            else:
                part[:] = (source.numbers[wanted] - column.means) / column.deviations  # type: ignore[index]
        np.nan_to_num(found, copy=False, nan=0.0)
        return found


def _numeric(column: FeatureColumn) -> EncodedColumn | None:
    """Means and deviations of a number or a vector; None if it is the same for all items that have it."""
    numbers = column.numbers[~np.isnan(column.numbers[:, 0])]  # type: ignore[index]
    if not len(numbers):
        return None
    means = numbers.mean(axis=0)
    spread = float(np.sqrt(((numbers - means) ** 2).sum(axis=1).mean()))
    if not spread > _TINY * max(1.0, float(np.abs(means).max())):
        return None
    return EncodedColumn(
        column.name,
        column.kind,
        means=means.astype(np.float32),
        deviations=np.full(len(means), spread, dtype=np.float32),
    )
