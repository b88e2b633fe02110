"""Graph partitioning by METIS, for large graphs in a process of its own.

pymetis holds the interpreter's lock for as long as it works, a minute on a large graph, and what it
allocates is given back only in part. A process of its own leaves the caller's other threads running.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pymetis

_HEADER = np.dtype([("entities", "i8"), ("entries", "i8"), ("parts", "i8"), ("seed", "i8")])
# Below this many entries METIS takes less time than a process takes to start.
_OWN_PROCESS_ENTRIES = 1 << 19
_PR_SET_PDEATHSIG = 1


def partition(indptr: np.ndarray, indices: np.ndarray, *, parts: int, seed: int) -> np.ndarray:
    """Cut a connected-enough graph into parts; where METIS runs changes nothing in its answer.

    Args:
        indptr, indices: integer, symmetric adjacency in compressed rows, without loops.
        parts: at least 2.
        seed: in 0 .. 2^31 - 1.

    Returns:
        int32 [N], a part in 0 .. parts - 1 for each entity; some parts may be empty.

    Raises:
        MemoryError: the other process ended early, as one does that runs out of memory.
    """
    indptr, indices = indptr.astype(np.int32, copy=False), indices.astype(np.int32, copy=False)
    if len(indices) < _OWN_PROCESS_ENTRIES or not sys.executable:
        return _partition_here(indptr, indices, parts, seed)
    header = np.array([(len(indptr) - 1, len(indices), parts, seed)], _HEADER)
    # By path and without its folder on the module path: this file imports nothing of its package.
    worker = subprocess.run(
        [sys.executable, "-P", str(Path(__file__))],
        input=b"".join(part.tobytes() for part in (header, indptr, indices)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if worker.returncode or len(worker.stdout) != 4 * (len(indptr) - 1):
        raise MemoryError(f"METIS ended with status {worker.returncode}")
    return np.frombuffer(worker.stdout, np.int32)


def _partition_here(indptr: np.ndarray, indices: np.ndarray, parts: int, seed: int) -> np.ndarray:
    graph = pymetis.CSRAdjacency(indptr, indices)
    with _remarks_discarded():
        _, labels = pymetis.part_graph(parts, graph, options=pymetis.Options(seed=seed))
    return np.asarray(labels, np.int32)


@contextmanager
def _remarks_discarded() -> Iterator[None]:
    """METIS prints remarks on parts that stay empty, and standard output is for answers."""
    flush = ctypes.CDLL(None).fflush
    flush(None)
    try:
        answers = os.dup(1)
    except OSError:  # closed: there is nobody to disturb
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        flush(None)
        os.dup2(answers, 1)
        os.close(answers)


def _serve() -> None:
    """Answer one request from standard input."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody is left to answer
    source = sys.stdin.buffer
    header = np.frombuffer(source.read(_HEADER.itemsize), _HEADER)[0]
    indptr = np.frombuffer(source.read(4 * (int(header["entities"]) + 1)), np.int32)
    indices = np.frombuffer(source.read(4 * int(header["entries"])), np.int32)
    labels = _partition_here(indptr, indices, int(header["parts"]), int(header["seed"]))
    sys.stdout.buffer.write(labels.tobytes())


if __name__ == "__main__":
    _serve()
