"""How peers of a bundle are stored: rows and lists that are really packed, in as many bytes as it has.

Nothing is scored but what was unpacked from those bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from lerg_edge.codes.quantiser import least_error_step
from lerg_edge.codes.widths import bounds
from lerg_edge.errors import InputError
from lerg_exporter import inspect_bundle

__all__ = [
    "BundleBytes",
    "StoredLists",
    "StoredRows",
    "columns_that_fit",
    "neighbours_that_fit",
    "packed",
    "packed_size",
    "unpacked",
]

SCALE_BYTES = 2  # float16
WEIGHT_BITS = 8
_NEEDED_BY_ALL = ("entities.arrays", "interactions.arrays")


@dataclass(frozen=True, slots=True)
class BundleBytes:
    """What a bundle takes, and what of that is a peer's to fill.

    Attributes:
        total: every byte of every file.
        shared: of them ids and interactions, which every peer needs as well.
        ndcg, recall: NDCG@20 and Recall@20 of the bundle, by its manifest.
        codes: per entity.
    """

    total: int
    shared: int
    ndcg: float
    recall: float
    codes: int

    @property
    def model(self) -> int:
        """The model of a peer: programs, golden examples and manifest of the bundle are its as well."""
        return self.total - self.shared

    @classmethod
    def of(cls, path: Path) -> BundleBytes:
        """Measure a bundle.

        Raises:
            InputError: it is a personal one, or was made without test pairs.
            lerg_runtime.errors.LergError: it is no bundle.
        """
        found = inspect_bundle(path)
        if found["form"] != "shared":
            raise InputError(f"{path} is a personal bundle; give a shared one, which knows users")
        metrics = list(found.get("metrics", {}).values())
        if not metrics or "ndcg@20" not in metrics[-1]:
            raise InputError(f"{path} was not measured on test pairs; export it with a test file")
        return cls(
            total=found["storage"]["bundle_bytes"],
            shared=sum(found["files"][name] for name in _NEEDED_BY_ALL),
            ndcg=metrics[-1]["ndcg@20"],
            recall=metrics[-1]["recall@20"],
            codes=found["model"].get("codes_per_entity", 1),
        )


def packed(values: np.ndarray, width: int) -> bytes:
    """Integers from 0 to 2^width - 1, bit behind bit, the lowest first.

    >>> packed(np.array([1, 2, 7]), 3).hex(), packed_size(3, 3)
    ('8b80', 2)
    """
    bits = (values.reshape(-1, 1) >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def unpacked(data: bytes, width: int, count: int) -> np.ndarray:
    """What :func:`packed` packed: int64 [count]."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * width).reshape(count, width)
    values: np.ndarray = bits.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    return values


