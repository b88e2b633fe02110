"""A program in pieces, its graph left out: that follows from who touched what and who is retained.

The graph's two constants, `indptr` and `indices`, are made again in the program's own memory, so that pairs
are stored once. What is left is stored in pieces, each as it is or coded, whichever is smaller.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lerg_runtime._native_module import native
from lerg_runtime.bundle._arrays import Allocate, ArrayReader, array_bytes
from lerg_runtime.bundle._boundary import reading
from lerg_runtime.bundle._csr import (
    CODE_HEADER_BYTES,
    InteractionRows,
    code_sizes,
    decode_interactions,
    encode_interactions,
    index_dtype,
)
from lerg_runtime.bundle._programs import PACKED_FILE
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.errors import BundleError

__all__ = [
    "PACKED_FILE",
    "Cuts",
    "PackedSizes",
    "pack_program",
    "packed_sizes",
    "piece_sizes",
    "reader_of",
    "unpack_program",
]

Cuts = Mapping[str, tuple[int, int]]
"""By name the place and the bytes of constants in a program."""

_GRAPH = ("indptr", "indices")
_PIECE_BYTES = 256  # constants of fewer lie in the piece around them
_MAX_PIECES = 56


@dataclass(frozen=True, slots=True)
class PackedSizes:
    """Bytes of the program, and what is in memory besides while it is put together."""

    program_bytes: int
    reading_bytes: int


def pack_program(
    program: bytes,
    cuts: Cuts,
    shape: ModelShape,
    *,
    interactions: InteractionRows,
    user_slots: np.ndarray,
    item_slots: np.ndarray,
) -> bytes:
    """The array file of a program whose graph is left out, where it has one.

    Args:
        program: the bytes of a `.pte`.
        cuts: its constants.
        shape: of the model.
        interactions: by user.
        user_slots, item_slots: int32 [U] and [I].
    """
    arrays: dict[str, np.ndarray] = {"size": np.array(len(program), dtype=np.int64)}
    known: list[str] = []
    own = {place: size for place, size in cuts.values() if size >= _PIECE_BYTES}
    left_out: list[tuple[int, int]] = []
    if all(name in cuts for name in _GRAPH) and shape.edges:
        left_out = [cuts[name] for name in _GRAPH]
        arrays |= {name: np.array(cuts[name][0], dtype=np.int64) for name in _GRAPH}
        changed = _changed(program, left_out, shape, interactions, user_slots, item_slots)
        if changed is not None:
            arrays["changed"] = changed
            known.append("changed")
    edges = {0, len(program)}
    for place, size in (*own.items(), *left_out):
        edges |= {place, place + size}
    bounds = sorted(edges)
    skipped = {place for place, _ in left_out}
    pieces = [(low, high) for low, high in pairwise(bounds) if low not in skipped]
    while len(pieces) > _MAX_PIECES:  # the last ones become one, if nothing is left out between them
        (low, middle), (again, high) = pieces[-2:]
        if middle != again:
            break
        pieces[-2:] = [(low, high)]
    arrays["starts"] = np.array([low for low, _ in pieces], dtype=np.int64)
    for number, (low, high) in enumerate(pieces):
        arrays[_piece(number)] = np.frombuffer(program[low:high], dtype=np.uint8)
    return array_bytes(arrays, as_they_are=known)


def packed_sizes(arrays: ArrayReader, shape: ModelShape, *, stored: int, where: str) -> PackedSizes:
    """What a packed program of a file of `stored` bytes takes.

    Raises:
        BundleError: it is no packed program.
    """
    size = int(arrays.read("size", dtypes=("int64",), shape=()))
    if not 0 < size < 2**31:
        raise BundleError(f"{where}: a program of {size} bytes cannot be; export the bundle again")
    most = max((arrays.reading_bytes(name) for name in arrays.names if name != "changed"), default=0)
    if "changed" in arrays.names:
        code = int(np.prod(arrays.header("changed")[1], dtype=object))
        pairs, scratch = code_sizes(arrays.start_of("changed", CODE_HEADER_BYTES), code, where=where)
        most = max(most, code + scratch + 4 * pairs)
    return PackedSizes(size, stored + most + 4 * (shape.retained_users + 1))


def unpack_program(
    arrays: ArrayReader,
    shape: ModelShape,
    *,
    interactions: InteractionRows,
    user_slots: np.ndarray,
    item_slots: np.ndarray,
    where: str,
    allocate: Allocate = np.empty,
) -> np.ndarray:
    """The bytes of the program, uint8 [n].

    Raises:
        BundleError: pieces or the graph do not fit it.
    """
    size = int(arrays.read("size", dtypes=("int64",), shape=()))
    with reading(where):
        if not 0 < size < 2**31:
            raise ValueError(f"a program of {size} bytes cannot be")
        count = arrays.header("starts")[1]
        if len(count) != 1 or count[0] > _MAX_PIECES + 2:
            raise ValueError("it has too many pieces")
        starts = arrays.read("starts", dtypes=("int64",), shape=(None,)).tolist()
        program = allocate((size,), "uint8")
        program[:] = 0
        end = 0
        for number, start in enumerate(starts):
            length = int(np.prod(arrays.header(_piece(number))[1], dtype=object))
            if start < end or start + length > size:
                raise ValueError("its pieces overlap or lie outside it")
            end = start + length
            arrays.read_into(_piece(number), program[start:end], allocate=allocate)
        if _GRAPH[0] in arrays.names:
            _fill_graph(program, arrays, shape, interactions, (user_slots, item_slots), where, allocate)
    return program


def piece_sizes(data: bytes) -> dict[str, int]:
    """Bytes of each piece as it is in the program, by its array's name.

    Raises:
        BundleError: not an array file.
    """
    arrays = ArrayReader(io.BytesIO(data), PACKED_FILE)
    return {
        name: int(np.prod(arrays.header(name)[1], dtype=object))
        for name in arrays.names
        if name[0] == "p" and name[1:].isdigit()
    }


def _piece(number: int) -> str:
    return f"p{number:02d}"


def _fill_graph(
    program: np.ndarray,
    arrays: ArrayReader,
    shape: ModelShape,
    interactions: InteractionRows,
    slots: tuple[np.ndarray, np.ndarray],
    where: str,
    allocate: Allocate,
) -> None:
    """Write the graph's constants where they belong."""
    sizes = {"user_count": shape.retained_users, "item_count": shape.retained_items}
    if "changed" in arrays.names:
        code = arrays.read("changed", dtypes=("uint8",), shape=(None,), allocate=allocate)
        changed = decode_interactions(code, **sizes, where=where, allocate=allocate)
    else:
        none = allocate((shape.retained_users + 1,), "int32")
        none[:] = 0
        changed = InteractionRows(none, np.empty(0, dtype=np.int32), shape.retained_items)
    views = []
    for name, (dtype, count) in _graph_arrays(shape).items():
        start = int(arrays.read(name, dtypes=("int64",), shape=()))
        stop = start + count * np.dtype(dtype).itemsize
        if start < 0 or start % 4 or stop > len(program):
            raise ValueError(f"the graph's {name} lie outside the program")
        views.append(program[start:stop].view(dtype))
    if not native().induce(
        interactions.indptr,
        interactions.items,
        *slots,
        shape.retained_items,
        changed.indptr,
        changed.items,
        *views,
    ):
        raise ValueError("the graph does not follow from the interactions")


