"""Array files: named arrays behind one directory, each as it is or coded, and read within bounds.

Every size is compared with what the caller expects before memory is taken for it, and an array is one range
of the file: mapped as it lies there, or decoded from there.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from lerg_runtime._native_module import native
from lerg_runtime.bundle._boundary import reading
from lerg_runtime.errors import BundleError

__all__ = [
    "Allocate",
    "ArrayReader",
    "array_bytes",
    "array_pieces",
    "array_ranges",
    "read_arrays",
    "smallest_unsigned",
]

Allocate = Callable[[tuple[int, ...], str], np.ndarray]
"""Writable array of a shape and dtype, such as `Budget.empty` or `numpy.empty`."""

Piece = bytes | memoryview
"""Consecutive bytes of a file."""

_MAGIC = b"LERGARR2"
_HEAD = struct.Struct("<8sII")  # then the bytes of the directory and the number of arrays
_ENTRY = struct.Struct("<BBBI")  # dtype, coding, dimensions and stored bytes, behind the name
_DTYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")
_NAME = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_PLAIN, _ALONE, _NEAR, _TEXT = range(4)  # how an array is coded
_MAX_ARRAYS = 64
_MAX_DIMENSIONS = 4
_MAX_LENGTH = 2**31 - 1
_MAX_DIRECTORY_BYTES = 64 * 1024
_ALIGNMENT = 8
_PLAIN_BYTES = 64  # arrays up to this size are stored as they are
_WORTH = 32  # one byte in so many must be saved


def smallest_unsigned(largest: int) -> str:
    """Name of the smallest of uint8, uint16 and uint32 that holds `largest`."""
    return "uint8" if largest < 2**8 else "uint16" if largest < 2**16 else "uint32"


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    coding: int
    shape: tuple[int, ...]
    start: int
    stored: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def array_bytes(arrays: Mapping[str, np.ndarray], *, as_they_are: Collection[str] = ()) -> bytes:
    """The file of `arrays`, in the order of their names; equal arrays give equal bytes.

    Args:
        arrays: by name.
        as_they_are: arrays that are not coded, whatever that would save.
    """
    return b"".join(array_pieces(arrays, as_they_are=as_they_are))


def array_pieces(arrays: Mapping[str, np.ndarray], *, as_they_are: Collection[str]) -> list[Piece]:
    """What `array_bytes` joins. Arrays that are not coded are there as they lie in memory, not copied."""
    directory, contents = bytearray(), list[Piece]()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name]).reshape(np.shape(arrays[name]))
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.name not in _DTYPES or not _NAME.fullmatch(name) or array.ndim > _MAX_DIMENSIONS:
            raise ValueError(f"array {name!r} of {array.dtype} cannot be stored in a bundle")
        coding, content = (_PLAIN, _as_it_lies(array)) if name in as_they_are else _coded(array)
        directory += bytes([len(name)]) + name.encode()
        directory += _ENTRY.pack(_DTYPES.index(array.dtype.name), coding, array.ndim, len(content))
        directory += struct.pack(f"<{array.ndim}I", *array.shape)
        contents.append(content)
    pieces: list[Piece] = [_HEAD.pack(_MAGIC, len(directory), len(contents)) + directory]
    size = len(pieces[0])
    for content in contents:
        filling = -size % _ALIGNMENT
        pieces += (bytes(filling), content)
        size += filling + len(content)
    return pieces


def _as_it_lies(array: np.ndarray) -> memoryview:
    """The bytes of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _coded(array: np.ndarray) -> tuple[int, bytes]:
    """How an array is stored: as it is, or coded in the way that takes fewest bytes."""
    plain = array.tobytes()
    # A digest must not change the size of a file whose size the manifest states.
    if len(plain) <= _PLAIN_BYTES:
        return _PLAIN, plain
    flat = array.reshape(-1).view(np.uint8) if array.dtype == np.bool_ else array.reshape(-1)
    codings = (_ALONE, _NEAR, _TEXT) if flat.dtype == np.uint8 else (_ALONE, _NEAR)
    found = [(coding, native().encode_array(flat, coding)) for coding in codings]
    coding, content = min(found, key=lambda each: len(each[1]))
    return (coding, content) if len(content) + len(plain) // _WORTH < len(plain) else (_PLAIN, plain)


