"""Decoding who touched what from the code of a bundle, against deflated gaps, in the order of an export."""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np

from benchmarks.harness import Row, compare, native_threads
from benchmarks.model import gowalla_or_generated
from lerg_edge.propagation.ordering import order_entities
from lerg_runtime import _native

RUNS = 15


def run() -> list[Row]:
    """Code the pairs both ways, and time how long it takes to have compressed rows of them again."""
    name, interactions = gowalla_or_generated()
    order = order_entities(interactions.matrix())
    rows = interactions.reordered(order.users, order.items).matrix().tocsr().sorted_indices()
    starts, columns = rows.indptr.astype(np.int32), rows.indices.astype(np.int32)
    code = np.frombuffer(_native.encode_pairs(starts, columns, rows.shape[1]), dtype=np.uint8)
    deflated = zlib.compress(_gaps(columns).tobytes(), 9)
    ours, peer = _Decoder(code), partial(_inflated, deflated, _gaps(columns).dtype)
    print(
        f"{name}: {len(columns):,} pairs, {8 * len(code) / len(columns):.2f} bits a pair, "
        f"deflated gaps without degrees {8 * len(deflated) / len(columns):.2f}, "
        f"{ours.scratch.nbytes:,} bytes of working memory"
    )
    for found in (ours(), peer()):
        if not np.array_equal(found, columns):
            raise SystemExit("decoded pairs are not those that were coded")
    found_rows = []
    for threads in (1, 2):
        with native_threads(threads):
            found_rows.append(compare(f"decode, threads: {threads}", ours, peer, runs=RUNS))
    return found_rows


class _Decoder:
    """What is decoded into is there before."""

    def __init__(self, code: np.ndarray) -> None:
        row_count, _, pairs, scratch = _native.pair_sizes(code, len(code))
        self._code = code
        self._starts, self._columns = np.empty(row_count + 1, dtype=np.int32), np.empty(pairs, dtype=np.int32)
        memory = np.empty(scratch + 64, dtype=np.uint8)
        begin = -memory.ctypes.data % 64
        self.scratch = memory[begin : begin + scratch]

    def __call__(self) -> np.ndarray:
        _native.decode_pairs(self._code, self._starts, self._columns, self.scratch)
        return self._columns


def _gaps(columns: np.ndarray) -> np.ndarray:
    """Differences between successive columns, which fall where a row begins, modulo 2^16 or 2^32."""
    kind = np.uint16 if columns.max(initial=0) < 1 << 16 else np.uint32
    return np.diff(columns, prepend=np.int32(0)).astype(kind)


def _inflated(deflated: bytes, kind: np.dtype) -> np.ndarray:
    return np.cumsum(np.frombuffer(zlib.decompress(deflated), dtype=kind), dtype=kind).astype(np.int32)
