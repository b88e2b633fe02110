"""Commands of `lerg-edge` in processes of their own, whose memory is limited: what each took.

`python -m benchmarks.budget_child` reads a request a line, a JSON object, and answers each with another. It
loads everything that a command loads, once, and forks for each request: the child makes all that it has its
own, so that the fork shares nothing which would be paid for later, and then limits itself. Only Linux tells
what is measured here.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_POPULATE_READ, _POPULATE_WRITE = 22, 23  # of madvise
_PRESENT = np.uint64(1 << 63)  # in /proc/self/pagemap
_PAGE = resource.getpagesize()
_BUDGETS: list[Any] = []


def main() -> None:
    """Answer requests until there are no more."""
    import_all()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reader)
            told: dict[str, Any] = {}
            try:
                told = limited(request)
            finally:
                os.write(writer, json.dumps(told).encode())
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            told = json.loads(stream.read() or b"{}")
        _, status = os.waitpid(process, 0)
        answers.write(json.dumps({**told, "ended": os.waitstatus_to_exitcode(status)}) + "\n")
        answers.flush()


def import_all() -> None:
    """What commands import, also what they import only when they come to it; budgets are remembered."""
    importlib.import_module("lerg_runtime.cli._main")
    from lerg_runtime.engine import _engine
    from lerg_runtime.engine._threads import use_threads
    from lerg_runtime.serving import _core, _personal

    class Noted(_engine.Engine):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            _BUDGETS.append(self.budget)

    _core.Engine = Noted  # type: ignore[misc]
    _personal.Engine = Noted  # type: ignore[misc]
    numpys = ("numpy.ma", "numpy.random", "numpy.lib.format")
    for name in ("gzip", "csv", "tempfile", "click.formatting", *numpys):
        importlib.import_module(name)
    use_threads(1)
    gc.collect()


def limited(request: dict[str, Any]) -> dict[str, Any]:
    """One command in this process.

    Args:
        request: `arguments` of the command; `errors`, the file for its standard error; `room`, how many bytes
            of address space there are over what is loaded, 0 for no limit; `group`, the file to join a
            control group by, or null.
    """
    from lerg_runtime.cli._main import run

    for handle, path in ((1, os.devnull), (2, request["errors"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), handle)
    make_resident()
    base = status()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if request["group"]:
        Path(request["group"]).write_text(str(os.getpid()))
    if request["room"]:
        resource.setrlimit(resource.RLIMIT_AS, (base["VmSize"] + request["room"], hard))
    code = run(request["arguments"])
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return {
        "status": code,
        "resident": status()["VmHWM"] - base["VmRSS"],
        "counted": max((int(budget.peak) for budget in _BUDGETS), default=0),
    }


def make_resident() -> None:
    """Have every page of the libraries in memory, and a copy of every page that is shared with the parent.

    Which page of a library a command touches is not of its budget, nor is what it has from the fork.
    """
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

    def advise(start: int, end: int, what: int) -> None:
        if madvise(start, end - start, what):
            raise OSError(ctypes.get_errno(), "this needs Linux 5.14")

    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, _, _, inode, *_ = line.split()
        start, end = (int(part, 16) for part in span.split("-"))
        if rights[0] == "r" and int(inode):
            advise(start, end, _POPULATE_READ)
        if rights.startswith("rw") and rights.endswith("p"):
            for first, last in _present(start, end):
                advise(first, last, _POPULATE_WRITE)


def _present(start: int, end: int) -> Sequence[tuple[int, int]]:
    """Spans of pages between two addresses that are in memory."""
    with open("/proc/self/pagemap", "rb", buffering=0) as stream:
        stream.seek(start // _PAGE * 8)
        pages = np.frombuffer(stream.read((end - start) // _PAGE * 8), dtype=np.uint64)
    there = np.concatenate(([0], (pages & _PRESENT > 0).astype(np.int8), [0]))
    edges = start + np.flatnonzero(np.diff(there)) * _PAGE
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def status() -> dict[str, int]:
    """Bytes of `/proc/self/status` by name."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {name.rstrip(":"): int(rest[0]) * 1024 for name, *rest in lines if rest[-1:] == ["kB"]}


if __name__ == "__main__":
    main()
