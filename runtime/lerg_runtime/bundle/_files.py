"""Files and folders that are there whole or not at all, across a crash and a power cut.

A file is written beside its target, synced, renamed over it, and the folder is synced: after a crash the
target is the old file or the new one. A folder is filled beside its target and renamed. The names beside
carry the process id, so two processes never write to the same one; what a dead process left is removed by
the next writer.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lerg_runtime.errors import BundleError, InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["named_in_errors", "new_folder", "open_regular", "replace_file", "sync_folder", "write_synced"]

_BESIDE = re.compile(r"\.(?P<name>.+)\.(?P<process>[0-9]+)\.(?:new|old)")


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the system can (Windows cannot sync a folder)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, data: bytes) -> None:
    """Write `data` to `path` and have it on the disk before returning; not atomic."""
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here for `folder`; does nothing where a system has no such locks."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def named_in_errors(path: Path, *, beside: Path) -> Iterator[None]:
    """Let an error of the system, such as a full disk, name `path` and not what is written beside it."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not (error.filename is None or str(error.filename).startswith(str(beside))):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def replace_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a crash at any moment leaves the old bytes or the new ones.

    Raises:
        OSError: it cannot be written; names `path`.
    """
    _remove_stale(path)
    beside = _beside(path, "new")
    try:
        with named_in_errors(path, beside=beside):
            write_synced(beside, data)
            os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes `path` when the block ends well and vanishes when it does not.

    Args:
        path: must not exist, or be an empty folder.
        overwrite: a folder at `path` may be replaced. It is moved aside, so a crash between the two renames
            leaves it complete beside `path`.

    Raises:
        InputError: `path` is in the way, or its parent is not a folder.
        OSError: it cannot be written; names `path`.
    """
    path = Path(os.path.abspath(path))
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}")
    in_the_way = os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir()))
    if in_the_way and not (overwrite and path.is_dir() and not path.is_symlink()):
        raise InputError(f"cannot write {path}: it exists already; name another folder or remove it first")
    _remove_stale(path)
    beside, aside = _beside(path, "new"), _beside(path, "old")
    try:
        with named_in_errors(path, beside=beside):
            beside.mkdir()
            yield beside
            sync_folder(beside)
            if in_the_way:
                os.rename(path, aside)
            try:
                os.rename(beside, path)
            except OSError:
                if in_the_way:
                    os.rename(aside, path)
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_folder(path.parent)
    if in_the_way:
        shutil.rmtree(aside, ignore_errors=True)


def open_regular(folder: Path, name: str) -> tuple[int, int]:
    """Open `folder/name` for reading if it is a plain file; a link, pipe or device is refused.

    Returns:
        File descriptor, which the caller closes, and size in bytes.

    Raises:
        BundleError: missing, not a plain file, or not readable.
    """
    path = folder / name
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise BundleError(f"{path} is not a plain file; copy the bundle again, without links")
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a complete bundle: it has no {name}; copy it again") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
    return handle, os.fstat(handle).st_size


def is_leftover(path: Path) -> bool:
    """Whether it is named like what a crashed writer leaves."""
    return _BESIDE.fullmatch(path.name) is not None


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


def _remove_stale(path: Path) -> None:
    """Remove what crashed writers of `path` left beside it."""
    for entry in path.parent.iterdir():
        match = _BESIDE.fullmatch(entry.name)
        # An "old" folder whose target is gone is the only copy there is.
        if match is None or match["name"] != path.name or (entry.suffix == ".old" and not path.exists()):
            continue
        if int(match["process"]) != os.getpid() and _is_running(int(match["process"])):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
