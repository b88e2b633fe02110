"""`features.arrays`: the map from what is known of an item to its row, for items that nobody has touched.

A category has a place for each of its values, and an item with n known values counts 1 / n at each. Numbers
and vectors count (x - mean) / deviation, and what is missing 0. The row is offset + sum over the places of
x * scale * weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lerg_runtime._limits import MAX_FEATURE_BYTES, MAX_FEATURE_COLUMNS, MAX_FEATURES
from lerg_runtime.bundle._arrays import Allocate, ArrayReader, array_bytes
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._titles import NOT_SHOWN
from lerg_runtime.errors import BundleError, InputError

__all__ = [
    "FEATURES_FILE",
    "FEATURE_KINDS",
    "FeatureColumn",
    "FeatureMap",
    "feature_file",
    "parse_features",
    "read_features",
]

FEATURES_FILE = "features.arrays"
FEATURE_KINDS = ("category", "number", "vector")
_BETWEEN = "|"


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature of items.

    Attributes:
        name: as the export's file has it.
        kind: `category`, `number` or `vector`.
        size: its places: values of a category, 1, or numbers of a vector.
    """

    name: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """Rows from features.

    Attributes:
        columns: in the order of their places.
        values: of each category, in the order of its places.
        means, deviations: float32 [n], of the places of numbers and vectors.
        weights: int8 [F, d], scales: float32 [F], offset: float32 [d].
    """

    columns: tuple[FeatureColumn, ...]
    values: tuple[tuple[str, ...], ...]
    means: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    offset: np.ndarray

    def row(self, features: Mapping[str, Any], *, skip_unknown: bool = False) -> np.ndarray:
        """The row of an item, float32 [d].

        Args:
            features: by name of the column: of a category a text, whose values `|` separates, or several
                texts; a number; of a vector its numbers. Columns that are absent or None count 0.
            skip_unknown: leave out columns and values that the map does not know.

        Raises:
            InputError: there are none, or one is unknown or none of its kind.
        """
        known = {column.name for column in self.columns}
        for name in features:
            if name not in known and not skip_unknown:
                told = ", ".join(repr(column.name) for column in self.columns[:12])
                raise InputError(f"this bundle knows no feature {str(name)[:80]!r} of items; it knows {told}")
        places = np.zeros(len(self.scales))
        start = numbers = category = given = 0
        for column in self.columns:
            part = places[start : start + column.size]
            start += column.size
            value = features.get(column.name)
            if column.kind == "category":
                values, category = self.values[category], category + 1
                found = [] if value is None else _found(value, column, values, skip_unknown=skip_unknown)
                part[found] = 1.0 / max(len(found), 1)
                given += len(found)
                continue
            of_column = slice(numbers, numbers + column.size)
            numbers += column.size
            if value is not None:
                part[:] = (_numbers(value, column) - self.means[of_column]) / self.deviations[of_column]
                given += 1
        if not given:
            raise InputError("none of the item's features is one that this bundle knows; give at least one")
        row = np.einsum("f,fd->d", places * self.scales, self.weights, dtype=np.float64)
        found_row: np.ndarray = (row + self.offset).astype(np.float32)
        return found_row


def feature_file(features: FeatureMap) -> bytes:
    """The bytes of `features.arrays`."""
    texts = [value.encode() for values in features.values for value in values]
    return array_bytes(
        {
            "value_lengths": np.array([len(text) for text in texts], dtype=np.uint16),
            "value_text": np.frombuffer(b"".join(texts), dtype=np.uint8),
            "means": features.means.astype(np.float32, copy=False),
            "deviations": features.deviations.astype(np.float32, copy=False),
            "weights": features.weights,
            "scales": features.scales.astype(np.float32, copy=False),
            "offset": features.offset.astype(np.float32, copy=False),
        }
    )


def parse_features(fields: Fields) -> tuple[FeatureColumn, ...]:
    """`features` of a manifest: the columns, in the order of their places; none without it.

    Raises:
        BundleError: a column that cannot be, or too many places.
    """
    if "features" not in fields:
        return ()
    inner = fields.inner("features")
    columns = []
    for at, value in enumerate(inner.listed("columns", most=MAX_FEATURE_COLUMNS)):
        column = Fields.of(value, f"{inner.where}.columns[{at}]")
        kind = column.text("kind", among=FEATURE_KINDS)
        name = column.text("name")
        _check_text(name.encode(), f"{column.where}.name")
        size = column.integer("size", least=1, most=1 if kind == "number" else MAX_FEATURES)
        columns.append(FeatureColumn(name, kind, size))
    if not columns or len({column.name for column in columns}) < len(columns):
        raise BundleError(f"{inner.where}.columns must name at least one column, and each once")
    if sum(column.size for column in columns) > MAX_FEATURES:
        raise BundleError(f"{inner.where}.columns have more than {MAX_FEATURES} places")
    return tuple(columns)


