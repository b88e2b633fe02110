"""The maps between the ids of a source and positions 0..n-1."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data._arrays import distinct_sorted
from lerg_edge.errors import InputError

__all__ = ["IdMap"]

_CANONICAL_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_INT64 = np.iinfo(np.int64)
_MAX_BYTES = 4096  # of an id in a bundle, UTF-8


def _canonical_integer(text: str) -> int | None:
    """The integer that ``text`` writes the one canonical way ("12", not "012" or "+12"), if it fits int64."""
    # 20 characters hold every int64; the check also keeps int() from chewing on very long digits.
    if len(text) > 20 or not _CANONICAL_INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if _INT64.min <= number <= _INT64.max else None


@dataclass(frozen=True, slots=True, eq=False)
class IdMap:
    """The ids of one side, in index order: ascending as they are read, or in an order of the entities.

    Attributes:
        values: int64 [n], or an object array [n] of str; unique. ``values[index]`` is the id.

    Raises:
        InputError: the values are neither, or not unique.
    """

    values: NDArray[Any]
    _ascending: NDArray[np.int64] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.dtype not in (np.dtype(np.int64), np.dtype(object)):
            raise InputError(
                "ids must be a flat int64 array or object array of strings; use IdMap.from_values"
            )
        if not self.integral and not all(isinstance(value, str) for value in self.values):
            raise InputError("an object array of ids must hold strings only; use IdMap.from_values")
        if not bool(np.all(self.values[:-1] < self.values[1:])):
            order = np.argsort(self.values, kind="stable")
            ascending = self.values[order]
            if not bool(np.all(ascending[:-1] < ascending[1:])):
                raise InputError("ids must be unique; use IdMap.from_values")
            object.__setattr__(self, "_ascending", order)

    @classmethod
    def from_values(cls, values: Iterable[Any]) -> IdMap:
        """The map of the distinct ``values``: integers if all are integers, otherwise all as strings.

        A string stays a string, so that ids come back as they went in; for ids read from text, where
        nothing tells "12" from 12, use ``from_text``.

        Raises:
            InputError: an id is neither an integer nor a non-empty string that UTF-8 can hold in 4,096 bytes.
        """
        if isinstance(values, np.ndarray) and values.dtype.kind == "i":
            return cls(distinct_sorted(values.astype(np.int64).ravel()))
        distinct = {_checked_id(value) for value in values}
        if all(isinstance(value, int) for value in distinct):
            return cls(np.array(sorted(distinct), dtype=np.int64))
        return cls._of_strings({str(value) for value in distinct})

    @classmethod
    def from_text(cls, texts: Iterable[str]) -> IdMap:
        """The map of ids read from text: integers if every one is a canonical decimal that fits int64."""
        distinct = {str(_checked_id(text)) for text in texts}
        numbers = [_canonical_integer(text) for text in distinct]
        if any(number is None for number in numbers):
            return cls._of_strings(distinct)
        return cls(np.sort(np.array(numbers, dtype=np.int64)))

    @classmethod
    def _of_strings(cls, distinct: set[str]) -> IdMap:
        values = np.empty(len(distinct), dtype=object)
        values[:] = sorted(distinct)
        return cls(values)

    @property
    def integral(self) -> bool:
        """True if the ids are integers."""
        return self.values.dtype == np.int64

    def __len__(self) -> int:
        return len(self.values)

    def index_of(self, raw: int | str) -> int:
        """The index of one id; "12" finds 12 in a map of integers and 12 finds "12" in one of strings.

        Raises:
            InputError: the id is not in the map.
        """
        key: Any = _checked_id(raw)
        if self.integral and isinstance(key, str):
            key = _canonical_integer(key)
        elif not self.integral:
            key = str(key)
        if key is not None and len(self.values):
            index = int(np.searchsorted(self.values, key, sorter=self._ascending))
            if index < len(self.values):
                index = index if self._ascending is None else int(self._ascending[index])
                if self.values[index] == key:
                    return index
        raise InputError(f"id {raw!r} is not among the {len(self):,} known ids; check its spelling")

    def indices_of(self, values: Iterable[Any]) -> NDArray[np.int32]:
        """The indices int32 [n] of n ids; the bulk form of ``index_of``.

        Raises:
            InputError: an id is not in the map.
        """
        raws = values.tolist() if isinstance(values, np.ndarray) else list(values)
        expected = int if self.integral else str
        # A table finds what is equal, and 1.0 and True are equal to 1: they are left to index_of, as is an id
        # of the other type or one that is not there.
        if all(type(raw) is expected for raw in raws):
            table = {value: index for index, value in enumerate(self.values.tolist())}
            try:
                return np.fromiter(map(table.__getitem__, raws), dtype=np.int32, count=len(raws))
            except KeyError:
                pass
        return np.array([self.index_of(raw) for raw in raws], dtype=np.int32)

    def __iter__(self) -> Iterator[int | str]:
        return iter(self.values.tolist())

    def __contains__(self, raw: object) -> bool:
        try:
            self.index_of(raw)  # type: ignore[arg-type]
        except InputError:
            return False
        return True

    def __getitem__(self, at: int) -> int | str:
        found = self.values[operator.index(at)]
        return found if isinstance(found, str) else int(found)


def _checked_id(value: Any) -> int | str:
    """``value`` as a Python int or str.  Raises InputError for what cannot be an id."""
    if isinstance(value, str):
        if not value:
            raise InputError("an id is an empty string; every id needs at least one character")
        try:
            length = len(value.encode())
        except UnicodeEncodeError:
            raise InputError(f"id {value!r} cannot be written as UTF-8; clean the text first") from None
        if length > _MAX_BYTES:
            raise InputError(
                f"the id that begins with {value[:20]!r} has {length:,} bytes; a bundle holds ids of up to "
                f"{_MAX_BYTES:,}: is the delimiter right?"
            )
        return str(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if not _INT64.min <= int(value) <= _INT64.max:
            raise InputError(f"id {value} does not fit 64 bits; pass such ids as strings")
        return int(value)
    raise InputError(f"id {value!r} is a {type(value).__name__}; ids must be integers or strings")
