"""How two ways of doing the same are compared: in turn, in one process, by the median of the ratios."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lerg_runtime import _native

__all__ = ["Row", "compare", "copy_gb_per_s", "machine", "native_threads", "print_rows", "write_rows"]

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: medians in milliseconds, and peer / ours as the median over pairs of runs."""

    name: str
    ours_ms: float
    peer_ms: float
    ratio: float
    note: str = ""


def compare(
    name: str, ours: Callable[[], object], peer: Callable[[], object], *, runs: int, note: str = ""
) -> Row:
    """Time `ours` and `peer` in turn: on a busy machine the two slow down together.

    Compare their answers and warm both up before.
    """
    pairs = []
    for _ in range(runs):
        began = time.perf_counter()
        ours()
        between = time.perf_counter()
        peer()
        pairs.append(((between - began) * 1e3, (time.perf_counter() - between) * 1e3))
    mine, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(b / a for a, b in pairs)
    return Row(name, statistics.median(mine), statistics.median(theirs), ratio, note)


def copy_gb_per_s() -> float:
    """Bytes read and written by a copy of 256 MB on one thread, a second."""
    source = np.ones(1 << 25)
    target = np.empty_like(source)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - began)
    return 2 * source.nbytes / min(times) / 1e9


def machine() -> str:
    """What the figures depend on: architecture, instruction set, threads, copy bandwidth."""
    build = _native.build_info()
    return (
        f"{platform.machine()}, {build['isa']}, {build['threads']} threads, "
        f"copy bandwidth {copy_gb_per_s():.1f} GB/s"
    )


@contextmanager
def native_threads(count: int) -> Iterator[None]:
    """Let this project's kernels use so many threads."""
    before = _native.build_info()["threads"]
    _native.set_threads(count)
    try:
        yield
    finally:
        _native.set_threads(before)


def print_rows(rows: Sequence[Row]) -> None:
    """The table that people read."""
    width = max(len(row.name) for row in rows)
    print(f"{'':{width}}{'ours ms':>10}{'peer ms':>10}{'ratio':>8}  note")
    for row in rows:
        print(f"{row.name:{width}}{row.ours_ms:10.2f}{row.peer_ms:10.2f}{row.ratio:8.2f}  {row.note}")


def write_rows(suite: str, header: str, rows: Sequence[Row]) -> None:
    """`benchmarks/results/<suite>.json`."""
    RESULTS.mkdir(exist_ok=True)
    document = {"header": header, "rows": [asdict(row) for row in rows]}
    (RESULTS / f"{suite}.json").write_text(json.dumps(document, indent=1) + "\n")
