"""How many threads to work on: as the caller says, or the environment, or as many as there are processors."""

from __future__ import annotations

import math
import os
from pathlib import Path

from lerg_runtime.engine._engine import native
from lerg_runtime.errors import InputError

__all__ = ["MAX_THREADS", "choose_threads", "usable_processors", "use_threads"]

MAX_THREADS = 1024
_VARIABLE = "OMP_NUM_THREADS"
_CGROUPS = Path("/sys/fs/cgroup")


def choose_threads(threads: int | None = None) -> int:
    """The number of threads to use.

    Args:
        threads: from 1 to 1024; None takes the environment's OMP_NUM_THREADS, and without it as many as
            there are processors that this process may use.

    Raises:
        InputError: the argument or the variable is no such number.
    """
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
            raise InputError(f"threads is {threads!r}; it must be a whole number from 1 to {MAX_THREADS}")
        return threads
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return min(usable_processors(), MAX_THREADS)
    first = text.split(",")[0].strip()  # OpenMP takes a list, a number for each level of nesting
    if not (first.isascii() and first.isdigit() and 1 <= int(first) <= MAX_THREADS):
        raise InputError(
            f"the environment has {_VARIABLE}={text!r}; set it to a whole number from 1 to {MAX_THREADS}, "
            "or unset it"
        )
    return int(first)


def use_threads(threads: int | None) -> int:
    """Set the pool that kernels run on, one for the process, and tell how many threads it has.

    Args:
        threads: as for `choose_threads`; None leaves a pool as it is that somebody has set already.

    Raises:
        InputError: as `choose_threads`.
    """
    chosen = choose_threads(threads)
    if threads is not None or not native().threads_were_set():
        native().set_threads(chosen)
        return chosen
    return int(native().build_info()["threads"])


def usable_processors(cgroups: Path = _CGROUPS) -> int:
    """Processors that this process may use: its affinity, and what its control group allows, rounded up."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    share = _share_of_group(cgroups)
    return max(1, count if share is None else min(count, math.ceil(share)))


def _share_of_group(cgroups: Path) -> float | None:
    """Processors' worth of time that the control group gives, by version 2 or 1; None without a limit."""
    for quota_file, period_file in (
        ("cpu.max", None),
        ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
    ):
        try:
            words = (cgroups / quota_file).read_text().split()
            if period_file is not None:
                words.append((cgroups / period_file).read_text().strip())
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # no such file, or `max`
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
