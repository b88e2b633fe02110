"""A validation set cut from training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSplit:
    """Training interactions in two parts over the same entities.

    Shapes:
        train, held_out: float32 [U, I]; together they hold every interaction once.
        users: int64 [n], ascending, the users that have held-out interactions.
    """

    train: sparse.csr_matrix
    held_out: sparse.csr_matrix
    users: np.ndarray


def cut_validation(
    matrix: sparse.csr_matrix, *, share: float, max_users: int, rng: np.random.Generator
) -> ValidationSplit:
    """Hold out a share of the interactions of some users.

    Users are drawn without repeats among those with at least two interactions, so that each keeps one; a
    drawn user gives up ``share`` of them, at least one. Only drawn users lose anything: a large set is
    validated on a sample and keeps nearly all of its training data.

    Args:
        matrix: interactions [U, I] with sorted indices.
        share: part held out, in [0, 1); 0 holds nothing out.
        max_users: most users that are drawn.
        rng: source of randomness.
    """
    counts = np.diff(matrix.indptr)
    eligible = np.flatnonzero(counts >= 2)
    users = np.sort(rng.permutation(eligible)[: max_users if share > 0 else 0])
    quota = np.zeros(matrix.shape[0], np.int64)
    quota[users] = np.clip(np.rint(share * counts[users]), 1, counts[users] - 1).astype(np.int64)
    owner = np.repeat(np.arange(matrix.shape[0]), counts)
    # Shuffled within each user, the first `quota` of its interactions go.
    order = np.lexsort((rng.random(matrix.nnz), owner))
    rank = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], counts)
    held = np.zeros(matrix.nnz, bool)
    held[order[rank < quota[owner]]] = True
    return ValidationSplit(_subset(matrix, ~held), _subset(matrix, held), users)


def _subset(matrix: sparse.csr_matrix, keep: np.ndarray) -> sparse.csr_matrix:
    offsets = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr]
    return sparse.csr_matrix(
        (np.ones(int(offsets[-1]), np.float32), matrix.indices[keep], offsets), shape=matrix.shape
    )
