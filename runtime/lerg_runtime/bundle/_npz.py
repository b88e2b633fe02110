"""Array files: the `.npz` of numpy, written to the same bytes every time and read within bounds.

Reading never unpickles, takes little-endian C-order arrays of a short list of types, and compares every
size with what the caller expects before it allocates.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from lerg_runtime.bundle._boundary import reading
from lerg_runtime.errors import BundleError

__all__ = ["Allocate", "NpzReader", "npz_bytes", "smallest_unsigned"]

Allocate = Callable[[tuple[int, ...], str], np.ndarray]
"""Writable array of a shape and dtype, such as `Budget.empty` or `numpy.empty`."""

_DTYPES = frozenset({"bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float32"})
_MEMBER = re.compile(r"[a-z][a-z0-9_.]{0,63}\.npy")
_MAX_MEMBERS = 64
_MAX_HEADER_BYTES = 512
_STORED_BYTES = 64  # arrays up to this size are stored as they are
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip member can carry
_CHUNK_BYTES = 1 << 16
# Of a zip archive: the record at its end, what a member takes in the directory at least, and flags.
_END = struct.Struct("<4s4H2LH")
_MAX_DIRECTORY_BYTES = 64 * 1024
_LOCAL_HEADER_BYTES = 30
_PLAIN_VERSION = 20  # of the format: deflate, and neither zip64 nor encryption
_HARMLESS_FLAGS = 0x80E  # how hard the deflater tried, sizes behind the data, and names in UTF-8


def smallest_unsigned(largest: int) -> str:
    """Name of the smallest of uint8, uint16 and uint32 that holds `largest`."""
    return "uint8" if largest < 2**8 else "uint16" if largest < 2**16 else "uint32"


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A compressed `.npz` of `arrays`, members in the order of their names; equal arrays give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name]).reshape(np.shape(arrays[name]))
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            if array.dtype.name not in _DTYPES or not _MEMBER.fullmatch(f"{name}.npy"):
                raise ValueError(f"array {name!r} of {array.dtype} cannot be stored in a bundle")
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            # A digest must not change the size of a file whose size the manifest states.
            small = array.nbytes <= _STORED_BYTES
            member.compress_type = zipfile.ZIP_STORED if small else zipfile.ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o644 << 16
            content = io.BytesIO()
            npy.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(member, content.getbuffer())
    return stream.getvalue()


class NpzReader:
    """The arrays of one `.npz`, each read when asked for.

    Args:
        stream: seekable binary file.
        where: the file's path, for messages.

    Raises:
        BundleError: not such a file, or it has strange members.
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._where = where
        with reading(where, problem="is not an array file"):
            # Before zipfile reads the directory, which it does whole and for any number of members.
            _check_end(stream)
            self._archive = zipfile.ZipFile(stream)
        members = self._archive.infolist()
        names = [member.filename for member in members]
        strange = next((name for name in names if not _MEMBER.fullmatch(name)), None)
        if strange is not None:
            raise BundleError(f"{where} has a member {strange[:80]!a}, which is not an array of a bundle")
        if len(members) > _MAX_MEMBERS or len(set(names)) != len(names):
            raise BundleError(f"{where} has repeated members or more than {_MAX_MEMBERS}")
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        _check_members(members, where)
        self._headers: dict[str, tuple[str, tuple[int, ...]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in file order."""
        return tuple(self._members)

    def header(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Dtype name and shape of an array, without reading it.

        Raises:
            BundleError: no such array, or its header is not acceptable.
        """
        if name not in self._headers:
            with self._member(name) as stream:
                self._headers[name] = self._read_header(name, stream)
        return self._headers[name]

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
        dtype, found = self.header(name)
        if dtype not in dtypes:
            raise BundleError(f"{self._where}: array {name} is {dtype}, expected {' or '.join(dtypes)}")
        fits = len(found) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found, strict=True)
        )
        if not fits:
            expected = tuple("any" if length is None else length for length in shape)
            raise BundleError(f"{self._where}: array {name} has shape {found}, expected {expected}")
        array = allocate(found, dtype)
        with self._member(name) as stream:
            self._read_header(name, stream)
            _fill(stream, array)
        return array

    @contextmanager
    def _member(self, name: str) -> Iterator[BinaryIO]:
        if name not in self._members:
            raise BundleError(f"{self._where} has no array {name}; export the bundle again")
        with reading(f"{self._where}: array {name}"), self._archive.open(self._members[name]) as stream:
            yield stream  # type: ignore[misc]

    def _read_header(self, name: str, stream: BinaryIO) -> tuple[str, tuple[int, ...]]:
        version = npy.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"array format {version[0]}.{version[1]} is not 1.0")
        shape, fortran, dtype = npy.read_array_header_1_0(stream, max_header_size=_MAX_HEADER_BYTES)
        if fortran or dtype.name not in _DTYPES or dtype.byteorder == ">" or dtype.hasobject:
            raise ValueError(f"dtype {dtype} in this memory order is not allowed")
        size = math.prod(shape) * dtype.itemsize
        if any(length < 0 for length in shape) or stream.tell() + size != self._members[name].file_size:
            raise ValueError(f"its size is not that of shape {shape}")
        return dtype.name, shape


def _fill(stream: BinaryIO, array: np.ndarray) -> None:
    rest = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    while rest:
        count = stream.readinto(rest[:_CHUNK_BYTES])  # type: ignore[attr-defined]
        if not count:
            raise EOFError("it ends early")
        rest = rest[count:]
    # Only a read past the last byte makes zipfile compare the checksum.
    if stream.read(1):
        raise ValueError("it is longer than its header says")
    # Another byte is no value of the type, whatever reads it.
    if array.dtype == np.bool_ and array.size and int(array.view(np.uint8).max()) > 1:
        raise ValueError("a boolean in it is neither 0 nor 1")


def _check_end(stream: BinaryIO) -> None:
    """The record that a zip archive ends with: of an archive without comment, zip64 or other parts."""
    end = stream.seek(0, io.SEEK_END)
    if end < _END.size:
        raise ValueError("it is too short")
    stream.seek(end - _END.size)
    magic, disk, first_disk, here, members, size, start, comment = _END.unpack(stream.read(_END.size))
    if magic != b"PK\x05\x06" or comment:
        raise ValueError("it does not end as a zip archive does")
    if disk or first_disk or here != members or size + start + _END.size != end:
        raise ValueError("it is more or less than one zip archive")
    if size > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"its directory takes {size} bytes")


def _check_members(members: Sequence[zipfile.ZipInfo], where: str) -> None:
    """Members as the writer makes them: stored or deflated, one behind the other."""
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        array = f"{where}: array {member.filename.removesuffix('.npy')}"
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"{array} is compressed in a way that a bundle may not have; export it again")
        if member.flag_bits & ~_HARMLESS_FLAGS or member.extract_version > _PLAIN_VERSION or member.extra:
            raise BundleError(f"{array} is encrypted, zip64 or otherwise not plain; export the bundle again")
        if member.header_offset < end:
            raise BundleError(f"{array} overlaps another; copy the bundle again")
        end = member.header_offset + _LOCAL_HEADER_BYTES + len(member.filename) + member.compress_size
