"""NumPy's files, without a pickle in them: what a header states is held to the bytes that are there."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lerg_edge.errors import InputError

__all__ = ["NPY_MAGIC", "opened", "read_npy", "read_npz", "unreadable"]

NPY_MAGIC = b"\x93NUMPY"
_PLAIN_BYTES = 1 << 26  # what a packed member may unpack to whatever its size
_MOST_PACKED = 100  # numbers of a trained table hardly pack at all


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a `.npy` file.

    Raises:
        InputError: it cannot be read, is damaged, or holds Python objects.
    """
    with opened(path, "a .npy file") as stream:
        return _array(stream, path.stat().st_size, str(path))


def read_npz(path: Path, names: tuple[str, ...]) -> tuple[NDArray[Any], ...]:
    """Some arrays of a `.npz` file; all others are left alone.

    Raises:
        InputError: as of :func:`read_npy`, or one of them unpacks to more than any table would.
    """
    found = []
    with unreadable(path, "a .npz file"), zipfile.ZipFile(path) as archive:
        for name in names:
            member = archive.getinfo(f"{name}.npy")
            if member.file_size > max(_PLAIN_BYTES, _MOST_PACKED * member.compress_size):
                raise InputError(
                    f"{path}: {name} unpacks from {member.compress_size:,} bytes to {member.file_size:,}, "
                    "which is no trained table; write it again"
                )
            with archive.open(member) as stream:
                found.append(_array(stream, member.file_size, f"{path}: {name}"))
    return tuple(found)


@contextmanager
def opened(path: Path, what: str) -> Iterator[BinaryIO]:
    """A plain file to read from; whatever a reader stumbles over is one sentence that names it.

    Raises:
        InputError: it cannot be read, is no plain file, or is not `what`.
    """
    with unreadable(path, what):
        if path.exists() and not path.is_file():  # which may have no end, or no beginning
            raise InputError(f"{path}: cannot be read: it is no plain file; give one")
        with open(path, "rb") as stream:
            yield stream


@contextmanager
def unreadable(path: Path, what: str) -> Iterator[None]:
    """Let whatever a reader stumbles over be one sentence that names the file."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: is damaged, or not {what} ({reason}); write it again") from error
    except Exception as error:  # what the libraries below give for bytes that nobody has thought of
        raise InputError(
            f"{path}: is damaged, or not {what} ({type(error).__name__}); write it again"
        ) from error


def _array(stream: IO[bytes], size: int, what: str) -> NDArray[Any]:
    """One array, read after its header has been held to the number of bytes that there are."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"{what}: is of version {version} of NumPy's format; write it by np.save")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise InputError(
            f"{what}: holds Python objects, which are never unpickled; write texts as np.str_ and numbers as "
            "float32"
        )
    stated = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or stated != size - stream.tell():
        raise InputError(
            f"{what}: its header states {shape} of {dtype} and {size - stream.tell():,} bytes follow; "
            "write it again"
        )
    data = stream.read(stated)
    array: NDArray[Any] = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return array
