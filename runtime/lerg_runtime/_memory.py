"""Resident memory of this process, as the operating system counts it."""

from __future__ import annotations

import os
import sys

__all__ = ["peak_resident_bytes", "resident_bytes"]


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
