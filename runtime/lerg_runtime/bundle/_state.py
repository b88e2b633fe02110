"""`state.bin`: the one file of a bundle that changes on a device.

32 bytes of SHA-256 over the rest, then an array file with the packed codebook, its step, the interactions
that fine-tuning added, pairs that were rated low meanwhile, a counter of saves, and the SHA-256 of the
bundle's `SHA256SUMS` that it belongs to.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lerg_runtime._limits import MAX_LOCAL_INTERACTIONS
from lerg_runtime.bundle._added import AddedItems, added_bytes, added_count, largest_added, read_added
from lerg_runtime.bundle._arrays import Allocate, ArrayReader, Piece, array_pieces
from lerg_runtime.bundle._boundary import open_regular, reading, stamp_of
from lerg_runtime.bundle._file_from import FileFrom
from lerg_runtime.bundle._files import locked, replace_file
from lerg_runtime.bundle._history import History, read_history
from lerg_runtime.bundle._packing import FLOAT_BITS
from lerg_runtime.bundle._state_shape import StateShape
from lerg_runtime.errors import BundleError, InputError

__all__ = [
    "STATE_FILE",
    "STATE_VERSION",
    "State",
    "StoredState",
    "encode_state",
    "open_state",
    "save_state",
    "state_pieces",
    "state_stamp",
]

STATE_FILE = "state.bin"
STATE_VERSION = 2
_DIGEST_BYTES = 32
_CHUNK_BYTES = 1 << 16
_PAIRS_AT_ONCE = 1 << 13
_EXPORTED = ("exported_codebook", "exported_step")
_DISLIKED = ("disliked_users", "disliked_items")
_OVERHEAD_BYTES = 64 * 1024  # names and sizes of arrays, and what coding may add


def _nothing() -> np.ndarray:
    return np.empty(0, dtype=np.int32)


def _no_remainder() -> np.ndarray:
    return np.empty((0, 0), dtype=np.int8)


def _no_step() -> np.ndarray:
    return np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class State:
    """What a device has learnt.

    Attributes:
        codebook: packed integers, or floats of 32 bits, as the program `encode` takes them.
        step: float32 [1] or [c], above 0; 1 where the codebook is of floats.
        users, items: int32 [n], local interactions sorted by (user, item), unique.
        generation: how often it has been saved; 0 as exported.
        disliked_users, disliked_items: int32 [m], pairs that were rated low here, sorted and unique alike:
            seen, and no positives, whatever they were before.
        remainder: int8 [c, d], what rounding left of each element in 256ths of its step, between -1/2 and 1/2
            of one; [0, d] as exported and where the codebook is of floats.
        history: of a personal bundle, the items that its person has touched.
        added: items that were added here; None without any.
        exported_codebook, exported_step: of a personal bundle that has learned, the weights as they were
            exported, which erasing brings back; without elements otherwise.
    """

    codebook: np.ndarray
    step: np.ndarray
    users: np.ndarray
    items: np.ndarray
    generation: int = 0
    disliked_users: np.ndarray = field(default_factory=_nothing)
    disliked_items: np.ndarray = field(default_factory=_nothing)
    remainder: np.ndarray = field(default_factory=_no_remainder)
    history: History = field(default_factory=History)
    added: AddedItems | None = None
    exported_codebook: np.ndarray = field(default_factory=_no_remainder)
    exported_step: np.ndarray = field(default_factory=_no_step)

    @property
    def pairs(self) -> int:
        """Local interactions and pairs that were rated low here, together."""
        return len(self.users) + len(self.disliked_users)


def encode_state(state: State, *, digest: bytes) -> bytes:
    """The file's bytes; equal states give equal bytes. Raises as `state_pieces` does."""
    return b"".join(state_pieces(state, digest=digest))