def _graph_arrays(shape: ModelShape) -> dict[str, tuple[str, int]]:
    return {
        "indptr": ("int32", shape.retained_users + 1),
        "indices": (index_dtype(shape.retained_items), shape.edges),
    }


def _changed(
    program: bytes,
    places: list[tuple[int, int]],
    shape: ModelShape,
    interactions: InteractionRows,
    user_slots: np.ndarray,
    item_slots: np.ndarray,
) -> np.ndarray | None:
    """The code of the pairs of slots in which the graph differs from the interactions of the retained."""
    found: list[Any] = []
    for (start, size), (dtype, count) in zip(places, _graph_arrays(shape).values(), strict=True):
        if size != count * np.dtype(dtype).itemsize:
            raise BundleError("the program's graph is not of the model's size")
        found.append(np.frombuffer(program[start : start + size], dtype=dtype))
    graph = np.repeat(np.arange(shape.retained_users, dtype=np.int64), np.diff(found[0]))
    graph = graph * shape.retained_items + found[1]
    users = user_slots[interactions.list_users()].astype(np.int64)
    items = item_slots[interactions.items].astype(np.int64)
    kept = (users < shape.retained_users) & (items < shape.retained_items)
    differ = np.setxor1d(graph, users[kept] * shape.retained_items + items[kept])
    if not len(differ):
        return None
    users, items = np.divmod(differ, shape.retained_items)
    return encode_interactions(users, items, user_count=shape.retained_users, item_count=shape.retained_items)


def reader_of(data: np.ndarray, where: str) -> ArrayReader:
    """A reader of an array file that lies in memory, uint8 [n], which it does not copy."""
    return ArrayReader(io.BufferedReader(_Memory(data)), where)


class _Memory(io.RawIOBase):
    """Bytes in memory as a file."""

    def __init__(self, data: np.ndarray) -> None:
        super().__init__()
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), len(self._data) - self._at)
        buffer[:count] = self._data[self._at : self._at + count].data
        self._at += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = min(max(start + offset, 0), len(self._data))
        return self._at

    def tell(self) -> int:
        return self._at
