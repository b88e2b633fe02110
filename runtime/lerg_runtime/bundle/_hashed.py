"""Files of a bundle that are what its checksums say: read whole, or as arrays that stay so meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lerg_runtime.bundle._arrays import Allocate, ArrayReader
from lerg_runtime.bundle._boundary import FileStamp, open_regular, reading, stamp_of
from lerg_runtime.bundle._checksums import CHECKSUMS_FILE, file_digest
from lerg_runtime.errors import BundleError

__all__ = ["altered", "hashed_arrays", "read_hashed"]


def read_hashed(folder: Path, name: str, *, size: int, digest: str, allocate: Allocate) -> np.ndarray:
    """The bytes of a file, uint8 [size], of what was hashed in memory.

    Args:
        size: that it must have.
        digest: its SHA-256, hexadecimal.
        allocate: where the memory comes from.

    Raises:
        BundleError: it is another file.
    """
    handle, found = open_regular(folder, name)
    with os.fdopen(handle, "rb", buffering=0) as stream, reading(folder / name):
        if found != size:
            raise altered(folder, name)
        data = allocate((size,), "uint8")
        rest = data.data
        while rest and (count := stream.readinto(rest)):
            rest = rest[count:]
        if rest or hashlib.sha256(data.data).hexdigest() != digest:
            raise altered(folder, name)
    return data


@contextmanager
def hashed_arrays(folder: Path, name: str, *, digest: str, stamp: FileStamp) -> Iterator[ArrayReader]:
    """The arrays of a file, which must be the one that was hashed, and stay so while the block lasts.

    Args:
        digest: its SHA-256, hexadecimal.
        stamp: its own when it was hashed; where it has another one it is hashed again.

    Raises:
        BundleError: it is another file, or changes.
    """
    path = folder / name
    handle, size = open_regular(folder, name)
    with os.fdopen(handle, "rb") as stream, reading(path):
        before = stamp_of(handle)
        if before != stamp and file_digest(folder, name, size=size) != (digest, before):
            raise altered(folder, name)
        yield ArrayReader(stream, str(path))
        if stamp_of(handle) != before:
            raise BundleError(f"{path} changed while it was read; open the bundle again")


def altered(folder: Path, name: str) -> BundleError:
    """What is raised where a file is not what was hashed."""
    return BundleError(
        f"{folder / name} does not match its SHA-256 in {CHECKSUMS_FILE}; copy the bundle again"
    )
