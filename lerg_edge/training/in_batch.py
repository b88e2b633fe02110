"""A softmax over the other positives of a batch: cosines while training, dot products when ranking.

With h the propagated rows of the P pairs (u, i) of a batch, c_uj the cosine of h_u and h_j, and t the
temperature,

    loss = 1/P * sum over pairs of [power * log(sum over j of w_j exp(c_uj / t)) - c_ui / t],

j running over those items of the group's pairs that u is not known to have touched. Its own item is none of
them: in a cross entropy, whose denominator holds it, what is told apart well is no longer drawn together.
Nor is what u has touched in other pairs. Negatives drawn like this cost no rows of their own. They come as
often as they are liked, and so what is liked most is pushed away most; the weights w_j, in proportion to
deg_j^-correction, take that back: all of it with a correction of 1, as if they were drawn uniformly, and
none with 0. The loss sees directions alone; lengths grow with how often and how consistently a row is
pulled, so that a dot product, unlike a cosine, knows what is popular. A power below one pushes less than it
pulls, one above it more. Where a user has touched every item of the group, the pair is only pulled.

A batch is one step: one propagation, for its members alone, and one step of the optimiser on the mean over
all of its pairs. Its groups share both and have negatives of their own, which is what accumulating the
gradients of as many smaller batches would compute.

Source: BSL, arXiv 2312.12882, equation 18, with the positives of a batch for negatives; the correction is
that of Yi et al., RecSys 2019 (10.1145/3298689.3346996), with an exponent that is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.propagation.partial import Members, propagate_members
from lerg_edge.propagation.sparse_rows import SparseRows

__all__ = ["InBatchSoftmax", "PairBatch", "in_batch_softmax", "pair_batches"]

# Scores of so many pairs with their group are made at a time: they stay in a core's cache.
_PAIRS_AT_ONCE = 128
_LEAST_TEMPERATURE = 0.02  # exp(1 / 0.02) times the largest group is still far inside a float
_SHORTEST = 1e-12
_LARGEST_POWER = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """Pairs of a batch, by the places of their ends among the batch's members, on a device.

    Shapes:
        users, items: int64 [P], in random order; places among the members.
        counts: float32 [n], in how many pairs each member occurs.
        known_pairs, known_items: int64 [k], by pair and ascending: pairs of the batch, and those of the pairs
            in their group whose item the user of the first has touched, each pair itself among them.
        known_offsets: where the entries of each pair begin, P + 1 numbers.
        group: the largest number of pairs in a group; groups are nearly equal.
        pairs_of: which ends each member is, [n, 2 P] with ones; users' ends first.
        degrees: floating point [P], interactions of each pair's item.
    """

    members: Members
    users: torch.Tensor
    items: torch.Tensor
    counts: torch.Tensor
    pairs_of: SparseRows
    degrees: torch.Tensor
    known_pairs: torch.Tensor
    known_items: torch.Tensor
    known_offsets: tuple[int, ...]
    group: int

    @classmethod
    def of(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        adjacency: sparse.csr_matrix,
        *,
        user_count: int,
        layers: int,
        group: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> PairBatch:
        """Index pairs of users and items, int [P] each, and cut out what propagation needs for them."""
        ends = np.concatenate([users.astype(np.int64), items.astype(np.int64) + user_count])
        entities, places = np.unique(ends, return_inverse=True)
        counts = np.bincount(places, minlength=len(entities))
        occurrences = SparseRows(
            torch.from_numpy(np.argsort(places, kind="stable").astype(np.int32)).to(device),
            torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)).to(device),
            torch.ones(len(ends), device=device, dtype=dtype),
        )
        degrees = np.diff(adjacency.indptr)[ends[len(users) :]].astype(np.float32)
        where = torch.from_numpy(places.reshape(2, -1)).to(device)
        known = _known(ends[: len(users)], ends[len(users) :], adjacency, group=group)
        return cls(
            Members.of(entities, adjacency, layers=layers, device=device, dtype=dtype),
            where[0],
            where[1],
            torch.from_numpy(counts.astype(np.float32)).to(device=device, dtype=dtype),
            occurrences,
            torch.from_numpy(degrees).to(device=device, dtype=dtype),
            torch.from_numpy(known[0]).to(device),
            torch.from_numpy(known[1]).to(device),
            tuple(np.searchsorted(known[0], np.arange(len(users) + 1)).tolist()),
            group,
        )

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.users)


def _groups(pairs: int, group: int) -> list[slice]:
    """The groups of a batch: nearly equal, and of ``group`` pairs at most."""
    count = max(1, -(-pairs // group))
    size, more = divmod(pairs, count)
    bounds = [number * size + min(number, more) for number in range(count + 1)]
    return [slice(*ends) for ends in pairwise(bounds)]


def _known(
    users: np.ndarray, items: np.ndarray, adjacency: sparse.csr_matrix, *, group: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs of a group have an item that a pair's user has touched: int64 [k] each, in order."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for part in _groups(len(users), group):
        size = part.stop - part.start
        at = (np.ones(size, np.float32), (items[part], np.arange(size)))
        columns = sparse.csr_matrix(at, shape=(adjacency.shape[1], size))
        met = (adjacency[users[part]] @ columns).tocsr()
        met.sort_indices()
        rows = np.repeat(np.arange(size), np.diff(met.indptr))
        found.append((part.start + rows, part.start + met.indices.astype(np.int64)))
    pairs, others = (np.concatenate(side) for side in zip(*found, strict=True))
    return pairs.astype(np.int64), others


def pair_batches(
    matrix: sparse.csr_matrix,
    *,
    batch: int,
    layers: int,
    group: int,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> Iterator[PairBatch]:
    """Visit every interaction once in random order, in batches of nearly equal size.

    Args:
        matrix: interactions [U, I] with sorted indices.
        batch: largest number of interactions in a batch.
        layers: L that the batches will be propagated by.
        group: pairs whose items are each other's negatives, at most.
        rng: source of randomness.
        device: where batches go.
    """
    adjacency = full_adjacency(normalised_bipartite(matrix))
    users = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    order = rng.permutation(matrix.nnz)
    for chosen in np.array_split(order, max(1, -(-len(order) // batch))):
        yield PairBatch.of(
            users[chosen],
            matrix.indices[chosen],
            adjacency,
            user_count=matrix.shape[0],
            layers=layers,
            group=group,
            device=device,
        )


class _InBatchSoftmax(torch.autograd.Function):
    """The gradient is made with the loss, while a part's scores are in the cache."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, batch: PairBatch, settings: InBatchSoftmax) -> torch.Tensor:
        temperature, power = settings.temperature, settings.power
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(_SHORTEST)
        unit = rows / lengths
        users, items = unit.index_select(0, batch.users), unit.index_select(0, batch.items)
        pairs = len(users)
        ends = rows.new_empty(2 * pairs, rows.shape[1])
        by_users, by_items = ends[:pairs], ends[pairs:]
        # A column more makes the products add the logarithms of the weights, whose mean is one.
        logs = batch.degrees.log() * -settings.correction
        logs = (logs - torch.logsumexp(logs, dim=0) + math.log(pairs)).unsqueeze(1)
        loss = rows.new_zeros(())
        buffer = rows.new_empty(_PAIRS_AT_ONCE * min(pairs, batch.group))
        for group in _groups(pairs, batch.group):
            start, stop = group.start, group.stop
            wanted, pull = items[start:stop], by_items[start:stop].zero_()
            against = torch.cat([wanted, logs[start:stop]], dim=1).T
            for first in range(start, stop, _PAIRS_AT_ONCE):
                part = slice(first, min(first + _PAIRS_AT_ONCE, stop))
                own = users[part] * (1.0 / temperature)
                shares = buffer[: len(own) * len(wanted)].view(len(own), -1)
                torch.mm(functional.pad(own, (0, 1), value=1.0), against, out=shares).exp_()
                known = slice(batch.known_offsets[part.start], batch.known_offsets[part.stop])
                shares[batch.known_pairs[known] - first, batch.known_items[known] - start] = 0.0
                totals = shares.sum(dim=1, keepdim=True)
                totals.masked_fill_(totals == 0.0, 1.0)  # whom nothing is left to be told from
                loss += totals.log().sum() * power - (own * items[part]).sum()
                weights = power / totals
                torch.mm(shares, wanted, out=by_users[part]).mul_(weights).sub_(items[part])
                pull.addmm_(shares.T, own * weights)
            pull.sub_(users[start:stop] * (1.0 / temperature))
        by_users.mul_(1.0 / temperature)
        gradient = batch.pairs_of.product(ends)
        gradient -= unit * (gradient * unit).sum(dim=1, keepdim=True)
        ctx.save_for_backward(gradient.div_(lengths * pairs))
        return loss / pairs

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0], None, None