def state_pieces(state: State, *, digest: bytes) -> list[Piece]:
    """The file's bytes, piece by piece; arrays are not copied, so that saving takes no memory of their size.

    Args:
        state: what to store.
        digest: 32 bytes, SHA-256 of the bundle's `SHA256SUMS`.

    Raises:
        InputError: more local interactions than a state may hold.
    """
    if state.pairs > MAX_LOCAL_INTERACTIONS:
        raise InputError(
            f"a state holds {MAX_LOCAL_INTERACTIONS} local interactions, not {state.pairs}; "
            "export a new bundle from them"
        )
    arrays = {
        "bundle": np.frombuffer(digest, dtype=np.uint8),
        "codebook": state.codebook,
        "generation": np.array(state.generation, dtype=np.int64),
        "items": state.items.astype(np.int32, copy=False),
        "step": state.step.astype(np.float32, copy=False),
        "users": state.users.astype(np.int32, copy=False),
        "version": np.array(STATE_VERSION, dtype=np.int64),
    }
    if len(state.remainder):
        arrays["remainder"] = state.remainder
    if len(state.disliked_users):
        arrays |= {
            "disliked_items": state.disliked_items.astype(np.int32, copy=False),
            "disliked_users": state.disliked_users.astype(np.int32, copy=False),
        }
    arrays |= state.history.arrays()
    if state.added is not None:
        arrays |= state.added.arrays()
    if len(state.exported_step):
        arrays |= {
            "exported_codebook": state.exported_codebook,
            "exported_step": state.exported_step.astype(np.float32, copy=False),
        }
    # As they are: reading a coded array takes memory that the plan of an open bundle does not have.
    content = array_pieces(arrays, as_they_are=arrays)
    found = hashlib.sha256()
    for piece in content:
        found.update(piece)
    return [found.digest(), *content]


