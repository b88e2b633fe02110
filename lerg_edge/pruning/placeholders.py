"""Shared embeddings for the entities that were pruned.

Source: LERG, arXiv 2505.18999, the section on the placeholder codebook.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lerg_edge.codes.quantiser import dequantise, least_error_step, quantise
from lerg_edge.codes.widths import check_bits
from lerg_edge.errors import InputError

DEFAULT_COUNT = 500
_MOST_ITERATIONS = 30
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Placeholders:
    """C_prune, and who uses which of its rows.

    Attributes:
        codes: int8 (4 and 8 bits), int16 or float32 (32 bits) [r, d], the centroids of pruned users, then
            those of pruned items.
        step: float32 [1]; a placeholder embedding is code * step.
        user_count: r_u, how many rows are for users.
        bits: 4, 8 or 16, or 32 for centroids as they are.
        index: int32 [N], users first; -1 for a retained entity, else the row within the entity's own side.
    """

    codes: np.ndarray
    step: np.ndarray
    user_count: int
    bits: int
    index: np.ndarray

    @property
    def count(self) -> int:
        """r, rows of both sides."""
        return len(self.codes)

    @property
    def item_count(self) -> int:
        """r_i, rows for items."""
        return len(self.codes) - self.user_count

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """The embeddings, float32 [r_u, d] and [r_i, d]."""
        rows = dequantise(self.codes, self.step)
        return rows[: self.user_count], rows[self.user_count :]


def build_placeholders(
    embeddings: np.ndarray,
    retained: np.ndarray,
    *,
    user_count: int,
    count: int = DEFAULT_COUNT,
    bits: int = 8,
    seed: int = 0,
) -> Placeholders:
    """Cluster the pruned entities and quantise the centroids.

    k-means runs over users and items apart. The ``count`` rows are split by the numbers of pruned entities,
    at least one for a side that has any; a side gets no more rows than it has pruned entities. The step is
    the one of least squared error over all centroids, and an entity is given the nearest centroid as
    quantised, so rows that nobody is nearest to are left out.

    Args:
        embeddings: float32 [N, d], propagated over the full graph, users first.
        retained: bool [N].
        user_count: U, how many of the N are users.
        count: r, placeholders of both sides together.
        bits: 4, 8 or 16, or 32 for centroids as they are.
        seed: the same seed gives the same placeholders, whatever the number of threads.

    Raises:
        InputError: sizes that do not match, a bit width that is not offered, or fewer placeholders than sides
            with pruned entities.
    """
    check_bits(bits)
    if retained.shape != (len(embeddings),) or not 0 <= user_count <= len(embeddings):
        raise InputError(
            f"retained has {len(retained)} rows, embeddings {len(embeddings)}, and {user_count} of them are "
            f"users; the numbers must fit together."
        )
    pruned = (np.flatnonzero(~retained[:user_count]), user_count + np.flatnonzero(~retained[user_count:]))
    counts = split_count(count, len(pruned[0]), len(pruned[1]))
    rng = np.random.default_rng(seed)
    centroids = [
        _centroids(np.asarray(embeddings[members], np.float32), number, rng)
        for members, number in zip(pruned, counts, strict=True)
    ]
    step = least_error_step(np.concatenate(centroids), bits=bits)
    index = np.full(len(embeddings), -1, np.int32)
    codes = []
    for members, rows in zip(pruned, centroids, strict=True):
        quantised = quantise(rows, step, bits=bits)
        nearest = _nearest(np.asarray(embeddings[members], np.float32), dequantise(quantised, step))
        used, position = np.unique(nearest, return_inverse=True)
        index[members] = position.astype(np.int32)
        codes.append(quantised[used])
    return Placeholders(np.concatenate(codes), step, len(codes[0]), bits, index)


def split_count(count: int, pruned_users: int, pruned_items: int) -> tuple[int, int]:
    """Split r placeholders by the numbers of pruned users and items; never more than there are of each.

    Raises:
        InputError: ``count`` is negative, or smaller than the number of sides with pruned entities.
    """
    sides = (pruned_users > 0) + (pruned_items > 0)
    if count < sides:
        raise InputError(
            f"{count} placeholders are too few: {sides} sides have pruned entities; ask for more."
        )
    if sides < 2:
        return min(count, pruned_users), min(count, pruned_items)
    users = round(count * pruned_users / (pruned_users + pruned_items))
    users = min(max(users, 1, count - pruned_items), pruned_users, count - 1)
    return users, min(count - users, pruned_items)


def _centroids(rows: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """k-means centroids, float32 [at most number, d]; the rows themselves if they are that few."""
    seed = int(rng.integers(2**31))
    distinct = np.unique(rows, axis=0) if len(rows) else rows
    if len(distinct) <= number:
        return distinct
    # Imported where it is needed: it brings a second of imports of its own.
    from sklearn.cluster import KMeans

    # Sums over several threads differ in their last bits from run to run.
    with threadpool_limits(1):
        model = KMeans(number, n_init=1, max_iter=_MOST_ITERATIONS, random_state=seed, algorithm="lloyd")
        return model.fit(rows).cluster_centers_.astype(np.float32)


def _nearest(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The nearest centroid of each row by Euclidean distance, int64; the lowest index of equals."""
    squares = 0.5 * np.einsum("ij,ij->i", centroids, centroids)
    with threadpool_limits(1):
        parts = [
            np.argmax(rows[start : start + _BLOCK] @ centroids.T - squares, axis=1)
            for start in range(0, len(rows), _BLOCK)
        ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
