"""The interaction graph as propagation sees it."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def normalised_bipartite(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Normalise an interaction matrix symmetrically by its degrees.

    The whole adjacency is A = [[0, B], [B^T, 0]]; only B is ever stored. An entity without interactions has
    an empty row or column, so it receives nothing and its degree is never divided by.

    Source: LightGCN, arXiv 2002.02126, equation 3.

    Args:
        matrix: [U, I], a stored entry for each interaction; values are ignored, duplicates must be merged.

    Returns:
        B = D_u^-1/2 R D_i^-1/2, float32 [U, I], with the sparsity of ``matrix`` and sorted indices.
    """
    pattern = matrix.tocsr()
    if not pattern.has_sorted_indices:
        pattern = pattern.sorted_indices()
    user_degrees, item_degrees = degrees(pattern)
    with np.errstate(divide="ignore"):
        user_scale = np.where(user_degrees > 0, 1.0 / np.sqrt(user_degrees), 0.0)
        item_scale = np.where(item_degrees > 0, 1.0 / np.sqrt(item_degrees), 0.0)
    values = np.repeat(user_scale, user_degrees) * item_scale[pattern.indices]
    return sparse.csr_matrix(
        (values.astype(np.float32), pattern.indices, pattern.indptr), shape=pattern.shape, copy=False
    )


def degrees(matrix: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Count the interactions of each user and of each item: two int64 arrays, [U] and [I]."""
    users = np.diff(matrix.indptr).astype(np.int64)
    items = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)
    return users, items


def full_adjacency(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Stack an interaction matrix into the symmetric adjacency over all entities, users first.

    Returns:
        [U + I, U + I], the values of ``matrix`` in both directions, sorted indices.
    """
    return sparse.bmat([[None, matrix], [matrix.T, None]], format="csr").sorted_indices()


def propagation_macs(edges: int, *, dim: int, layers: int) -> int:
    """Multiply-accumulates of a propagation: each edge carries d numbers both ways in each layer."""
    return 2 * edges * dim * layers