class StoredState:
    """A state file that matches its own SHA-256 and belongs to the bundle; its arrays are still to be read.

    Attributes:
        stamp: what tells saved states apart, the 32 bytes that the file begins with.
        local: local interactions in it.
        disliked: pairs in it that were rated low here.
        remainder: whether it has what rounding left of the codebook.
        learned: whether a personal bundle has learned, and keeps the weights that were exported.
        generation: how often it has been saved.
        added: items that were added here; added_bytes: what they take, also while they are read.

    Raises:
        BundleError: see `open_state`.
    """

    def __init__(
        self, reader: ArrayReader, shape: StateShape, *, digest: bytes, stamp: bytes, where: str
    ) -> None:
        self._reader, self._shape, self._where = reader, shape, where
        version = int(reader.read("version", dtypes=("int64",), shape=()))
        if version != STATE_VERSION:
            raise BundleError(
                f"{where} has version {version}, this package reads {STATE_VERSION}; upgrade lerg-edge"
            )
        if reader.read("bundle", dtypes=("uint8",), shape=(_DIGEST_BYTES,)).tobytes() != digest:
            raise BundleError(
                f"{where} was saved for another bundle; restore the one that came with this bundle"
            )
        there = [name in reader.names for name in _DISLIKED]
        if any(there) and not all(there):
            raise BundleError(f"{where} has one of {' and '.join(_DISLIKED)} alone; restore it from a copy")
        count = reader.header("users")[1]
        low = reader.header(_DISLIKED[0])[1] if all(there) else (0,)
        if len(count) != 1 or len(low) != 1 or count[0] + low[0] > MAX_LOCAL_INTERACTIONS:
            raise BundleError(f"{where} has more than {MAX_LOCAL_INTERACTIONS} local interactions")
        self.stamp = stamp
        self.local = count[0]
        self.remainder = "remainder" in reader.names
        if self.remainder and shape.bits == FLOAT_BITS:
            raise BundleError(
                f"{where} has a remainder of a codebook that nothing rounds; restore it from a copy"
            )
        kept = [name in reader.names for name in _EXPORTED]
        if any(kept) and not (all(kept) and shape.max_history):
            raise BundleError(
                f"{where} has one of {' and '.join(_EXPORTED)} alone, or keeps no history; restore it from a "
                "copy"
            )
        self.learned = all(kept)
        self.disliked = low[0]
        self.added = added_count(reader, where=where)
        self.added_bytes = added_bytes(reader, self.added, shape.dim)
        self.generation = int(reader.read("generation", dtypes=("int64",), shape=()))
        if self.generation < 0:
            raise BundleError(f"{where}: the number of saves is negative")

    def read(self, *, allocate: Allocate = np.empty) -> State:
        """The arrays, checked.

        Args:
            allocate: where the memory of arrays comes from.

        Raises:
            BundleError: damaged, or with values that cannot be.
        """
        read, shape = self._reader.read, self._shape
        with reading(self._where):
            low = (_nothing(), _nothing())
            if self.disliked:
                users, items = (
                    read(name, dtypes=("int32",), shape=(self.disliked,), allocate=allocate)
                    for name in _DISLIKED
                )
                low = users, items
            state = State(
                codebook=read(
                    "codebook", dtypes=(shape.packed_dtype,), shape=shape.packed_shape, allocate=allocate
                ),
                step=read("step", dtypes=("float32",), shape=(shape.step_count,), allocate=allocate),
                users=read("users", dtypes=("int32",), shape=(self.local,), allocate=allocate),
                items=read("items", dtypes=("int32",), shape=(self.local,), allocate=allocate),
                generation=self.generation,
                disliked_users=low[0],
                disliked_items=low[1],
                remainder=read(
                    "remainder", dtypes=("int8",), shape=(shape.codebook_rows, shape.dim), allocate=allocate
                )
                if self.remainder
                else _no_remainder(),
                history=read_history(
                    self._reader, most=self._shape.max_history, items=shape.items, where=self._where
                ),
                added=read_added(
                    self._reader,
                    self.added,
                    dim=shape.dim,
                    users=shape.users,
                    where=self._where,
                    allocate=allocate,
                ),
            )
            if self.learned:
                state = replace(
                    state,
                    exported_codebook=read(
                        _EXPORTED[0],
                        dtypes=(shape.packed_dtype,),
                        shape=shape.packed_shape,
                        allocate=allocate,
                    ),
                    exported_step=read(
                        _EXPORTED[1], dtypes=("float32",), shape=(shape.step_count,), allocate=allocate
                    ),
                )
            _check(state, shape, self._where)
        return state


@contextmanager
def open_state(folder: Path, shape: StateShape, *, digest: bytes) -> Iterator[StoredState]:
    """The state file of a bundle, hashed.

    Raises:
        BundleError: missing, too long, damaged, of a newer version, or of another bundle.
    """
    path = folder / STATE_FILE
    handle, size = open_regular(folder, STATE_FILE)
    with os.fdopen(handle, "rb", buffering=0) as stream:
        with reading(path):
            limit = largest_state(shape)
            if size > limit:
                raise BundleError(f"{path} has {size} bytes; at most {limit} are allowed")
            before = stamp_of(handle)
            stamp = _checked_stamp(stream, path)
            reader = ArrayReader(io.BufferedReader(FileFrom(stream, _DIGEST_BYTES)), str(path))
            stored = StoredState(reader, shape, digest=digest, stamp=stamp, where=str(path))
        yield stored
        if stamp_of(handle) != before:
            raise BundleError(f"{path} changed while it was read; open the bundle again")


def _checked_stamp(stream: io.FileIO, path: Path) -> bytes:
    stamp = stream.read(_DIGEST_BYTES) or b""
    found = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        found.update(chunk)
    if found.digest() != stamp:
        raise BundleError(f"{path} does not match its own SHA-256; restore it from a copy of the bundle")
    return stamp


