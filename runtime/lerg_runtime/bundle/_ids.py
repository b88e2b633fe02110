"""Raw ids to indices and back: sorted arrays and binary search, a few bytes an id and no Python objects.

Index order is the sorted order of the raw ids of a side: numerically if all of them are integers, otherwise
by code point, which is also the order of their UTF-8 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lerg_runtime.bundle._limits import MAX_ID_BYTES
from lerg_runtime.errors import BundleError

__all__ = ["IdMap", "IntegerIds", "RawId", "TextIds", "ids_from_values"]

RawId = int | str

_CANONICAL = re.compile(r"0|-?[1-9][0-9]{0,18}")
_INT64 = np.iinfo(np.int64)


class IdMap(Protocol):
    """The raw ids of one side."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays behind the map."""

    def find(self, raw: object) -> int:
        """Index of a raw id, or -1."""

    def find_many(self, raw: Sequence[object]) -> np.ndarray:
        """int32 [n] indices of raw ids, -1 where unknown."""

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Raw ids of `indices`: int64, or an object array of str, of the same shape."""


@dataclass(frozen=True, slots=True)
class IntegerIds:
    """Ids that are integers. Lookup also takes their decimal text, as a command line has it.

    Attributes:
        values: int64 [n], ascending without repeats.
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not bool(np.all(self.values[1:] > self.values[:-1])):
            raise BundleError("integer ids must ascend without repeats; export the bundle again")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def find(self, raw: object) -> int:
        value = _integer(raw)
        return -1 if value is None else int(self._search(np.array([value], dtype=np.int64))[0])

    def find_many(self, raw: Sequence[object]) -> np.ndarray:
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
        at = np.minimum(np.searchsorted(self.values, values), len(self.values) - 1)
        return np.where(self.values[at] == values, at, -1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class TextIds:
    """Ids that are text: one blob of UTF-8 and where each id starts. Looking up 12 finds "12".

    Attributes:
        blob: uint8 [bytes].
        offsets: int64 [n + 1], ascending from 0 to the blob's length.
    """

    blob: np.ndarray
    offsets: np.ndarray

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
        return self.blob.nbytes + self.offsets.nbytes

    def find(self, raw: object) -> int:
        if isinstance(raw, (int, np.integer)) and not isinstance(raw, (bool, np.bool_)):
            raw = str(raw)
        if not isinstance(raw, str):
            return -1
        try:
            wanted = raw.encode()
        except UnicodeEncodeError:
            return -1
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._bytes(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self._bytes(low) == wanted else -1

    def find_many(self, raw: Sequence[object]) -> np.ndarray:
        # Lines of one user follow each other: a short memory saves most of the searches.
        seen: dict[object, int] = {}
        found = np.empty(len(raw), dtype=np.int32)
        for position, value in enumerate(raw):
            index = seen.get(value)
            if index is None:
                if len(seen) >= 4096:
                    seen.clear()
                index = seen[value] = self.find(value)
            found[position] = index
        return found

    def take(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices)
        texts = np.empty(indices.size, dtype=object)
        for position, index in enumerate(indices.reshape(-1)):
            texts[position] = self._bytes(int(index)).decode()
        return texts.reshape(indices.shape)

    def _bytes(self, index: int) -> bytes:
        return self.blob[self.offsets[index] : self.offsets[index + 1]].tobytes()


def ids_from_values(values: Iterable[RawId] | np.ndarray) -> IntegerIds | TextIds:
    """Map of ids that are already in index order; integers if all are, otherwise text.

    Raises:
        BundleError: out of order, repeated, of mixed types, or longer than an id may be.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return IntegerIds(np.ascontiguousarray(values, dtype=np.int64))
    listed = list(values)
    if all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in listed):
        return IntegerIds(np.array(listed, dtype=np.int64))
    if not all(isinstance(value, str) for value in listed):
        raise BundleError("the ids of a side must all be integers or all be text")
    encoded = [str(value).encode() for value in listed]
    lengths = np.array([len(text) for text in encoded], dtype=np.uint32)
    return TextIds.from_lengths(np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths)


def _integer(raw: object) -> int | None:
    """`raw` as an int64 if it is an integer or the canonical decimal text of one."""
    if isinstance(raw, str):
        if not _CANONICAL.fullmatch(raw):
            return None
        value = int(raw)
    elif isinstance(raw, (int, np.integer)) and not isinstance(raw, (bool, np.bool_)):
        value = int(raw)
    else:
        return None
    return value if _INT64.min <= value <= _INT64.max else None
