"""What rounding a codebook leaves over, kept so that small steps add up to large ones."""

from __future__ import annotations

import numpy as np

from lerg_runtime.bundle._packing import FLOAT_BITS
from lerg_runtime.bundle._state_shape import StateShape

__all__ = ["add_remainder", "count_moved", "remainder_shape", "take_remainder"]

_PARTS = 256  # of a step
_ROWS_AT_ONCE = 64


def remainder_shape(shape: StateShape) -> tuple[int, int]:
    """Of the int8 array; without elements where nothing is rounded."""
    return (0, shape.dim) if shape.bits == FLOAT_BITS else (shape.codebook_rows, shape.dim)


def add_remainder(latent: np.ndarray, remainder: np.ndarray, step: np.ndarray) -> None:
    """latent += remainder / 256 step, where there is a remainder.

    Args:
        latent: float32 [c, d]; remainder: int8 [c, d], or [0, d] for none.
        step: float32 [1] or [c].
    """
    for part in _parts(remainder):
        latent[part] += remainder[part] * (_of_rows(step, part) / _PARTS)


def take_remainder(latent: np.ndarray, rounded: np.ndarray, step: np.ndarray, out: np.ndarray) -> None:
    """out = (latent - rounded) 256 / step as integers, within what eight bits hold.

    Args:
        latent: float32 [c, d]; rounded: float32 [c, d], the same as a codebook holds it.
        step: float32 [1] or [c].
        out: int8 [c, d], or [0, d] where nothing is rounded.
    """
    for part in _parts(out):
        left = (latent[part] - rounded[part]) * (_PARTS / _of_rows(step, part))
        out[part] = np.clip(np.rint(left), -128, 127)


def count_moved(before: np.ndarray, after: np.ndarray, bits: int) -> int:
    """How many elements of a packed codebook differ."""
    moved = 0
    for part in _parts(before):
        if bits == 4:
            changed = before[part] ^ after[part]
            moved += int(np.count_nonzero(changed & 0xF)) + int(np.count_nonzero(changed >> 4))
        else:
            moved += int(np.count_nonzero(before[part] != after[part]))
    return moved


def _parts(array: np.ndarray) -> list[slice]:
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(array), _ROWS_AT_ONCE)]


def _of_rows(step: np.ndarray, part: slice) -> np.ndarray:
    return step if len(step) == 1 else step[part, None]
