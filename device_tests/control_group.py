"""A control group of the kernel's that bounds the memory of the processes in it, of version 1 or 2."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

__all__ = ["ControlGroup"]

_GROUPS = Path("/sys/fs/cgroup")


class ControlGroup:
    """A new group; it is there until it is closed.

    What a process holds when it joins stays with the group that it came from: only what it takes from then on
    counts, pages of files that it is the first to read or write among it, which the kernel gives up first.

    Args:
        limit_bytes: of memory; there is no swap for more.

    Attributes:
        processes: the file that a process writes its number to, to join.

    Raises:
        OSError: the kernel has no memory controller here, or it is not ours to use.
    """

    def __init__(self, limit_bytes: int) -> None:
        controllers = _GROUPS / "cgroup.controllers"
        second = controllers.exists() and "memory" in controllers.read_text().split()
        root = _GROUPS if second else _GROUPS / "memory"
        self._folder = root / f"lerg-{uuid.uuid4().hex[:12]}"
        self._peak = self._folder / ("memory.peak" if second else "memory.max_usage_in_bytes")
        self.processes = self._folder / "cgroup.procs"
        self._folder.mkdir()
        try:
            limit = "memory.max" if second else "memory.limit_in_bytes"
            (self._folder / limit).write_text(str(limit_bytes))
            swap, most = ("memory.swap.max", 0) if second else ("memory.memsw.limit_in_bytes", limit_bytes)
            with suppress(FileNotFoundError, PermissionError):  # a kernel that does not count swap
                (self._folder / swap).write_text(str(most))
        except BaseException:
            self._folder.rmdir()
            raise

    def peak_bytes(self) -> int | None:
        """The most that the group has been charged with; None where the kernel does not tell."""
        return int(self._peak.read_text()) if self._peak.exists() else None

    def close(self) -> None:
        """Remove it; no process may be in it any more."""
        self._folder.rmdir()
