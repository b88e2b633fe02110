"""Titles of items, for people: one text an item, by index, some of them empty.

They are stored as the texts of ids are, without what ids gain from being sorted, and are bounded and checked
before anything shows them: a terminal must not be told what to do by a bundle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lerg_runtime._limits import MAX_TITLE_BYTES
from lerg_runtime.bundle._arrays import Allocate, ArrayReader, smallest_unsigned
from lerg_runtime.errors import BundleError

__all__ = ["NOT_SHOWN", "Titles", "read_titles", "title_arrays", "title_bytes", "title_reading_bytes"]

_LENGTHS, _TEXT = "item_title_lengths", "item_title_text"
_UNSIGNED = ("uint8", "uint16")
_CHECKED_AT_ONCE = 1 << 12

# Control characters, separators of lines and paragraphs, and what turns the direction of the text around it.
NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, eq=False)
class Titles:
    """The titles of a side in few arrays and no Python objects.

    Attributes:
        text: uint8 [bytes], UTF-8, one title after the other by index.
        ends: int32 [n + 1], ascending from 0: title i is the text from ends[i] to ends[i + 1].
    """

    text: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends) - 1

    def take(self, indices: np.ndarray) -> list[str | None]:
        """The titles of integer [m] indices; None for an item without one."""
        found = []
        for index in np.asarray(indices).tolist():
            text = self.text[self.ends[index] : self.ends[index + 1]].tobytes()
            found.append(text.decode() if text else None)
        return found


def title_arrays(titles: Sequence[str | None]) -> tuple[dict[str, np.ndarray], int]:
    """The arrays of titles by index, None or empty for an item without one, and how many there are.

    Raises:
        BundleError: a title is longer than it may be, or holds characters that it may not.
    """
    encoded = []
    for index, title in enumerate(titles):
        try:
            encoded.append((title or "").encode())
        except UnicodeEncodeError:
            raise BundleError(f"the title of item {index} cannot be written as UTF-8") from None
        _check_title(encoded[-1], index)
    lengths = np.array([len(text) for text in encoded], dtype=np.int64)
    arrays = {
        _LENGTHS: lengths.astype(smallest_unsigned(int(lengths.max(initial=0)))),
        _TEXT: np.frombuffer(b"".join(encoded), dtype=np.uint8),
    }
    return arrays, int(np.count_nonzero(lengths))


def title_bytes(arrays: ArrayReader, count: int) -> tuple[int, int]:
    """Bytes of the two arrays that `read_titles` keeps, its text's and its ends'.

    Raises:
        BundleError: more text than so many titles may have.
    """
    dtype, shape = arrays.header(_TEXT)
    if dtype != "uint8" or len(shape) != 1 or shape[0] > count * MAX_TITLE_BYTES:
        raise BundleError(f"the titles are {dtype} {list(shape)}, which {count} titles may not be")
    return shape[0], 4 * (count + 1)


def title_reading_bytes(arrays: ArrayReader) -> int:
    """Most that is in memory besides while titles are read; 0 without them."""
    if _TEXT not in arrays.names:
        return 0
    dtype, shape = arrays.header(_LENGTHS)
    lengths = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    return lengths + max(arrays.reading_bytes(_LENGTHS), arrays.reading_bytes(_TEXT))


def read_titles(arrays: ArrayReader, count: int, *, titled: int, allocate: Allocate = np.empty) -> Titles:
    """The titles of so many items, every one checked.

    Args:
        arrays: of the file that has the items' ids.
        count: items.
        titled: how many the manifest says have a title.
        allocate: memory of the result.

    Raises:
        BundleError: an array is absent or does not fit, or a title is too long, no UTF-8, or not to be shown.
    """
    title_bytes(arrays, count)
    lengths = arrays.read(_LENGTHS, dtypes=_UNSIGNED, shape=(count,), allocate=allocate)
    ends = allocate((count + 1,), "int32")
    ends[0] = 0
    np.cumsum(lengths, dtype=np.int32, out=ends[1:])
    if int(lengths.sum(dtype=np.int64)) != arrays.header(_TEXT)[1][0]:
        raise BundleError("the titles do not add up to their text; export the bundle again")
    found = int(np.count_nonzero(lengths))
    if found != titled:
        raise BundleError(
            f"{found} items have a title and the manifest says {titled}; export the bundle again"
        )
    del lengths
    text = arrays.read(_TEXT, dtypes=("uint8",), shape=(None,), allocate=allocate)
    for start in range(0, count, _CHECKED_AT_ONCE):
        places = ends[start : start + _CHECKED_AT_ONCE + 1].tolist()
        part = text[places[0] : places[-1]].tobytes()
        for index, (first, last) in enumerate(pairwise(places), start=start):
            _check_title(part[first - places[0] : last - places[0]], index)
    return Titles(text, ends)


def _check_title(text: bytes, index: int) -> None:
    """Refuse what may not be shown.

    Raises:
        BundleError: too long, no UTF-8, or with characters that are not shown.
    """
    if len(text) > MAX_TITLE_BYTES:
        raise BundleError(
            f"the title of item {index} has {len(text)} bytes; at most {MAX_TITLE_BYTES} may be"
        )
    try:
        shown = text.decode()
    except UnicodeDecodeError:
        raise BundleError(f"the title of item {index} is not UTF-8; export the bundle again") from None
    if NOT_SHOWN.search(shown):
        raise BundleError(f"the title of item {index} holds a control character; export the bundle again")
