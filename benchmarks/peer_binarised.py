"""A peer that stores signs: BiGeaR's tables (Chen et al., KDD 2022, arXiv 2206.02115), rebuilt in part.

Every propagated layer of LightGCN is stored as signs q with a scale a, the mean of what a row's elements are
without their sign; a pair scores the sum over layers of w_l a_u a_i (q_u . q_i). The full table is trained by
this project's trainer, then on by BPR over those scores. Left out is what the paper distils, at each layer,
from rankings of the full table. Its text was not at hand: the formulas are as they are known. The gradient of
a sign is that of the error function, as there; its width is that of the row here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.peer_factors import Rows
from benchmarks.peer_storage import StoredRows, columns_that_fit
from lerg_edge.assigning.teacher import teacher_options
from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.training.options import TrainingOptions
from lerg_edge.training.pretraining import pretrain
from lerg_edge.training.sampling import epoch_batches
from lerg_edge.training.scaling import with_telling_scores

__all__ = ["Binarised"]

_TABLE_EPOCHS = 30
_BATCH = 2048
_L2 = 1e-4


class _Sign(torch.autograd.Function):
    """The sign, 1 at 0; its gradient is 2 / sqrt(pi) exp(-x^2)."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return torch.where(values >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (values,) = ctx.saved_tensors
        return grads[0] * torch.exp(-values.square()) * (2 / math.sqrt(math.pi))


class Binarised:
    """Signs of each layer.

    Attributes:
        stages: `emphasis` p makes w_l = (l + 1)^p; with 2 rows of both sides weigh l + 1, as in the paper.
            `epochs` are those of training through the signs.
    """

    stages = (
        {"layers": (1, 2), "emphasis": (0.0, 2.0), "epochs": (0,), "rate": (0.001,)},
        {"epochs": (30,), "rate": (0.001, 0.005, 0.02)},
    )

    def __init__(self, matrix: sparse.csr_matrix, budget_bytes: int, *, seed: int) -> None:
        self._matrix, self._budget, self._seed = matrix.tocsr(), budget_bytes, seed
        adjacency = full_adjacency(normalised_bipartite(self._matrix)).tocoo()
        self._adjacency = torch.sparse_coo_tensor(
            np.stack([adjacency.row, adjacency.col]), adjacency.data, adjacency.shape, check_invariants=True
        ).coalesce()
        self._tables: dict[int, torch.Tensor] = {}

    def fit(self, *, layers: int, emphasis: float, epochs: int, rate: float) -> Rows:
        """Train as many columns as fit, and keep signs and scales."""
        if layers not in self._tables:
            self._tables[layers] = self._full_table(layers)
        table = self._tables[layers].clone().requires_grad_()
        weights = [(layer + 1.0) ** emphasis for layer in range(layers + 1)]
        self._train(table, weights, epochs=epochs, rate=rate)
        with torch.no_grad():
            propagated = torch.cat(self._layers(table, layers)).numpy()
        # One table of all layers: a factor for each of them would change the sum.
        stored = StoredRows.of(propagated, bits=1, scaled=True)
        by_layer = np.split(stored.rows(), layers + 1)
        rows = np.hstack([math.sqrt(weight) * part for weight, part in zip(weights, by_layer, strict=True)])
        users = self._matrix.shape[0]
        return Rows(rows[:users], rows[users:], stored.size_bytes)

    def _full_table(self, layers: int) -> torch.Tensor:
        """Layer-0 rows, trained as those that codes are learned from."""
        entities = sum(self._matrix.shape)
        stored = (layers + 1) * entities
        columns = columns_that_fit(self._budget, rows=stored, scales=stored, bits=1)
        options = teacher_options(
            TrainingOptions(dim=columns, bits=32, layers=layers, seed=self._seed, validation_share=0.0),
            pairs=self._matrix.nnz,
            epochs=_TABLE_EPOCHS,
        )
        nothing = sparse.csr_matrix(self._matrix.shape, dtype=np.float32)
        whole = ValidationSplit(self._matrix, nothing, np.zeros(0, np.int64))
        trained = pretrain(whole, identity_assignment(entities), options)
        return torch.from_numpy(np.array(with_telling_scores(trained, self._matrix).codebook, np.float32))

    def _layers(self, table: torch.Tensor, layers: int) -> list[torch.Tensor]:
        found = [table]
        for _ in range(layers):
            found.append(torch.sparse.mm(self._adjacency, found[-1]))
        return found

    def _train(self, table: torch.Tensor, weights: list[float], *, epochs: int, rate: float) -> None:
        """BPR over the scores of the signs."""
        optimiser = torch.optim.Adam([table], lr=rate)
        rng = np.random.default_rng([self._seed, 5])
        users = self._matrix.shape[0]
        for _ in range(epochs):
            for batch in epoch_batches(self._matrix, batch=_BATCH, rng=rng):
                parts = (batch.users, batch.positives + users, batch.negatives + users)
                asked, liked, other = (torch.from_numpy(part.astype(np.int64)) for part in parts)
                gap = torch.zeros(len(batch))
                for weight, rows in zip(weights, self._layers(table, len(weights) - 1), strict=True):
                    scale = rows.abs().mean(dim=1, keepdim=True)
                    signs = scale * _Sign.apply(rows / scale.detach().clamp_min(1e-12))
                    gap = gap + weight * (signs[asked] * (signs[liked] - signs[other])).sum(dim=1)
                used = torch.cat([table[asked], table[liked], table[other]])
                loss = torch.nn.functional.softplus(-gap).mean() + _L2 * used.square().sum() / len(batch)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
