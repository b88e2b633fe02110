"""The lowering that a first try arrives at: gather, multiply, `index_put` with accumulation, and autograd.

Kept to be measured against. Each message of a propagation is a row of its own, so a layer plans edges x d
floats several times over, and the stock kernels add them up an element at a time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.native import ops as _ops  # noqa: F401  defines torch.ops.lerg

__all__ = ["naive_finetune"]


def naive_finetune(model: RewiredModel, limits: ProgramLimits) -> Method:
    """The method `finetune` in this form; every entity of a batch must be a retained one."""
    method = methods_of(model, limits)["finetune"]
    return Method(_FineTune(model, limits.l2), method.inputs, method.dynamic, method.outputs, True, True)


class _FineTune(torch.nn.Module):
    """BPR over LightGCN; users and items in one table, one edge a direction."""

    source: Tensor
    target: Tensor
    weight: Tensor
    codes: Tensor
    code_weights: Tensor

    def __init__(self, model: RewiredModel, l2: float) -> None:
        super().__init__()
        self.codebook = torch.nn.Parameter(torch.tensor(model.codebook))
        self.step = torch.nn.Parameter(torch.tensor(model.step).reshape(-1))
        self.bits, self.layers, self.l2 = model.bits, model.layers, l2
        graph = model.graph.tocoo()
        self.users = graph.shape[0]
        ends = [graph.row.astype(np.int64), graph.col.astype(np.int64) + self.users]
        degrees = np.maximum(np.bincount(np.concatenate(ends), minlength=sum(graph.shape)), 1)
        self.register_buffer("source", torch.from_numpy(np.concatenate(ends)))
        self.register_buffer("target", torch.from_numpy(np.concatenate(ends[::-1])))
        weight = 1 / np.sqrt(degrees[ends[0]] * degrees[ends[1]])
        self.register_buffer("weight", torch.tensor(np.tile(weight, 2), dtype=torch.float32).unsqueeze(1))
        codes = model.assignment[model.retained]
        self.register_buffer("codebook_rows", torch.from_numpy(codes.astype(np.int64)))
        others = codes.shape[1] - 1
        rest = [(1 - model.anchor_weight) / others] * others if others else []
        self.code_weights = torch.tensor([model.anchor_weight if others else 1.0, *rest])[:, None]

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor]:
        quantised = torch.ops.lerg.fake_quantise(self.codebook, self.step, self.bits)
        first = (quantised[self.codes] * self.code_weights).sum(1)
        layer, total = first, first
        for _ in range(self.layers):
            messages = layer[self.source] * self.weight
            layer = torch.zeros_like(layer).index_put((self.target,), messages, accumulate=True)
            total = total + layer
        total = total / (self.layers + 1)
        picked = [users, positives + self.users, negatives + self.users]
        user, positive, negative = (total[rows] for rows in picked)
        loss = functional.softplus((user * (negative - positive)).sum(1)).mean()
        if self.l2:
            loss = loss + self.l2 / 2 * sum((first[rows] * first[rows]).sum(1).mean() for rows in picked)
        return (loss,)
