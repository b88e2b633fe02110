"""How wide a codebook element is stored: a width is one entry here. Importing this is cheap.

A width of 32 bits stands for floats that nothing quantises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_edge.errors import InputError

__all__ = [
    "BIT_WIDTHS",
    "FLOAT_BITS",
    "WIDTHS",
    "Width",
    "bounds",
    "check_bits",
    "packed_bytes",
    "unsigned_bytes",
]

FLOAT_BITS = 32


@dataclass(frozen=True, slots=True)
class Width:
    """A width.

    Attributes:
        stored: name of the smallest numpy type that holds an element.
        per_byte: elements that share a byte of a packed codebook; a row has a multiple of so many.
    """

    stored: str
    per_byte: int = 1


WIDTHS = {4: Width("int8", per_byte=2), 8: Width("int8"), 16: Width("int16"), FLOAT_BITS: Width("float32")}
"""By bits."""
BIT_WIDTHS = tuple(bits for bits in WIDTHS if bits != FLOAT_BITS)
"""Those that are quantised."""


def bounds(bits: int) -> tuple[int, int]:
    """Give the smallest and the largest integer of a width: (-2^(b-1), 2^(b-1) - 1).

    Raises:
        InputError: ``bits`` is not 4, 8 or 16.
    """
    if bits not in BIT_WIDTHS:
        raise InputError(f"bits is {bits}; choose one of {', '.join(map(str, BIT_WIDTHS))}")
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def check_bits(bits: int) -> None:
    """Refuse a width that cannot be stored.

    Raises:
        InputError: ``bits`` is not 4, 8, 16 or 32.
    """
    if bits not in WIDTHS:
        *others, last = BIT_WIDTHS
        raise InputError(
            f"bits is {bits}; choose {', '.join(map(str, others))} or {last}, or {FLOAT_BITS} for no "
            "quantisation"
        )


def packed_bytes(rows: int, columns: int, *, bits: int) -> int:
    """Bytes of a table of ``bits``-wide integers; a row begins at a byte."""
    return rows * -(-columns * bits // 8)


def unsigned_bytes(count: int) -> int:
    """Bytes of the smallest unsigned type that holds the indices 0 .. count - 1; 0 if there are none."""
    return np.min_scalar_type(count - 1).itemsize if count > 0 else 0
