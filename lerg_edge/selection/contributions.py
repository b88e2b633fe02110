"""How much an entity contributes: the objective of the selection.

Source: LERG, arXiv 2505.18999, section on pruning, in two readings of "entity-entity similarity",
`along_messages` and `global_similarity`. Which of the two the paper means is not known here; the global one
keeps no more accuracy than a random choice does (gowalla, retention 0.7). A cosine does not say how large a
message is: `reach` and `norms`, this project's own, do, and keep more.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from lerg_edge.propagation.graph import normalised_bipartite

_BLOCK = 1 << 16


def norms(embeddings: np.ndarray) -> np.ndarray:
    """a_j = |h_j|, float64 [N]: the length of the propagated row."""
    return np.linalg.norm(embeddings.astype(np.float64), axis=1)


def reach(matrix: sparse.csr_matrix, embeddings: np.ndarray) -> np.ndarray:
    """a_j = sum over neighbours i of max(0, h_i . h_j) / sqrt(deg_i): score that j's neighbours give it.

    Each neighbour's score counts less the more neighbours it has, by the root of their number as in
    propagation; j's own degree takes nothing off. Takes O(|E| d) time, a block of edges at a time.

    Args:
        matrix: interactions [U, I].
        embeddings: float32 [U + I, d], propagated, users first.

    Returns:
        float64 [U + I]; 0 for an entity without interactions.
    """
    users, items = matrix.shape
    roots = np.sqrt([*np.diff(matrix.indptr), *np.bincount(matrix.indices, minlength=items)])
    user_of_edge = np.repeat(np.arange(users), np.diff(matrix.indptr))
    item_of_edge = users + matrix.indices
    scores = np.empty(matrix.nnz, np.float64)
    for start in range(0, matrix.nnz, _BLOCK):
        edges = slice(start, start + _BLOCK)
        scores[edges] = np.einsum(
            "ij,ij->i", embeddings[user_of_edge[edges]], embeddings[item_of_edge[edges]]
        )
    scores = np.maximum(scores, 0.0)
    return np.bincount(
        np.concatenate([user_of_edge, item_of_edge]),
        weights=np.concatenate([scores / roots[item_of_edge], scores / roots[user_of_edge]]),
        minlength=users + items,
    )


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, float32 [N, d]; a zero row stays zero, so its cosine with anything is 0."""
    rows = np.asarray(embeddings, np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def global_similarity(embeddings: np.ndarray) -> np.ndarray:
    """a_j = sum over i != j of cos(h_i, h_j), exactly, in O(N d).

    The sum of all unit rows times row j counts j itself once, which is taken off again.

    Args:
        embeddings: float32 [N, d], propagated.

    Returns:
        float64 [N].
    """
    rows = unit_rows(embeddings)
    total = rows.sum(axis=0, dtype=np.float64)
    sums = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK].astype(np.float64)
        sums[start : start + _BLOCK] = part @ total - np.einsum("ij,ij->i", part, part)
    return sums


def along_messages(matrix: sparse.csr_matrix, embeddings: np.ndarray) -> np.ndarray:
    """a_j = sum over neighbours i of Â_ij cos(h_i, h_j): similarity weighed by the message that passes.

    Â_ij = 1 / sqrt(deg_i deg_j) in the full graph. Takes O(|E| d) time and, beside its arguments, a table of
    unit rows and a block of edges.

    Args:
        matrix: interactions [U, I].
        embeddings: float32 [U + I, d], propagated, users first.

    Returns:
        float64 [U + I]; 0 for an entity without interactions.
    """
    half = normalised_bipartite(matrix)
    users, items = half.shape
    rows = unit_rows(embeddings)
    user_of_edge = np.repeat(np.arange(users), np.diff(half.indptr))
    messages = np.empty(half.nnz, np.float64)
    for start in range(0, half.nnz, _BLOCK):
        edges = slice(start, start + _BLOCK)
        cosines = np.einsum("ij,ij->i", rows[user_of_edge[edges]], rows[users + half.indices[edges]])
        messages[edges] = cosines * half.data[edges]
    return np.concatenate(
        [
            np.bincount(user_of_edge, weights=messages, minlength=users),
            np.bincount(half.indices, weights=messages, minlength=items),
        ]
    )
