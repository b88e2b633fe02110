"""Files and folders that are there whole or not at all, across a crash, a power cut and Ctrl-C.

A file is written beside its target, synced, renamed over it, and the folder is synced: after a crash the
target is the old file or the new one. A folder is filled beside its target and renamed. What is beside has a
name that nobody can foretell and is made anew, so that no link laid there is followed; its maker holds a
lock on it, so that the next writer knows what a dead process left, and removes it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lerg_runtime.bundle._interruption import uninterrupted
from lerg_runtime.errors import InputError, UnsyncedError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "is_leftover",
    "locked",
    "named_in_errors",
    "new_file",
    "new_folder",
    "replace_file",
    "sync_folder",
    "write_synced",
]

_BESIDE = re.compile(r"\.(?P<name>.+)\.(?P<process>[0-9]+)(?:-[0-9a-f]{16})?\.(?:new|old)", re.DOTALL)
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NONBLOCK", 0)
_OF_CONTENT = ("security.ima", "security.evm", "security.capability")  # attributes that other bytes belie
_PRIVATE = 0o600
_SHARED = 0o666  # less what the umask takes away
_PERMISSIONS = 0o7777

Content = bytes | Sequence[bytes | memoryview]
"""Of a file: all of it, or pieces that are written one after the other."""


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the system can (Windows cannot sync a folder)."""
    if os.name != "posix":
        return
    handle = os.open(folder, _FOLDER_FLAGS)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, data: Content, *, private: bool = False) -> None:
    """Make a new file and have it on the disk before returning; not atomic.

    Args:
        path: nothing may be there, not even a link.
        data: its content.
        private: only its owner may read and write it, from the start.
    """
    handle = os.open(path, _NEW_FLAGS, _PRIVATE if private else _SHARED)
    try:
        _write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here for `folder`; does nothing where a system has no such locks."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, _FOLDER_FLAGS)
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


def replace_file(
    path: Path, data: Content, *, private: bool = False, on_replaced: Callable[[], object] = lambda: None
) -> None:
    """Replace `path` by `data` so that a crash at any moment leaves the old bytes or the new ones.

    A file that is there passes on its mode, owner, group and extended attributes, access lists among them, as
    far as the system lets this process set them; where it does not, nobody may do more than before.

    Args:
        path: of the file.
        data: its new content.
        private: a file that is not there yet is for its owner alone.
        on_replaced: called when the new bytes are in place, before a signal can come between.

    Raises:
        OSError: it cannot be written; names `path`, and what was there stays.
        UnsyncedError: the new bytes are in place, but the disk does not promise that they stay.
    """
    with uninterrupted():
        _remove_stale(path)
        beside = _beside(path, "new")
        try:
            with named_in_errors(path, beside=beside):
                handle = os.open(beside, _NEW_FLAGS, _PRIVATE)
                try:
                    _lock(handle)
                    _write_all(handle, data)
                    _take_over(path, handle, otherwise=_PRIVATE if private else _SHARED & ~_umask())
                    os.fsync(handle)
                    os.replace(beside, path)
                finally:
                    os.close(handle)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        on_replaced()
        _sync_after(path)


@contextmanager
def new_file(path: Path) -> Iterator[int]:
    """A file to fill, which becomes `path` when the block ends well and vanishes when it does not.

    Gives a descriptor to write to, which the caller leaves open.

    Raises:
        OSError: it cannot be written; names `path`.
    """
    beside = _beside(path, "new")
    handle = -1
    try:
        with named_in_errors(path, beside=beside):
            with uninterrupted():
                handle = os.open(beside, _NEW_FLAGS, _SHARED)
                _lock(handle)
            yield handle
            os.fsync(handle)
            with uninterrupted():
                os.replace(beside, path)
    finally:
        with uninterrupted():
            if handle >= 0:
                os.close(handle)
                beside.unlink(missing_ok=True)


