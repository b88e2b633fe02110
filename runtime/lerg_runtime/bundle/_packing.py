"""How integers of 4, 8 and 16 bits, and floats of 32, lie in an array.

16 bits: int16 [c, d]. 8 bits: int8 [c, d]. 4 bits: uint8 [c, d / 2], two's complement, element 2j in the low
nibble of byte j and element 2j + 1 in the high one. 32 bits: float32 [c, d], weights that are not quantised.
"""

from __future__ import annotations

import numpy as np

__all__ = ["FLOAT_BITS", "PACKED_DTYPES", "pack", "packed_shape", "unpack"]

FLOAT_BITS = 32
PACKED_DTYPES = {4: "uint8", 8: "int8", 16: "int16", FLOAT_BITS: "float32"}


def packed_shape(rows: int, dim: int, *, bits: int) -> tuple[int, int]:
    """Shape of [rows, dim] numbers once packed; `dim` is even for 4 bits."""
    return (rows, dim // 2 if bits == 4 else dim)


def pack(codes: np.ndarray, *, bits: int) -> np.ndarray:
    """Pack integers within -2^(b-1) .. 2^(b-1) - 1, or floats of 32 bits, which stay what they are.

    >>> pack(np.array([[1, -2, 7, -8]]), bits=4)
    array([[225, 135]], dtype=uint8)
    >>> unpack(pack(np.array([[1, -2, 7, -8]]), bits=4), bits=4)
    array([[ 1, -2,  7, -8]], dtype=int8)

    Args:
        codes: integer [rows, dim], or float32.
        bits: 4, 8 or 16, or 32 for floats.

    Raises:
        ValueError: other bits, a value out of range, or an odd `dim` with 4 bits.
    """
    if bits not in PACKED_DTYPES:
        raise ValueError(f"bits is {bits}; it must be 4, 8, 16 or 32")
    if bits == FLOAT_BITS:
        return np.ascontiguousarray(codes, dtype=np.float32)
    half = 1 << (bits - 1)
    if codes.size and (int(codes.min()) < -half or int(codes.max()) >= half):
        raise ValueError(f"a code is outside {-half} .. {half - 1}")
    if bits != 4:
        return np.ascontiguousarray(codes, dtype=PACKED_DTYPES[bits])
    if codes.shape[1] % 2:
        raise ValueError(f"4-bit codes need an even dimension, not {codes.shape[1]}")
    nibbles = (codes.astype(np.int16) & 0xF).astype(np.uint8)
    return np.ascontiguousarray(nibbles[:, 0::2] | (nibbles[:, 1::2] << 4))


def unpack(packed: np.ndarray, *, bits: int) -> np.ndarray:
    """What `pack` was given, as int8, int16 or float32 [rows, dim]."""
    if bits != 4:
        return packed
    codes = np.empty((packed.shape[0], packed.shape[1] * 2), dtype=np.int8)
    codes[:, 0::2] = (packed & 0xF).astype(np.int8)
    codes[:, 1::2] = (packed >> 4).astype(np.int8)
    return np.where(codes > 7, codes - 16, codes).astype(np.int8)
