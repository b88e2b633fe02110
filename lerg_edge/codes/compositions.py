"""How an entity's row comes from its codes: a composition is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.errors import InputError

__all__ = ["COMPOSITIONS", "Composing", "check_blocks", "check_composition"]


@dataclass(frozen=True, slots=True)
class Composing:
    """A composition of t codes.

    Attributes:
        blocks: of t, equal parts that a row is cut into.
        weighted: whether codes have weights, the first, the anchor, one of its own.
        matrix: of codes int32 [N, t], c and weights float32 [t], S as :meth:`Assignment.matrix` gives it.
    """

    blocks: Callable[[int], int]
    weighted: bool
    matrix: Callable[[np.ndarray, int, np.ndarray], sparse.csr_matrix]


def _sums(codes: np.ndarray, codebook_rows: int, weights: np.ndarray) -> sparse.csr_matrix:
    """Float32 [N, c], entries of a row in the order of `codes`."""
    count, width = codes.shape
    starts = np.arange(0, count * width + 1, width, dtype=np.int64)
    return sparse.csr_matrix(
        (np.tile(weights, count), codes.reshape(-1), starts), shape=(count, codebook_rows)
    )


def _blocks(codes: np.ndarray, codebook_rows: int, weights: np.ndarray) -> sparse.csr_matrix:
    """Float32 [N * t, c * t] of ones: block j of code k is row k * t + j of the codebook."""
    count, width = codes.shape
    places = codes.astype(np.int64) * width + np.arange(width)
    ones, starts = np.ones(places.size, np.float32), np.arange(places.size + 1, dtype=np.int64)
    return sparse.csr_matrix((ones, places.reshape(-1), starts), shape=(count * width, codebook_rows * width))


COMPOSITIONS: dict[str, Composing] = {
    "sum": Composing(blocks=lambda codes_per_entity: 1, weighted=True, matrix=_sums),
    "blocks": Composing(blocks=lambda codes_per_entity: codes_per_entity, weighted=False, matrix=_blocks),
}
"""A weighted sum of codebook rows, or one block from each of them."""


def check_composition(name: str) -> None:
    """Refuse a composition that is not one of :data:`COMPOSITIONS`.

    Raises:
        InputError: it is not.
    """
    if name not in COMPOSITIONS:
        raise InputError(f"composition is {name!r}; choose {' or '.join(COMPOSITIONS)}")


def check_blocks(blocks: int, dim: int) -> None:
    """Refuse to cut rows of ``dim`` columns into ``blocks`` that are not equally wide.

    Raises:
        InputError: ``dim`` is not a multiple of ``blocks``.
    """
    if dim % blocks:
        raise InputError(
            f"dim is {dim} and a row has {blocks} blocks; make dim a multiple of the number of blocks"
        )