def text_reading_bytes() -> int:
    """What decoding an array that was coded as text takes beside the array and its code."""
    return 2 * int(native().TEXT_ODDS)


class ArrayReader:
    """The arrays of one file, each read when asked for.

    Args:
        stream: seekable binary file.
        where: the file's path, for messages.

    Raises:
        BundleError: not such a file, or its directory does not fit it.
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream, self._where = stream, where
        with reading(where, problem="is not an array file"):
            self._entries = _read_directory(stream)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in file order."""
        return tuple(self._entries)

    def header(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Dtype name and shape of an array, without reading it.

        Raises:
            BundleError: no such array.
        """
        entry = self._entry(name)
        return entry.dtype, entry.shape

    def reading_bytes(self, name: str) -> int:
        """What reading an array takes beside its own memory.

        Raises:
            BundleError: no such array.
        """
        entry = self._entry(name)
        if entry.coding == _PLAIN:
            return 0
        return entry.stored + (2 * int(native().TEXT_ODDS) if entry.coding == _TEXT else 0)

    def start_of(self, name: str, most: int) -> np.ndarray:
        """The first bytes of an array that is stored as it is, uint8 [n], n at most `most`.

        Raises:
            BundleError: no such array, or it is coded.
        """
        entry = self._entry(name)
        if entry.coding != _PLAIN:
            raise BundleError(f"{self._where}: array {name} must be stored as it is; export the bundle again")
        with reading(f"{self._where}: array {name}"):
            self._stream.seek(entry.start)
            return np.frombuffer(self._stream.read(min(most, entry.stored)), dtype=np.uint8)

    def read(
        self,
        name: str,
        *,
        dtypes: Sequence[str],
        shape: tuple[int | None, ...],
        allocate: Allocate = np.empty,
    ) -> np.ndarray:
        """One array, checked against what is expected before memory is taken for it.

        Args:
            name: the array.
            dtypes: acceptable dtype names.
            shape: expected shape; None stands for any length, which the caller has bounded by `header`.
            allocate: where the memory comes from.

        Raises:
            BundleError: absent, of another dtype or shape, or damaged.
        """
        entry = self._entry(name)
        if entry.dtype not in dtypes:
            raise BundleError(f"{self._where}: array {name} is {entry.dtype}, expected {' or '.join(dtypes)}")
        fits = len(entry.shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, entry.shape, strict=True)
        )
        if not fits:
            expected = tuple("any" if length is None else length for length in shape)
            raise BundleError(f"{self._where}: array {name} has shape {entry.shape}, expected {expected}")
        array = allocate(entry.shape, entry.dtype)
        with reading(f"{self._where}: array {name}"):
            self._fill(entry, array, allocate)
            # Another byte is no value of the type, whatever reads it.
            if entry.dtype == "bool" and array.size and int(array.view(np.uint8).max()) > 1:
                raise ValueError("a boolean in it is neither 0 nor 1")
        return array

    def read_into(self, name: str, target: np.ndarray, *, allocate: Allocate = np.empty) -> None:
        """Fill `target`, uint8 [n], with an array of as many.

        Raises:
            BundleError: absent, of another dtype or shape, or damaged.
        """
        entry = self._entry(name)
        if entry.dtype != "uint8" or entry.shape != target.shape:
            raise BundleError(
                f"{self._where}: array {name} is {entry.dtype} {entry.shape}, expected {target.shape}"
            )
        with reading(f"{self._where}: array {name}"):
            self._fill(entry, target, allocate)

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise BundleError(f"{self._where} has no array {name}; export the bundle again")
        return self._entries[name]

    def _fill(self, entry: _Entry, array: np.ndarray, allocate: Allocate) -> None:
        flat = array.reshape(-1).view(np.uint8) if array.size else np.empty(0, dtype=np.uint8)
        if entry.coding == _PLAIN:
            self._read_into(entry, flat)
            return
        coded = allocate((entry.stored,), "uint8")
        self._read_into(entry, coded)
        odds = allocate((int(native().TEXT_ODDS),), "int16") if entry.coding == _TEXT else None
        out = flat if entry.dtype == "bool" else array.reshape(-1)
        if not native().decode_array(coded, entry.coding, out, odds):
            raise ValueError("its coded bytes do not add up")

    def _read_into(self, entry: _Entry, target: np.ndarray) -> None:
        self._stream.seek(entry.start)
        rest = target.data.cast("B") if target.size else memoryview(b"")
        while rest:
            count = self._stream.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise EOFError("it ends early")
            rest = rest[count:]


def array_ranges(data: bytes) -> dict[str, int]:
    """Bytes of each array as it is stored, by name.

    Raises:
        ValueError: not an array file.
    """
    return {name: entry.stored for name, entry in _read_directory(io.BytesIO(data)).items()}


def read_arrays(data: bytes, *, where: str = "an array file") -> dict[str, np.ndarray]:
    """Every array of a file that is in memory, by name.

    Raises:
        BundleError: not such a file, or damaged.
    """
    reader = ArrayReader(io.BytesIO(data), where)
    headers = {name: reader.header(name) for name in reader.names}
    return {name: reader.read(name, dtypes=(dtype,), shape=shape) for name, (dtype, shape) in headers.items()}


def _read_directory(stream: BinaryIO) -> dict[str, _Entry]:
    end = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise ValueError("it is too short")
    magic, size, count = _HEAD.unpack(head)
    if magic != _MAGIC:
        raise ValueError("it does not begin as one")
    if size > min(_MAX_DIRECTORY_BYTES, end - _HEAD.size) or count > _MAX_ARRAYS:
        raise ValueError(f"its directory takes {size} bytes and has {count} arrays")
    directory = stream.read(size)
    entries: dict[str, _Entry] = {}
    place, at, last = _HEAD.size + size, 0, ""
    for _ in range(count):
        name, entry, at = _read_entry(directory, at, place)
        if name <= last:
            raise ValueError(f"array {name} repeats or is out of order")
        entries[name], last = entry, name
        place = entry.start + entry.stored
    if at != size or place != end:
        raise ValueError("its arrays do not add up to it")
    return entries


def _read_entry(directory: bytes, at: int, place: int) -> tuple[str, _Entry, int]:
    """A name, its array, which begins at `place` or soon behind, and where the next entry is."""
    length = directory[at] if at < len(directory) else 0
    fixed = at + 1 + length
    if fixed + _ENTRY.size > len(directory):
        raise ValueError("its directory ends early")
    name = directory[at + 1 : fixed].decode("ascii")
    dtype, coding, dimensions, stored = _ENTRY.unpack_from(directory, fixed)
    end = fixed + _ENTRY.size + 4 * dimensions
    if (
        not _NAME.fullmatch(name)
        or dtype >= len(_DTYPES)
        or dimensions > _MAX_DIMENSIONS
        or end > len(directory)
    ):
        raise ValueError("an entry of its directory is none of a bundle")
    shape = struct.unpack_from(f"<{dimensions}I", directory, fixed + _ENTRY.size)
    start = place + -place % _ALIGNMENT
    entry = _Entry(_DTYPES[dtype], coding, shape, start, stored)
    if max(shape, default=0) > _MAX_LENGTH or entry.size > _MAX_LENGTH:
        raise ValueError(f"array {name} is too large")
    widest = 1 if entry.dtype in ("bool", "uint8", "int8") else 8
    if coding > _TEXT or (coding == _TEXT and widest > 1) or (coding == _PLAIN and stored != entry.size):
        raise ValueError(f"array {name} is stored in a way that a bundle may not have")
    return name, entry, end
