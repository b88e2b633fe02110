"""Resident memory of this process, as the operating system counts it."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

from lerg_runtime.engine._engine import native

__all__ = ["Uncounted", "measure_uncounted", "peak_resident_bytes", "resident_bytes"]

# Loaded when a command comes to them.
_MODULES = ("csv", "gzip", "numpy.lib.format", "numpy.random")


@dataclass(frozen=True, slots=True)
class Uncounted:
    """What the interpreter and the libraries take of memory, which no memory budget counts.

    Attributes:
        resident_bytes: resident now.
        most_bytes: once every page of the libraries is; None where the system does not tell.
    """

    resident_bytes: int
    most_bytes: int | None


def measure_uncounted() -> Uncounted:
    """Measured in this process, with all modules loaded that a command loads; open no bundle before."""
    native()
    for name in _MODULES:
        importlib.import_module(name)
    resident, most, of_file = resident_bytes(), 0, False
    try:
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                name, *words = line.split()
                if not name.endswith(":"):  # a mapping begins: its addresses, rights, offset, device, inode
                    of_file = words[3] != "0"
                elif name == ("Size:" if of_file else "Rss:"):
                    # Of a file every page may come in; of other memory what is there counts.
                    most += int(words[0]) * 1024
    except OSError:
        return Uncounted(resident, None)
    return Uncounted(resident, max(most, resident))


def resident_bytes() -> int:
    """Resident now; where the system does not tell (only Linux does without help), the peak so far."""
    return _status("VmRSS") or peak_resident_bytes()


def peak_resident_bytes() -> int:
    """Most that has been resident since the process began; 0 where the system does not tell."""
    found = _status("VmHWM")
    if found or os.name != "posix":
        return found
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


def _status(field: str) -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            for line in stream:
                if line.startswith(f"{field}:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
