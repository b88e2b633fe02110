"""Raw ids to indices and back: sorted arrays and binary search, a few bytes an id and no Python objects.

Ids ascend by rank: numerically if all of a side are integers, otherwise by code point, which is also the
order of their UTF-8 bytes. Which index each has is the bundle's choice.

Lookup goes by type and text. An id is a text or an integer, numpy's included; an integer and its decimal text
are the same id, in maps of either kind. Everything else is unknown whatever it equals: 1.0, True, None, b"1".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, overload

import numpy as np

from lerg_runtime._limits import MAX_ID_BYTES
from lerg_runtime.errors import BundleError

__all__ = ["IdMap", "IntegerIds", "RawId", "TextIds", "id_text", "ids_from_values"]

RawId = int | str

_CANONICAL = re.compile(r"0|-?[1-9][0-9]{0,18}")
_INT64 = np.iinfo(np.int64)
_TAKEN_AT_ONCE = 4096


class IdMap(Protocol):
    """The raw ids of one side: a sequence of Python integers or texts in index order.

    `raw in ids` and `ids.index(raw)` look up as `find` does; a slice is a list.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[RawId]: ...

    def __reversed__(self) -> Iterator[RawId]: ...

    def __contains__(self, raw: object) -> bool: ...

    @overload
    def __getitem__(self, at: int) -> RawId: ...

    @overload
    def __getitem__(self, at: slice) -> list[RawId]: ...

    def index(self, raw: object) -> int:
        """Index of a raw id; raises ValueError for one that is not there."""

    def count(self, raw: object) -> int:
        """1 for an id that is there, else 0."""

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays behind the map."""

    def find(self, raw: object) -> int:
        """Index of a raw id, or -1."""

    def find_many(self, raw: Sequence[object] | np.ndarray) -> np.ndarray:
        """int32 [n] indices of raw ids, -1 where unknown."""

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Raw ids of `indices`: int64, or an object array of str, of the same shape."""


class _Listed:
    """What makes a sequence of a map, by its `__len__`, `find` and `take`."""

    __slots__ = ()

    def __iter__(self: Any) -> Iterator[RawId]:
        for start in range(0, len(self), _TAKEN_AT_ONCE):
            yield from self.take(np.arange(start, min(start + _TAKEN_AT_ONCE, len(self)))).tolist()

    def __reversed__(self: Any) -> Iterator[RawId]:
        return (self[at] for at in range(len(self) - 1, -1, -1))

    def __contains__(self: Any, raw: object) -> bool:
        return bool(self.find(raw) >= 0)

    def __getitem__(self: Any, at: Any) -> Any:
        if isinstance(at, slice):
            return self.take(np.arange(*at.indices(len(self)))).tolist()
        index = operator.index(at)
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no id number {index}; there are {len(self)}")
        return self.take(np.array([index % len(self)])).tolist()[0]

    def index(self: Any, raw: object) -> int:
        found: int = self.find(raw)
        if found < 0:
            raise ValueError(f"{raw!r} is not among these {len(self)} ids")
        return found

    def count(self: Any, raw: object) -> int:
        return int(self.find(raw) >= 0)

    def __repr__(self: Any) -> str:
        shown = [*map(repr, self[:3]), *(["..."] if len(self) > 3 else [])]
        return f"<{len(self)} ids: {', '.join(shown)}>" if shown else "<no ids>"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class IntegerIds(_Listed):
    """Ids that are integers. Lookup also takes their decimal text, as a command line has it.

    Attributes:
        values: int64 [n], by index.
        ascending: int32 [n], the indices by rank; None where indices are ranks.
    """

    values: np.ndarray
    ascending: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not _ascend(self.values, self.ascending):
            raise BundleError("integer ids must ascend without repeats; export the bundle again")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + (0 if self.ascending is None else self.ascending.nbytes)

    def find(self, raw: object) -> int:
        value = _integer(raw)
        return -1 if value is None else int(self._search(np.array([value], dtype=np.int64))[0])

    def find_many(self, raw: Sequence[object] | np.ndarray) -> np.ndarray:
        if isinstance(raw, np.ndarray) and raw.dtype == np.int64:
            return self._search(raw)
        values = [_integer(value) for value in raw]
        known = np.array([value is not None for value in values], dtype=bool)
        found = self._search(np.array([value or 0 for value in values], dtype=np.int64))
        return np.where(known, found, np.int32(-1))

    def take(self, indices: np.ndarray) -> np.ndarray:
        return self.values[indices]

    def _search(self, values: np.ndarray) -> np.ndarray:
        if len(self.values) == 0:
            return np.full(len(values), -1, dtype=np.int32)
        at = np.minimum(np.searchsorted(self.values, values, sorter=self.ascending), len(self.values) - 1)
        if self.ascending is not None:
            at = self.ascending[at]
        return np.where(self.values[at] == values, at, -1).astype(np.int32)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TextIds(_Listed):
    """Ids that are text: one blob of UTF-8 and where each id starts. Looking up 12 finds "12".

    Attributes:
        blob: uint8 [bytes], by rank.
        offsets: int64 [n + 1], ascending from 0 to the blob's length.
        index_of, rank_of: int32 [n], the index of each rank and the rank of each index; None where indices
            are ranks.
    """

    blob: np.ndarray
    offsets: np.ndarray
    index_of: np.ndarray | None = None
    rank_of: np.ndarray | None = None

    @classmethod
    def from_lengths(
        cls, blob: np.ndarray, lengths: np.ndarray, *, offsets: np.ndarray | None = None
    ) -> TextIds:
        """Checked map from a bundle's arrays: uint8 [bytes] and uint32 [n].

        Args:
            blob: the ids' UTF-8, one after the other.
            lengths: bytes of each id.
            offsets: int64 [n + 1] to fill, made here when None.

        Raises:
            BundleError: lengths that do not add up, text that is not UTF-8, or ids out of order.
        """
        offsets = np.empty(len(lengths) + 1, dtype=np.int64) if offsets is None else offsets
        offsets[0] = 0
        np.cumsum(lengths, dtype=np.int64, out=offsets[1:])
        if int(offsets[-1]) != len(blob) or (len(lengths) and int(lengths.max()) > MAX_ID_BYTES):
            raise BundleError("the lengths of the ids do not fit their text; export the bundle again")
        return cls.checked(blob, offsets)

    @classmethod
    def checked(cls, blob: np.ndarray, offsets: np.ndarray) -> TextIds:
        """The map of texts that follow each other, by rank.

        Raises:
            BundleError: text that is not UTF-8, or ids out of order.
        """
        ids = cls(blob, offsets)
        previous: bytes | None = None
        for index in range(len(ids)):
            current = ids._bytes(index)
            if previous is not None and current <= previous:
                raise BundleError("text ids must ascend without repeats; export the bundle again")
            try:
                current.decode()
            except UnicodeDecodeError:
                raise BundleError(f"id number {index} is not UTF-8; export the bundle again") from None
            previous = current
        return ids

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        order = (self.index_of, self.rank_of)
        return self.blob.nbytes + self.offsets.nbytes + sum(part.nbytes for part in order if part is not None)

    def find(self, raw: object) -> int:
        text = id_text(raw)
        return -1 if text is None else self._search(text)

    def find_many(self, raw: Sequence[object] | np.ndarray) -> np.ndarray:
        # Lines of one user follow each other: a short memory, by text alone, saves most of the searches.
        seen: dict[str, int] = {}
        found = np.full(len(raw), -1, dtype=np.int32)
        for position, value in enumerate(raw):
            text = id_text(value)
            if text is None:
                continue
            index = seen.get(text)
            if index is None:
                if len(seen) >= 4096:
                    seen.clear()
                index = seen[text] = self._search(text)
            found[position] = index
        return found

    def take(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices)
        texts = np.empty(indices.size, dtype=object)
        flat = indices.reshape(-1)
        for position, rank in enumerate(flat if self.rank_of is None else self.rank_of[flat]):
            texts[position] = self._bytes(int(rank)).decode()
        return texts.reshape(indices.shape)

    def _search(self, text: str) -> int:
        try:
            wanted = text.encode()
        except UnicodeEncodeError:
            return -1
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._bytes(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self) or self._bytes(low) != wanted:
            return -1
        return low if self.index_of is None else int(self.index_of[low])

    def _bytes(self, rank: int) -> bytes:
        return self.blob[self.offsets[rank] : self.offsets[rank + 1]].tobytes()


