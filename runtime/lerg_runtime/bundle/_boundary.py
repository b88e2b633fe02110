"""The boundary to files that anybody may have made: all that reads a bundle passes through here.

`open_regular` opens nothing but plain files and never waits for one. `reading` turns whatever a parser
raises on what it finds in them into a `BundleError` that names the file, so that no list of exceptions has
to be complete. Outside of such blocks an unexpected exception stays what it is: a fault of this program.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lerg_runtime.errors import BundleError, InputError, LergRuntimeError

__all__ = ["FileStamp", "check_folder", "open_regular", "read_bounded", "reading", "stamp_of"]

FileStamp = tuple[int, int, int, int, int]
"""Device, inode, bytes, and times of the last changes of content and inode: what a change of a file moves."""

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
# The machine's own want, of which a file is not guilty.
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@contextmanager
def reading(
    what: object, *, problem: str = "is damaged", remedy: str = "copy the bundle again"
) -> Iterator[None]:
    """Whatever the block raises about what it reads becomes a `BundleError` of one sentence.

    Errors of this package, a want of memory or of file handles, and interruptions pass as they are.

    Args:
        what: the file, and the part of it, as a message names them.
        problem: what is then wrong with it.
        remedy: what to do.
    """
    try:
        yield
    except (LergRuntimeError, MemoryError):
        raise
    except OSError as error:
        if error.errno in _OURS:
            raise
        raise BundleError(f"cannot read {what}: {error.strerror or reason_of(error)}") from error
    except Exception as error:
        raise BundleError(f"{what} {problem} ({reason_of(error)}); {remedy}") from error


def reason_of(error: Exception) -> str:
    """What a parser says, as a part of a sentence: one line, short, and nothing that a terminal acts on."""
    text = " ".join(str(error).split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in text) or type(error).__name__


def check_folder(path: Path) -> None:
    """Refuse what cannot be a bundle's folder, without touching what is in it.

    Raises:
        InputError: there is nothing of this name, or a plain file.
        BundleError: something else is in its place, such as a pipe or a link that leads nowhere.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.lexists(path):
            raise BundleError(f"{path} is a link that leads nowhere; copy the bundle again") from None
        raise InputError(f"there is no folder {path}; give the path of a bundle") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BundleError(f"cannot read {path}: {reason}") from None
    if stat.S_ISREG(mode):
        raise InputError(f"{path} is a file; a bundle is a folder, give its path")
    if not stat.S_ISDIR(mode):
        raise BundleError(f"{path} is not a folder; copy the bundle again")
    if not os.access(path, os.R_OK | os.X_OK):
        raise BundleError(f"cannot read {path}: {os.strerror(errno.EACCES)}")


def open_regular(folder: Path, name: str) -> tuple[int, int]:
    """Open `folder/name` for reading if it is a plain file; another kind is refused and never waited for.

    Returns:
        File descriptor, which the caller closes, and size in bytes.

    Raises:
        BundleError: missing, not a plain file, or not readable.
    """
    path = folder / name
    try:
        # Looked at first, because opening some devices has effects; and again once open, because it may
        # have been exchanged in between.
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise _not_plain(path)
        handle = os.open(path, _FLAGS)
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a complete bundle: it has no {name}; copy it again") from None
    except OSError as error:
        if error.errno in _OURS:
            raise
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise _not_plain(path)
    return handle, status.st_size


def stamp_of(handle: int) -> FileStamp:
    """What tells whether an open file is still the one that was hashed."""
    status = os.fstat(handle)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def read_bounded(folder: Path, name: str, *, limit: int) -> bytes:
    """A small file, whole.

    Raises:
        BundleError: missing, not a plain file, or longer than `limit` bytes.
    """
    handle, size = open_regular(folder, name)
    with os.fdopen(handle, "rb") as stream, reading(folder / name):
        if size > limit:
            raise BundleError(f"{folder / name} has {size} bytes; at most {limit} are allowed")
        # Not more than it has: a buffer of the limit would be taken, however short the file.
        data = stream.read(size + 1)
    if len(data) != size:
        raise BundleError(f"{folder / name} changed while it was read; open the bundle again")
    return data


def _not_plain(path: Path) -> BundleError:
    return BundleError(f"{path} is not a plain file; copy the bundle again, without links")
