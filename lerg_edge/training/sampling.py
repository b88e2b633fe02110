"""Training triples: every positive pair once an epoch, each with a negative of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

_FLAGS_PER_PAIR = 8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


@dataclass(frozen=True, slots=True, eq=False)
class Triples:
    """One mini-batch.

    Shapes:
        users, positives, negatives: int32 [B]; a user index and two item indices; sorted by user.

    Attributes:
        per_positive: negatives of each positive; that many triples in a row share user and positive.
    """

    users: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    per_positive: int = 1

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
    return _draw(users, matrix, _PairSet.of(matrix), rng)


def epoch_batches(
    matrix: sparse.csr_matrix, *, batch: int, rng: np.random.Generator, per_positive: int = 1
) -> Iterator[Triples]:
    """Visit every interaction once in random order, in batches of nearly equal size.

    Interactions of a user who has touched every item have no negative and are left out; where that is
    everybody there is no batch.

    Args:
        matrix: interactions [U, I] with sorted indices.
        batch: largest number of interactions in a batch.
        per_positive: negatives drawn for each interaction; a batch then has ``per_positive`` triples for
            each.
    """
    users = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    items = matrix.indices.astype(np.int32)
    touched = _PairSet.of(matrix)
    negatives = np.stack([_draw(users, matrix, touched, rng) for _ in range(per_positive)])
    usable = np.flatnonzero(negatives[0] >= 0)
    order = rng.permutation(usable)
    if not len(order):
        return
    for chunk in np.array_split(order, max(1, -(-len(order) // batch))):
        # CSR order is user order: sorting the positions sorts the batch by user.
        chosen = np.sort(chunk)
        yield Triples(
            np.repeat(users[chosen], per_positive),
            np.repeat(items[chosen], per_positive),
            negatives[:, chosen].T.reshape(-1),
            per_positive,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _PairSet:
    """A set of interactions that is asked for millions of pairs.

    A table of flags answers most questions, the ascending keys those that it leaves open: a sixth of the time
    that searching the keys alone takes.

    Shapes:
        keys: int64 [n], user * I + item.
        flags: bool, a power of two of them; True where the hash of a key falls.
    """

    keys: np.ndarray
    flags: np.ndarray
    item_count: int

    @classmethod
    def of(cls, matrix: sparse.csr_matrix) -> _PairSet:
        """The pairs of a matrix [U, I] with sorted indices."""
        users = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        keys = users * matrix.shape[1] + matrix.indices
        flags = np.zeros(1 << max(4, int(_FLAGS_PER_PAIR * len(keys)).bit_length()), bool)
        flags[_hash(keys, len(flags))] = True
        return cls(keys, flags, matrix.shape[1])

    def contains(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Bool [n] for n pairs of indices."""
        wanted = users.astype(np.int64) * self.item_count + items
        found = self.flags[_hash(wanted, len(self.flags))]
        open_ = np.flatnonzero(found)
        if len(open_):
            asked = wanted[open_]
            places = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
            found[open_] = self.keys[places] == asked
        return found


def _hash(keys: np.ndarray, size: int) -> np.ndarray:
    """Multiplicative hashing: the leading bits of the product, below ``size``."""
    spread = keys.view(np.uint64) * _MULTIPLIER
    return spread >> np.uint64(65 - size.bit_length())


def _draw(
    users: np.ndarray, matrix: sparse.csr_matrix, touched: _PairSet, rng: np.random.Generator
) -> np.ndarray:
    """See :func:`sample_negatives`."""
    item_count = matrix.shape[1]
    drawn = rng.integers(0, item_count, len(users), dtype=np.int32)
    full = np.diff(matrix.indptr)[users] >= item_count
    drawn[full] = -1
    pending = np.flatnonzero(~full)
    # A few rounds settle nearly all; users who touched most of a small catalogue get an exact draw.
    for _ in range(8):
        pending = pending[touched.contains(users[pending], drawn[pending])]
        if not len(pending):
            return drawn
        drawn[pending] = rng.integers(0, item_count, len(pending), dtype=np.int32)
    for position in pending[touched.contains(users[pending], drawn[pending])]:
        own = matrix.indices[matrix.indptr[users[position]] : matrix.indptr[users[position] + 1]]
        free = np.setdiff1d(np.arange(item_count), own, assume_unique=True)
        drawn[position] = free[rng.integers(len(free))]
    return drawn
