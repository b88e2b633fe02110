"""`state.bin`: the one file of a bundle that changes on a device.

32 bytes of SHA-256 over the rest, then an `.npz` with the packed codebook, its step, the interactions
that fine-tuning added, a counter of saves, and the SHA-256 of the bundle's `SHA256SUMS` that it belongs to.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lerg_runtime.bundle._checksums import read_bounded
from lerg_runtime.bundle._files import locked, replace_file
from lerg_runtime.bundle._limits import MAX_LOCAL_INTERACTIONS
from lerg_runtime.bundle._npz import NpzReader, npz_bytes
from lerg_runtime.bundle._packing import FLOAT_BITS
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.errors import BundleError, InputError

__all__ = [
    "STATE_FILE",
    "STATE_VERSION",
    "State",
    "decode_state",
    "encode_state",
    "read_state",
    "save_state",
    "state_stamp",
]

STATE_FILE = "state.bin"
STATE_VERSION = 1
_DIGEST_BYTES = 32
_OVERHEAD_BYTES = 64 * 1024  # zip and array headers, and what compression may add


@dataclass(frozen=True, slots=True)
class State:
    """What a device has learnt.

    Attributes:
        codebook: packed integers, or floats of 32 bits, as the program `encode` takes them.
        step: float32 [1] or [c], above 0; 1 where the codebook is of floats.
        users, items: int32 [n], local interactions sorted by (user, item), unique.
        generation: how often it has been saved; 0 as exported.
    """

    codebook: np.ndarray
    step: np.ndarray
    users: np.ndarray
    items: np.ndarray
    generation: int = 0


def encode_state(state: State, *, digest: bytes) -> bytes:
    """The file's bytes; equal states give equal bytes.

    Args:
        state: what to store.
        digest: 32 bytes, SHA-256 of the bundle's `SHA256SUMS`.

    Raises:
        InputError: more local interactions than a state may hold.
    """
    if len(state.users) > MAX_LOCAL_INTERACTIONS:
        raise InputError(
            f"a state holds {MAX_LOCAL_INTERACTIONS} local interactions, not {len(state.users)}; "
            "export a new bundle from them"
        )
    content = npz_bytes(
        {
            "bundle": np.frombuffer(digest, dtype=np.uint8),
            "codebook": state.codebook,
            "generation": np.array(state.generation, dtype=np.int64),
            "items": state.items.astype(np.int32, copy=False),
            "step": state.step.astype(np.float32, copy=False),
            "users": state.users.astype(np.int32, copy=False),
            "version": np.array(STATE_VERSION, dtype=np.int64),
        }
    )
    return hashlib.sha256(content).digest() + content


def decode_state(data: bytes, shape: ModelShape, *, digest: bytes, where: str) -> State:
    """Checked state from the file's bytes.

    Raises:
        BundleError: damaged, of a newer version, of another bundle, or with values that cannot be.
    """
    content = memoryview(data)[_DIGEST_BYTES:]
    if len(data) <= _DIGEST_BYTES or hashlib.sha256(content).digest() != data[:_DIGEST_BYTES]:
        raise BundleError(f"{where} does not match its own SHA-256; restore it from a copy of the bundle")
    reader = NpzReader(io.BytesIO(content), where)
    version = int(reader.read("version", dtypes=("int64",), shape=()))
    if version != STATE_VERSION:
        raise BundleError(
            f"{where} has version {version}, this package reads {STATE_VERSION}; upgrade lerg-edge"
        )
    if reader.read("bundle", dtypes=("uint8",), shape=(_DIGEST_BYTES,)).tobytes() != digest:
        raise BundleError(f"{where} was saved for another bundle; restore the one that came with this bundle")
    count = reader.header("users")[1]
    if len(count) != 1 or count[0] > MAX_LOCAL_INTERACTIONS:
        raise BundleError(f"{where} has more than {MAX_LOCAL_INTERACTIONS} local interactions")
    state = State(
        codebook=reader.read("codebook", dtypes=(shape.packed_dtype,), shape=shape.packed_shape),
        step=reader.read("step", dtypes=("float32",), shape=(shape.step_count,)),
        users=reader.read("users", dtypes=("int32",), shape=count),
        items=reader.read("items", dtypes=("int32",), shape=count),
        generation=int(reader.read("generation", dtypes=("int64",), shape=())),
    )
    _check(state, shape, where)
    return state


def read_state(folder: Path, shape: ModelShape, *, digest: bytes) -> State:
    """The state of a bundle.

    Raises:
        BundleError: see `decode_state`; also when the file is missing or too long.
    """
    data = read_bounded(folder, STATE_FILE, limit=largest_state(shape))
    return decode_state(data, shape, digest=digest, where=str(folder / STATE_FILE))


def state_stamp(folder: Path) -> bytes:
    """What tells saved states apart: the SHA-256 that the file begins with; empty without a file."""
    try:
        with open(folder / STATE_FILE, "rb") as stream:
            return stream.read(_DIGEST_BYTES)
    except FileNotFoundError:
        return b""


def save_state(folder: Path, state: State, *, digest: bytes, over: bytes | None = None) -> bytes:
    """Replace the state of a bundle; after a crash the old one or the new one is there.

    Args:
        over: stamp of the state that this one goes on from; None replaces any.

    Returns:
        The new state's stamp.

    Raises:
        InputError: somebody else has saved meanwhile; see also `encode_state`.
        OSError: the disk is full or the folder cannot be written; the old state stays.
    """
    data = encode_state(state, digest=digest)
    path = folder / STATE_FILE
    with locked(folder):
        if over is not None and state_stamp(folder) not in (over, b""):
            raise InputError(
                f"{path} was saved by somebody else after it was opened here, and stays as it is; "
                "open the bundle again and repeat"
            )
        replace_file(path, data)
    return data[:_DIGEST_BYTES]


def largest_state(shape: ModelShape) -> int:
    """Upper bound of the file's size in bytes."""
    rows, columns = shape.packed_shape
    codebook = rows * columns * np.dtype(shape.packed_dtype).itemsize
    largest = codebook + 4 * shape.step_count + 8 * MAX_LOCAL_INTERACTIONS
    return largest + largest // 512 + _OVERHEAD_BYTES


def _check(state: State, shape: ModelShape, where: str) -> None:
    if not bool(np.all(np.isfinite(state.step) & (state.step > 0))):
        raise BundleError(f"{where}: the step must be finite and above 0")
    if shape.bits == FLOAT_BITS and not (np.isfinite(state.codebook).all() and (state.step == 1).all()):
        raise BundleError(f"{where}: a codebook of 32 bits must be finite and its step 1")
    if state.generation < 0:
        raise BundleError(f"{where}: the number of saves is negative")
    users, items = state.users.astype(np.int64), state.items.astype(np.int64)
    if len(users) == 0:
        return
    if min(users.min(), items.min()) < 0 or users.max() >= shape.users or items.max() >= shape.items:
        raise BundleError(f"{where}: a local interaction names a user or an item that does not exist")
    keys = users * shape.items + items
    if not bool(np.all(keys[1:] > keys[:-1])):
        raise BundleError(f"{where}: local interactions must be sorted by user and item, without repeats")
