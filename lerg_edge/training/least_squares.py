"""Implicit ALS: rows of users and items whose products are 1 where somebody touched something, and else 0.

What was touched counts `confidence` times as much as what was not,

    sum over u, i of c_ui (p_ui - x_u . y_i)^2 + penalty (sum over u of |x_u|^2 + sum over i of |y_i|^2),

p_ui = 1 and c_ui = confidence where u has touched i, else 0 and 1. With one side fixed each row of the other
is the solution of d equations, so the sides take turns (Hu, Koren and Volinsky, ICDM 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from lerg_edge.errors import InputError

__all__ = ["LeastSquaresOptions", "alternating_least_squares", "default_confidence"]

_START = 0.01
_ELEMENTS_AT_ONCE = 1 << 22  # of the systems, and of the rows that go into them


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastSquaresOptions:
    """How rows are fitted.

    Attributes:
        dim: d.
        confidence: weight of a pair that is there, above 1.
        penalty: of squared rows, above 0.
        rounds: how often both sides are solved.
        seed: of the rows that items start from.

    Raises:
        InputError: a value outside its range.
    """

    dim: int = 64
    confidence: float = 10.0
    penalty: float = 3.0
    rounds: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("dim", 1), ("rounds", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 1.0 < self.confidence < float("inf"):
            raise InputError(f"confidence is {self.confidence}; it must be above 1")
        if not 0.0 < self.penalty < float("inf"):
            raise InputError(f"penalty is {self.penalty}; it must be above 0")


def default_confidence(items: int) -> float:
    """The weight of a pair that is there: 10 for 4,500 items, and in proportion to the root of their number.

    With more items there are more pairs that are not there. NDCG@20 of people held out is 0.211, 0.211 and
    0.213 with the weights 5, 10 and 20 on lastfm (4,489 items), and 0.118, 0.123 and 0.121 with 10, 30 and
    100 on gowalla (40,981).
    """
    return min(100.0, max(2.0, 10.0 * (items / 4500) ** 0.5))


def alternating_least_squares(
    matrix: sparse.csr_matrix,
    options: LeastSquaresOptions,
    *,
    on_round: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit rows to interactions.

    Args:
        matrix: [U, I]; what is stored counts as touched, whatever its value.
        options: how.
        on_round: is told how many rounds are done.

    Returns:
        Rows of users and of items, float32 [U, d] and [I, d]; zeros where there is no pair.
    """
    by_user, by_item = matrix.tocsr(), matrix.T.tocsr()
    generator = torch.Generator().manual_seed(options.seed)
    items = torch.randn(matrix.shape[1], options.dim, generator=generator) * _START
    for number in range(options.rounds):
        users = _solved(by_user, items, options)
        items = _solved(by_item, users, options)
        on_round(number + 1)
    return users.numpy(), items.numpy()


def _solved(pairs: sparse.csr_matrix, fixed: torch.Tensor, options: LeastSquaresOptions) -> torch.Tensor:
    """The best rows of one side: (Y'Y + (confidence - 1) Y_u'Y_u + penalty I)^-1 confidence Y_u' 1."""
    rows = torch.zeros(pairs.shape[0], fixed.shape[1])
    everybody = fixed.T @ fixed
    everybody.diagonal().add_(options.penalty)
    for chosen, length in _alike(np.diff(pairs.indptr), fixed.shape[1]):
        places = pairs.indptr[chosen, None] + np.arange(length)
        there = torch.from_numpy(places < pairs.indptr[chosen + 1, None])
        columns = pairs.indices[np.minimum(places, pairs.nnz - 1)].astype(np.int64)
        own = fixed[torch.from_numpy(columns)] * there.unsqueeze(2)
        systems = torch.baddbmm(
            everybody.expand(len(chosen), -1, -1), own.transpose(1, 2), own, alpha=options.confidence - 1.0
        )
        factors = torch.linalg.cholesky(systems)
        wanted = own.sum(dim=1).mul_(options.confidence).unsqueeze(2)
        rows[torch.from_numpy(chosen)] = torch.cholesky_solve(wanted, factors).squeeze(2)
    return rows


def _alike(lengths: np.ndarray, dim: int) -> Iterator[tuple[np.ndarray, int]]:
    """Entities with interactions, int64 [n], in groups that have nearly as many, and the most of a group."""
    order = np.argsort(lengths, kind="stable")
    start = int(np.searchsorted(lengths[order], 1))
    while start < len(order):
        shortest = int(lengths[order[start]])
        end = int(np.searchsorted(lengths[order], 2 * shortest, side="right"))
        end = min(end, start + max(1, _ELEMENTS_AT_ONCE // (dim * max(dim, 2 * shortest))))
        yield order[start:end], int(lengths[order[end - 1]])
        start = end