def in_batch_softmax(rows: torch.Tensor, batch: PairBatch, settings: InBatchSoftmax) -> torch.Tensor:
    """The loss of this file, differentiably.

    Args:
        rows: [n, d] propagated rows of the batch's members.
        batch: the pairs, cut into groups as the settings say.
        settings: of the loss.

    Raises:
        InputError: the batch has other groups.
    """
    if batch.group != settings.group:
        raise InputError(f"the batch is cut into groups of {batch.group} and the loss has {settings.group}")
    return _InBatchSoftmax.apply(rows, batch, settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class InBatchSoftmax:
    """The objective, by its settings.

    Attributes:
        temperature: of the cosines.
        power: of the denominator, in (0, 2].
        group: pairs whose items are each other's negatives, at most; groups are nearly equal.
        correction: how far negatives are weighted down by their popularity, in [0, 1]. The larger, the more
            popular items are favoured.

    Raises:
        InputError: a value outside its range.
    """

    temperature: float = 0.12
    power: float = 0.84
    group: int = 2048
    correction: float = 0.0

    def __post_init__(self) -> None:
        if not (self.temperature >= _LEAST_TEMPERATURE and math.isfinite(self.temperature)):
            raise InputError(
                f"temperature of the in-batch softmax is {self.temperature}; it must be at least "
                f"{_LEAST_TEMPERATURE}"
            )
        if not 0.0 < self.power <= _LARGEST_POWER:
            raise InputError(
                f"power of the in-batch softmax is {self.power}; it must lie above 0 and at most at "
                f"{_LARGEST_POWER:g}"
            )
        if self.group < 2:
            raise InputError(f"group of the in-batch softmax is {self.group}; it must be at least 2")
        if not 0.0 <= self.correction <= 1.0:
            raise InputError(
                f"correction of the in-batch softmax is {self.correction}; it must lie between 0 and 1"
            )

    def batches(
        self,
        matrix: sparse.csr_matrix,
        *,
        batch: int,
        layers: int,
        rng: np.random.Generator,
        device: torch.device,
    ) -> Iterator[PairBatch]:
        """See :func:`pair_batches`."""
        return pair_batches(matrix, batch=batch, layers=layers, group=self.group, rng=rng, device=device)

    def loss(
        self,
        rows: torch.Tensor,
        graph: BipartiteGraph,
        batch: PairBatch,
        *,
        layers: int,
        l2: float,
        noise: torch.Generator | None,
    ) -> torch.Tensor:
        """Loss plus l2/2 times the mean over pairs of |x_u|^2 + |x_i|^2."""
        propagated, own = propagate_members(graph, rows, batch.members, layers=layers)
        loss = in_batch_softmax(propagated, batch, self)
        squared = own.square().sum(dim=1)
        return loss + (squared * batch.counts).sum() * (l2 / (2 * len(batch)))
