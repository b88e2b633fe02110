"""One command of `lerg-edge` in this process, whose memory is limited: what it took, as JSON in a file.

`python -m benchmarks.budget_child RESULT ROOM COMMAND ...`: ROOM bytes over the loaded interpreter are
all the address space that there is; 0 sets no limit. Only Linux tells what is measured here.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

_POPULATE_READ = 22  # of madvise


def main(result: str, room: str, arguments: list[str]) -> int:
    """Load everything, note what is resident, run, note the most that was."""
    from lerg_runtime.cli._main import run
    from lerg_runtime.engine import _engine
    from lerg_runtime.engine._threads import use_threads
    from lerg_runtime.serving import _core

    engines: list[Any] = []

    class Noted(_engine.Engine):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            engines.append(self.budget)

    _core.Engine = Noted  # type: ignore[misc]
    use_threads(1)
    import_late()
    make_resident()
    gc.collect()
    base = status()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if int(room):
        limit = base["VmSize"] + int(room)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    code = run(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    after = status()
    Path(result).write_text(
        json.dumps(
            {
                "status": code,
                "base_bytes": base["VmRSS"],
                "resident_bytes": after["VmHWM"] - base["VmRSS"],
                "counted_bytes": max((int(budget.peak) for budget in engines), default=0),
            }
        )
    )
    engines.clear()
    return code


def import_late() -> None:
    """What the commands import only when they come to it."""
    for name in ("gzip", "csv", "tempfile", "numpy.random", "numpy.lib.format", "click.formatting"):
        importlib.import_module(name)


def make_resident() -> None:
    """Have every page of the libraries in memory: which of them a command touches is not of its budget."""
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, _, _, inode, *_ = line.split()
        if rights[0] == "r" and int(inode):
            start, end = (int(part, 16) for part in span.split("-"))
            if madvise(start, end - start, _POPULATE_READ):
                raise OSError(ctypes.get_errno(), "this needs Linux 5.14")


def status() -> dict[str, int]:
    """Bytes of `/proc/self/status` by name."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {name.rstrip(":"): int(rest[0]) * 1024 for name, *rest in lines if rest[-1:] == ["kB"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