def read_features(
    arrays: ArrayReader, columns: tuple[FeatureColumn, ...], *, dim: int, allocate: Allocate
) -> FeatureMap:
    """The map of a bundle, every value checked.

    Args:
        arrays: of `features.arrays`.
        columns: by the manifest.
        dim: d.
        allocate: memory of the arrays.

    Raises:
        BundleError: an array is absent or does not fit, a text is not to be shown, or a number is none.
    """
    categories = [column.size for column in columns if column.kind == "category"]
    size, texts = sum(column.size for column in columns), sum(categories)
    lengths = arrays.read("value_lengths", dtypes=("uint16",), shape=(texts,), allocate=allocate)
    total = int(lengths.sum(dtype=np.int64))
    if total > texts * MAX_FEATURE_BYTES:
        raise BundleError(f"the values of item features take {total} bytes, which {texts} values may not")
    text = arrays.read("value_text", dtypes=("uint8",), shape=(total,), allocate=allocate).tobytes()
    ends = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))).tolist()
    every = [_check_text(text[first:last], "a value of item features") for first, last in pairwise(ends)]
    edges = np.concatenate(([0], np.cumsum(categories, dtype=np.int64))).tolist()
    values = tuple(tuple(every[first:last]) for first, last in pairwise(edges))
    if any(len(set(listed)) < len(listed) for listed in values):
        raise BundleError("a category of item features has a value twice; export the bundle again")
    floats = {
        name: arrays.read(name, dtypes=("float32",), shape=(length,), allocate=allocate)
        for name, length in (
            ("means", size - texts),
            ("deviations", size - texts),
            ("scales", size),
            ("offset", dim),
        )
    }
    if not all(bool(np.isfinite(array).all()) for array in floats.values()) or not (
        bool((floats["deviations"] > 0).all()) and bool((floats["scales"] > 0).all())
    ):
        raise BundleError("a number of the map of item features cannot be; export the bundle again")
    weights = arrays.read("weights", dtypes=("int8",), shape=(size, dim), allocate=allocate)
    return FeatureMap(columns, values, weights=weights, **floats)


def _check_text(text: bytes, what: str) -> str:
    try:
        shown = text.decode()
    except UnicodeDecodeError:
        raise BundleError(f"{what} is not UTF-8; export the bundle again") from None
    if not 0 < len(text) <= MAX_FEATURE_BYTES or NOT_SHOWN.search(shown):
        raise BundleError(
            f"{what} is not a text of 1 to {MAX_FEATURE_BYTES} bytes without control characters; export the "
            "bundle again"
        )
    return shown


def _found(value: Any, column: FeatureColumn, values: tuple[str, ...], *, skip_unknown: bool) -> list[int]:
    """Places of the values of a category."""
    if isinstance(value, str):
        given: list[Any] = value.split(_BETWEEN)
    elif isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        given = list(value)
    else:
        given = [value]
    texts = dict.fromkeys(str(text).strip() for text in given)
    found = []
    for text in texts:
        if text in values:
            found.append(values.index(text))
        elif text and not skip_unknown:
            raise InputError(
                f"{column.name!r} of the item is {text[:80]!r}, which is none of the {len(values)} values "
                f"that this bundle knows, such as {values[0]!r}; give one of them, or skip what is unknown"
            )
    return sorted(found)


def _numbers(value: Any, column: FeatureColumn) -> np.ndarray:
    """The numbers of a number or a vector, float64 [size]."""
    if isinstance(value, str):
        parts = value.strip("[]").replace(",", " ").split()
    else:
        parts = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value]
    try:
        found = [float(part) for part in parts]
    except (TypeError, ValueError):
        found = [math.nan]
    if len(found) != column.size or not all(map(math.isfinite, found)):
        wanted = "a number" if column.kind == "number" else f"{column.size} numbers"
        raise InputError(f"{column.name!r} of the item must be {wanted}, not {str(value)[:80]!r}")
    return np.array(found)