@contextmanager
def new_folder(
    path: Path, *, overwrite: bool = False, on_replaced: Callable[[], object] = lambda: None
) -> Iterator[Path]:
    """A folder to fill, which becomes `path` when the block ends well and vanishes when it does not.

    Args:
        path: must not exist, or be an empty folder.
        overwrite: a folder at `path` may be replaced. It is moved aside, so a crash between the two renames
            leaves it complete beside `path`.
        on_replaced: called when the new folder is in place, before a signal can come between.

    Raises:
        InputError: `path` is in the way, or its parent is not a folder.
        OSError: it cannot be written; names `path`.
        UnsyncedError: it is in place, but the disk does not promise that it stays.
    """
    path = Path(os.path.abspath(path))
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}")
    in_the_way = os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir()))
    if in_the_way and not (overwrite and path.is_dir() and not path.is_symlink()):
        raise InputError(f"cannot write {path}: it exists already; name another folder or remove it first")
    beside, aside = _beside(path, "new"), _beside(path, "old")
    lock = -1
    try:
        with named_in_errors(path, beside=beside):
            with uninterrupted():
                _remove_stale(path)
                beside.mkdir()
                lock = _open_locked(beside)
            yield beside
            with uninterrupted():
                sync_folder(beside)
                if in_the_way:
                    os.rename(path, aside)
                try:
                    os.rename(beside, path)
                except OSError:
                    if in_the_way:
                        os.rename(aside, path)
                    raise
                on_replaced()
                _sync_after(path)
                # What was moved aside, by this writer or by one that died before its second renaming.
                _remove_stale(path)
    finally:
        with uninterrupted():
            try:
                shutil.rmtree(beside, ignore_errors=True)
            finally:
                if lock >= 0:
                    os.close(lock)


def is_leftover(path: Path) -> bool:
    """Whether it is named like what a crashed writer leaves."""
    return _BESIDE.fullmatch(path.name) is not None


def _write_all(handle: int, data: Content) -> None:
    for piece in (data,) if isinstance(data, bytes) else data:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(handle, rest) :]


def _sync_after(path: Path) -> None:
    """Sync the folder of what has just been renamed to `path`."""
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise UnsyncedError(
            f"{path} is the new one, but the disk could not sync its folder ({error.strerror}), so that a "
            "power cut might bring the old one back; save again when the disk is well"
        ) from error


def _take_over(path: Path, handle: int, *, otherwise: int) -> None:
    """Give a new file the mode, owner and extended attributes of the one that it will replace."""
    if os.name != "posix":
        return
    try:
        old = os.lstat(path)
    except FileNotFoundError:
        os.fchmod(handle, otherwise)
        return
    mode = stat.S_IMODE(old.st_mode) if stat.S_ISREG(old.st_mode) else otherwise
    new = os.fstat(handle)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(handle, old.st_uid, old.st_gid)
        except OSError:
            with suppress(OSError):
                os.fchown(handle, -1, old.st_gid)
    if os.fstat(handle).st_gid != old.st_gid:
        mode &= ~0o070  # it would be for another group than before
    _copy_attributes(path, handle)
    os.fchmod(handle, mode & _PERMISSIONS)


def _copy_attributes(path: Path, handle: int) -> None:
    """Extended attributes and access lists, where the system has them and lets them be set."""
    if not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        for name in os.listxattr(path, follow_symlinks=False):
            if name in _OF_CONTENT:
                continue
            with suppress(OSError):
                os.setxattr(handle, name, os.getxattr(path, name, follow_symlinks=False))


def _umask() -> int:
    """What the process takes from the mode of a new file; Linux tells it without setting it."""
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _lock(handle: int) -> bool:
    """Hold a lock until the handle is closed, as a sign of life; False where somebody else has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks gives no sign either way.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _open_locked(folder: Path) -> int:
    if fcntl is None:
        return -1
    handle = os.open(folder, _FOLDER_FLAGS)
    _lock(handle)
    return handle


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(8)}.{kind}")


def _remove_stale(path: Path) -> None:
    """Remove what crashed writers of `path` left beside it."""
    for entry in path.parent.iterdir():
        match = _BESIDE.fullmatch(entry.name)
        # An "old" folder whose target is gone is the only copy there is.
        if match is None or match["name"] != path.name or (entry.suffix == ".old" and not path.exists()):
            continue
        if not _is_dead(entry, int(match["process"])):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _is_dead(entry: Path, process: int) -> bool:
    """Whether the writer of `entry` is surely gone: nobody holds it, and no other process has that number."""
    if process != os.getpid() and _is_running(process):
        return False
    if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
        return True  # nothing that a writer makes
    try:
        handle = os.open(entry, _FOLDER_FLAGS & ~getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return _lock(handle)
    finally:
        os.close(handle)


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
