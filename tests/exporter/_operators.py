"""A small graph and a few folded rows that tests of operators are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Case:
    """A small graph with an isolated user and item, placeholders on both sides, and requests that repeat."""

    codebook: torch.Tensor
    graph: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    placeholders: tuple[torch.Tensor, torch.Tensor]
    rows: tuple[torch.Tensor, torch.Tensor]
    anchor_weight: float
    adjacency: np.ndarray  # [N, N], normalised
    assignment: np.ndarray  # [N, codes]

    def dense(self, layers: int) -> np.ndarray:
        """P = 1/(L+1) sum_l A^l S, [N, codes]."""
        terms = [
            np.linalg.matrix_power(self.adjacency, layer) @ self.assignment for layer in range(layers + 1)
        ]
        return sum(terms) / (layers + 1)


USERS, ITEMS, CODES, DIM = 7, 9, 5, 6


def make(per_row: int, index: torch.dtype = torch.uint8, dtype: torch.dtype = torch.float64) -> Case:
    rng = np.random.default_rng(per_row)
    edges = rng.random((USERS, ITEMS)) < 0.4
    edges[3, :] = edges[:, 5] = False
    codes = np.stack([rng.permutation(CODES)[:per_row] for _ in range(USERS + ITEMS)])
    anchor_weight = 0.7
    weights = [1.0] if per_row == 1 else [anchor_weight] + [0.3 / (per_row - 1)] * (per_row - 1)
    assignment = np.zeros((USERS + ITEMS, CODES))
    for entity, row in enumerate(codes):
        assignment[entity, row] = weights
    adjacency = np.zeros((USERS + ITEMS, USERS + ITEMS))
    adjacency[:USERS, USERS:] = edges
    adjacency[USERS:, :USERS] = edges.T
    degrees = adjacency.sum(1)
    roots = np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1)), 0)
    return Case(
        codebook=torch.tensor(rng.normal(size=(CODES, DIM)), dtype=dtype),
        graph=(
            torch.tensor(codes[:USERS]).to(index),
            torch.tensor(codes[USERS:]).to(index),
            torch.tensor(np.concatenate([[0], edges.sum(1).cumsum()]), dtype=torch.int32),
            torch.tensor(np.nonzero(edges)[1]).to(index),
        ),
        placeholders=(
            torch.tensor(rng.normal(size=(2, DIM)), dtype=dtype),
            torch.tensor(rng.normal(size=(3, DIM)), dtype=dtype),
        ),
        rows=(torch.tensor([0, 3, USERS + 1, 6, 0, USERS]), torch.tensor([5, 8, 8, ITEMS + 2, 1])),
        anchor_weight=anchor_weight,
        adjacency=adjacency * roots[:, None] * roots,
        assignment=assignment,
    )


FOLDED_USERS, FOLDED_ROWS, FOLDED_PLACES = 4, 10, (2, 3)


def folded_case(
    dtype: torch.dtype = torch.float64, steps: int = 1
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...], torch.Tensor]:
    """Entries of 4 users and 6 items, placeholders of both, and triples of which some are placeholders."""
    rng = np.random.default_rng(steps)
    codes = np.stack([rng.permutation(CODES)[:3] for _ in range(FOLDED_ROWS)])
    entries = (
        torch.tensor(codes).to(torch.uint8),
        torch.tensor(rng.integers(-127, 128, (FOLDED_ROWS, 3)), dtype=torch.int8),
        torch.tensor(rng.integers(0, 256, FOLDED_ROWS), dtype=torch.uint8),
        torch.tensor(np.geomspace(1e-3, 1e-2, 256), dtype=dtype),
    )
    triples = (torch.tensor([0, 3, 5, 0]), torch.tensor([5, 8, 0, 2]), torch.tensor([1, 1, 7, 6]))
    return entries, triples, torch.tensor(rng.normal(size=(sum(FOLDED_PLACES), DIM)), dtype=dtype)
