"""Training triples: every positive pair once an epoch, each with a negative of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True, slots=True, eq=False)
class Triples:
    """One mini-batch.

    Shapes:
        users, positives, negatives: int32 [B]; a user index and two item indices; sorted by user.
    """

    users: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    def __len__(self) -> int:
        return len(self.users)


def sample_negatives(users: np.ndarray, matrix: sparse.csr_matrix, *, rng: np.random.Generator) -> np.ndarray:
    """Draw for each user an item that the user has not touched, uniformly over those.

    Args:
        users: int [n], repeats welcome; ascending order is fastest.
        matrix: interactions [U, I] with sorted indices.
        rng: source of randomness.

    Returns:
        int32 [n]; -1 for a user who has touched every item.
    """
    item_count = matrix.shape[1]
    keys = _pair_keys(matrix)
    drawn = rng.integers(0, item_count, len(users), dtype=np.int32)
    full = np.diff(matrix.indptr)[users] >= item_count
    drawn[full] = -1
    pending = np.flatnonzero(~full)
    # A few rounds settle nearly all; users who touched most of a small catalogue get an exact draw.
    for _ in range(8):
        wanted = users[pending].astype(np.int64) * item_count + drawn[pending]
        pending = pending[_contains(keys, wanted)]
        if not len(pending):
            return drawn
        drawn[pending] = rng.integers(0, item_count, len(pending), dtype=np.int32)
    wanted = users[pending].astype(np.int64) * item_count + drawn[pending]
    for position in pending[_contains(keys, wanted)]:
        touched = matrix.indices[matrix.indptr[users[position]] : matrix.indptr[users[position] + 1]]
        free = np.setdiff1d(np.arange(item_count), touched, assume_unique=True)
        drawn[position] = free[rng.integers(len(free))]
    return drawn


def epoch_batches(
    matrix: sparse.csr_matrix, *, batch: int, rng: np.random.Generator, per_positive: int = 1
) -> Iterator[Triples]:
    """Visit every interaction once in random order, in batches of nearly equal size.

    Interactions of a user who has touched every item have no negative and are left out.

    Args:
        matrix: interactions [U, I] with sorted indices.
        batch: largest number of interactions in a batch.
        per_positive: negatives drawn for each interaction; a batch then has ``per_positive`` triples for
            each.
    """
    users = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    items = matrix.indices.astype(np.int32)
    negatives = np.stack([sample_negatives(users, matrix, rng=rng) for _ in range(per_positive)])
    usable = np.flatnonzero(negatives[0] >= 0)
    order = rng.permutation(usable)
    for chunk in np.array_split(order, max(1, -(-len(order) // batch))):
        # CSR order is user order: sorting the positions sorts the batch by user.
        chosen = np.sort(chunk)
        yield Triples(
            np.repeat(users[chosen], per_positive),
            np.repeat(items[chosen], per_positive),
            negatives[:, chosen].T.reshape(-1),
        )


def _pair_keys(matrix: sparse.csr_matrix) -> np.ndarray:
    users = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return users * matrix.shape[1] + matrix.indices


def _contains(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Membership in ascending keys."""
    if not len(keys):
        return np.zeros(len(wanted), bool)
    positions = np.searchsorted(keys, wanted)
    positions[positions == len(keys)] = 0
    return keys[positions] == wanted