def packed_size(count: int, width: int) -> int:
    """Bytes of :func:`packed`."""
    return -(-count * width // 8)


def index_width(items: int) -> int:
    """Bits of an item's index: ceil(log2 items)."""
    return max(1, (items - 1).bit_length())


def half_scales(scales: np.ndarray) -> bytes:
    """Scales of a table as float16, divided by the largest: a factor for all of them changes no ranking."""
    largest = max(float(scales.max(initial=0.0)), np.finfo(np.float32).tiny)
    return (scales / largest).astype(np.float16).tobytes()


def _lists_size(items: int, count: int) -> int:
    return (
        packed_size(items * count, index_width(items))
        + packed_size(items * count, WEIGHT_BITS)
        + SCALE_BYTES * items
    )


def neighbours_that_fit(budget_bytes: int, items: int) -> int:
    """How many weights of each item fit.

    Raises:
        InputError: not one.
    """
    if _lists_size(items, 1) > budget_bytes:
        raise InputError(
            f"{budget_bytes:,} bytes hold no weight for each of {items:,} items, which takes "
            f"{_lists_size(items, 1):,}; compare with a larger bundle"
        )
    each = index_width(items) + WEIGHT_BITS
    count = (8 * (budget_bytes - SCALE_BYTES * items)) // (each * items)
    while _lists_size(items, count) > budget_bytes:  # both parts end on whole bytes
        count -= 1
    return min(count, items - 1)


def columns_that_fit(budget_bytes: int, *, rows: int, scales: int, bits: int) -> int:
    """How many columns of so many bits fit.

    Args:
        rows: of the table, and scales: that are stored beside it.

    Raises:
        InputError: not one.
    """
    left = budget_bytes - SCALE_BYTES * scales
    columns = 8 * max(left, 0) // (bits * rows)
    if columns < 1:
        least = packed_size(rows, bits) + SCALE_BYTES * scales
        raise InputError(
            f"{budget_bytes:,} bytes hold no column of {bits} bits for {rows:,} rows, which takes {least:,}; "
            "compare with a larger bundle"
        )
    return columns


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows as integers of 4 or 8 bits, or as signs, and a scale for each or none.

    Attributes:
        bits: 1, 4 or 8.
        shape: rows and columns.
        values, scales: packed; no scales for rows whose length changes no ranking, those of users.
    """

    bits: int
    shape: tuple[int, int]
    values: bytes
    scales: bytes

    @classmethod
    def of(cls, table: np.ndarray, *, bits: int, scaled: bool) -> StoredRows:
        """Round a table, each row with the least squared error."""
        if bits == 1:
            step, integers = np.abs(table).mean(axis=1), (table >= 0).astype(np.int64)
        else:
            low, high = bounds(bits)
            step = least_error_step(table, bits=bits, per_row=True)
            integers = np.rint(np.clip(table / step[:, None], low, high)).astype(np.int64) - low
        step = np.where(np.abs(table).max(axis=1) > 0, step, 0.0)
        return cls(bits, table.shape, packed(integers, bits), half_scales(step) if scaled else b"")

    @property
    def size_bytes(self) -> int:
        """What is stored."""
        return len(self.values) + len(self.scales)

    def rows(self) -> np.ndarray:
        """Float32 [rows, columns], up to one factor for all."""
        integers = unpacked(self.values, self.bits, self.shape[0] * self.shape[1]).reshape(self.shape)
        signed = 2 * integers - 1 if self.bits == 1 else integers + bounds(self.bits)[0]
        table: np.ndarray = signed.astype(np.float32)
        if self.scales:
            table *= np.frombuffer(self.scales, np.float16).astype(np.float32)[:, None]
        return table


@dataclass(frozen=True, slots=True)
class StoredLists:
    """For each item the same number of other items and their weights.

    Attributes:
        items, count: lists, and entries of each; fewer end with weights of 0.
        of_targets: whether a list has the items that an item is raised by, or those that it raises.
        indices, weights, scales: packed.
    """

    items: int
    count: int
    of_targets: bool
    indices: bytes
    weights: bytes
    scales: bytes

    @classmethod
    def of(cls, matrix: sparse.csr_matrix, *, count: int, of_targets: bool) -> StoredLists:
        """Keep the largest weights of each item, by magnitude.

        Args:
            matrix: float [I, I], from what somebody touched to what it raises.
            count: entries of a list.
        """
        lists = (matrix.T if of_targets else matrix).tocsr()
        items = lists.shape[0]
        indices = np.zeros((items, count), np.int64)
        weights = np.zeros((items, count), np.float64)
        for item in range(items):
            part = slice(lists.indptr[item], lists.indptr[item + 1])
            there, values = lists.indices[part], lists.data[part]
            # Of equal weights at the border those of the lowest indices stay.
            best = np.lexsort((there, -np.abs(values)))[:count]
            indices[item, : len(best)], weights[item, : len(best)] = there[best], values[best]
        _, high = bounds(WEIGHT_BITS)
        step = np.abs(weights).max(axis=1, initial=0.0) / high
        integers = np.rint(weights / np.where(step > 0, step, 1.0)[:, None]).astype(np.int64)
        return cls(
            items,
            count,
            of_targets,
            packed(indices, index_width(items)),
            packed(integers + high + 1, WEIGHT_BITS),
            half_scales(step),
        )

    @property
    def size_bytes(self) -> int:
        """What is stored."""
        return len(self.indices) + len(self.weights) + len(self.scales)

    def matrix(self) -> sparse.csr_matrix:
        """Float64 [I, I] from what somebody touched to what it raises, up to one factor for all."""
        entries = self.items * self.count
        columns = unpacked(self.indices, index_width(self.items), entries)
        integers = unpacked(self.weights, WEIGHT_BITS, entries) + bounds(WEIGHT_BITS)[0]
        scales = np.repeat(np.frombuffer(self.scales, np.float16).astype(np.float64), self.count)
        owners = np.repeat(np.arange(self.items), self.count)
        lists = sparse.csr_matrix((integers * scales, (owners, columns)), shape=(self.items, self.items))
        return lists.T.tocsr() if self.of_targets else lists
