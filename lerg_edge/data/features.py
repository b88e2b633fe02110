"""What is known of items beside who has touched them: categories, numbers and vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lerg_edge.errors import InputError

__all__ = ["FeatureColumn", "FeatureKind", "ItemFeatures"]

FeatureKind = Literal["category", "number", "vector"]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureColumn:
    """One feature of every item of a data set.

    Attributes:
        name: as the file has it.
        kind: `category`, `number` or `vector`.
        texts: of a category, by item index: the item's values, each once; none for an item without one.
        numbers: of a number, float64 [I, 1], and of a vector, float64 [I, n]; a row of NaN for an item
            without one.
    """

    name: str
    kind: FeatureKind
    texts: tuple[tuple[str, ...], ...] = ()
    numbers: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if (self.numbers is None) != (self.kind == "category"):
            raise InputError(f"feature {self.name!r} is a {self.kind}; give it texts or numbers to suit")

    def reordered(self, items: NDArray[np.integer]) -> FeatureColumn:
        """The same values of the same items under other indices, given in their new order."""
        return replace(
            self,
            texts=tuple(self.texts[item] for item in items.tolist()) if self.numbers is None else (),
            numbers=None if self.numbers is None else self.numbers[items],
        )


@dataclass(frozen=True, slots=True, eq=False)
class ItemFeatures:
    """The features of the items of a data set.

    Attributes:
        columns: in the order of the file.
        known: bool [I], the items that the file has.
        unknown: items of the file that are not in the data.
    """

    columns: tuple[FeatureColumn, ...]
    known: NDArray[np.bool_]
    unknown: int = 0

    def reordered(self, items: NDArray[np.integer]) -> ItemFeatures:
        """The same features of the same items under other indices, given in their new order."""
        moved = tuple(column.reordered(items) for column in self.columns)
        return replace(self, columns=moved, known=self.known[items])
