"""The peer of pretraining: the same training step as a PyTorch user would write it, in eager mode."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
import torch

from benchmarks.eager import symmetric_adjacency
from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.widths import bounds
from lerg_edge.training.options import TrainingOptions
from lerg_edge.training.sampling import Triples


class PlainTrainer:
    """LSQ codebook, embedding lookup, LightGCN over torch's sparse CSR product, gathers, autograd, Adam.

    Starts where it is told to, takes the batches that it is given, and so follows the same trajectory as
    `lerg_edge.training.pretraining.pretrain` up to rounding.
    """

    def __init__(
        self,
        matrix: sp.csr_matrix,
        assignment: Assignment,
        options: TrainingOptions,
        codebook: torch.Tensor,
        step: torch.Tensor,
    ) -> None:
        self.options, self.user_count = options, matrix.shape[0]
        self.codes = torch.from_numpy(assignment.codes.astype(np.int64))
        self.weights = torch.from_numpy(assignment.weights)[None, :, None]
        self.adjacency = symmetric_adjacency(matrix)
        self.codebook = torch.nn.Parameter(codebook.clone())
        self.step = torch.nn.Parameter(step.clone())
        rate = options.learning_rate
        self.adam = torch.optim.Adam(
            [
                {"params": [self.codebook], "lr": rate},
                {"params": [self.step], "lr": rate * float(step.mean())},
            ]
        )

    def propagated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Layer-0 rows and their mean over the layers, both [N, d]."""
        low, high = bounds(self.options.bits)
        # LSQ's factor g acts on the step's gradient alone.
        factor = 1.0 / math.sqrt(self.codebook.numel() * high)
        step = self.step * factor + (self.step - self.step * factor).detach()
        scaled = torch.clamp(self.codebook / step, low, high)
        quantised = (scaled + (scaled.round() - scaled).detach()) * step
        first = (torch.nn.functional.embedding(self.codes, quantised) * self.weights).sum(1)
        layer, total = first, first
        for _ in range(self.options.layers):
            layer = self.adjacency @ layer
            total = total + layer
        return first, total / (self.options.layers + 1)

    def train_on(self, triples: Triples) -> float:
        """One step; returns the loss."""
        first, rows = self.propagated()
        picked = [
            torch.from_numpy(column.astype(np.int64) + offset)
            for column, offset in (
                (triples.users, 0),
                (triples.positives, self.user_count),
                (triples.negatives, self.user_count),
            )
        ]
        user, positive, negative = (rows.index_select(0, index) for index in picked)
        loss = torch.nn.functional.softplus((user * (negative - positive)).sum(1)).mean()
        squares = (first.index_select(0, index).square().sum(1).mean() for index in picked)
        loss = loss + self.options.l2 / 2 * sum(squares)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return float(loss.detach())