def state_stamp(folder: Path) -> bytes:
    """What tells saved states apart: the SHA-256 that the file begins with; empty without a file.

    Raises:
        BundleError: something that is no plain file is in its place.
    """
    if not os.path.lexists(folder / STATE_FILE):
        return b""
    handle, _ = open_regular(folder, STATE_FILE)
    with os.fdopen(handle, "rb") as stream, reading(folder / STATE_FILE):
        return stream.read(_DIGEST_BYTES)


def save_state(
    folder: Path,
    state: State,
    *,
    digest: bytes,
    over: bytes | None = None,
    on_saved: Callable[[bytes], object] = lambda stamp: None,
) -> bytes:
    """Replace the state of a bundle; after a crash the old one or the new one is there.

    The file keeps its mode and owner; one that was not there is for its owner alone.

    Args:
        over: stamp of the state that this one goes on from; None replaces any.
        on_saved: called with the new state's stamp when that is in place, before a signal can come between
            and also where an `UnsyncedError` follows.

    Returns:
        The new state's stamp.

    Raises:
        InputError: somebody else has saved meanwhile; see also `state_pieces`.
        OSError: the disk is full or the folder cannot be written; the old state stays.
        UnsyncedError: the new state is in place, but might not outlast a power cut.
    """
    data = state_pieces(state, digest=digest)
    path, stamp = folder / STATE_FILE, bytes(data[0])
    with locked(folder):
        if over is not None and state_stamp(folder) not in (over, b""):
            raise InputError(
                f"{path} was saved by somebody else after it was opened here, and stays as it is; "
                "open the bundle again and repeat"
            )
        replace_file(path, data, private=True, on_replaced=lambda: on_saved(stamp))
    return stamp


def largest_state(shape: StateShape) -> int:
    """Upper bound of the file's size in bytes."""
    rows, columns = shape.packed_shape
    codebook = rows * columns * np.dtype(shape.packed_dtype).itemsize
    remainder = shape.codebook_rows * shape.dim
    largest = codebook + remainder + 4 * shape.step_count + 8 * MAX_LOCAL_INTERACTIONS
    largest += 12 * shape.max_history + largest_added(shape.dim)
    if shape.max_history:
        largest += codebook + 4 * shape.step_count
    return largest + largest // 512 + _OVERHEAD_BYTES


def _check(state: State, shape: StateShape, where: str) -> None:
    steps = np.concatenate((state.step, state.exported_step))
    if not bool(np.all(np.isfinite(steps) & (steps > 0))):
        raise BundleError(f"{where}: the step must be finite and above 0")
    if shape.bits == FLOAT_BITS and not (_all_finite(state.codebook) and (state.step == 1).all()):
        raise BundleError(f"{where}: a codebook of 32 bits must be finite and its step 1")
    if state.generation < 0:
        raise BundleError(f"{where}: the number of saves is negative")
    _check_pairs(state.users, state.items, shape, where)
    _check_pairs(state.disliked_users, state.disliked_items, shape, where)


def _check_pairs(all_users: np.ndarray, all_items: np.ndarray, shape: StateShape, where: str) -> None:
    last = np.empty(0, dtype=np.int64)
    # A part at a time: the keys of all would take more than the interactions.
    for start in range(0, len(all_users), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        users, items = all_users[part].astype(np.int64), all_items[part].astype(np.int64)
        if min(users.min(), items.min()) < 0 or users.max() >= shape.users or items.max() >= shape.items:
            raise BundleError(f"{where}: a local interaction names a user or an item that does not exist")
        keys = np.concatenate((last, users * shape.items + items))
        if not bool(np.all(keys[1:] > keys[:-1])):
            raise BundleError(f"{where}: local interactions must be sorted by user and item, without repeats")
        last = keys[-1:]


def _all_finite(array: np.ndarray) -> bool:
    flat = array.reshape(-1)
    parts = range(0, len(flat), _PAIRS_AT_ONCE)
    return all(bool(np.isfinite(flat[start : start + _PAIRS_AT_ONCE]).all()) for start in parts)