def ids_from_values(values: Iterable[RawId] | np.ndarray) -> IntegerIds | TextIds:
    """Map of ids in index order; integers if all are, otherwise text.

    Raises:
        BundleError: repeated, of mixed types, or longer than an id may be.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return _integers(np.ascontiguousarray(values, dtype=np.int64))
    listed = list(values)
    if all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in listed):
        return _integers(np.array(listed, dtype=np.int64))
    if not all(isinstance(value, str) for value in listed):
        raise BundleError("the ids of a side must all be integers or all be text")
    encoded = [str(value).encode() for value in listed]
    ranked = sorted(range(len(encoded)), key=encoded.__getitem__)
    by_rank = [encoded[index] for index in ranked]
    lengths = np.array([len(text) for text in by_rank], dtype=np.uint32)
    ids = TextIds.from_lengths(np.frombuffer(b"".join(by_rank), dtype=np.uint8), lengths)
    if ranked == list(range(len(ranked))):
        return ids
    index_of = np.array(ranked, dtype=np.int32)
    return replace(ids, index_of=index_of, rank_of=_inverse(index_of))


def _integers(values: np.ndarray) -> IntegerIds:
    if _ascend(values, None):
        return IntegerIds(values)
    return IntegerIds(values, np.argsort(values, kind="stable").astype(np.int32))


def _ascend(values: np.ndarray, order: np.ndarray | None) -> bool:
    """Whether int64 values rise strictly, in an order of theirs; looked at in parts."""
    for start in range(0, len(values), _TAKEN_AT_ONCE):
        part = slice(start, start + _TAKEN_AT_ONCE + 1)
        some = values[part] if order is None else values[order[part]]
        if not bool(np.all(some[1:] > some[:-1])):
            return False
    return True


def _inverse(order: np.ndarray) -> np.ndarray:
    places = np.empty_like(order)
    places[order] = np.arange(len(order), dtype=order.dtype)
    return places


def id_text(raw: object) -> str | None:
    """`raw` as plain text if it is a text or an integer: of one id always the same one."""
    if isinstance(raw, str):
        return str.__str__(raw)  # plain, whatever a class of texts makes of it
    if _is_integer(raw):
        # What no bundle can hold need not be written out: Python refuses integers of many digits.
        value = int(raw)  # type: ignore[call-overload]
        return str(value) if value.bit_length() <= 4096 else None
    return None


def _is_integer(raw: object) -> bool:
    # numpy counts spans of time as integers.
    return isinstance(raw, (int, np.integer)) and not isinstance(raw, (bool, np.bool_, np.timedelta64))


def _integer(raw: object) -> int | None:
    """`raw` as an int64 if it is an integer or the canonical decimal text of one."""
    if isinstance(raw, str):
        if not _CANONICAL.fullmatch(raw):
            return None
        value = int(raw)
    elif _is_integer(raw):
        value = int(raw)  # type: ignore[call-overload]
    else:
        return None
    return value if _INT64.min <= value <= _INT64.max else None
