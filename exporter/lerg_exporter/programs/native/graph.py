"""The methods of graph propagation by the operators of the `lerg` namespace.

All three speak *slots*: a retained entity's slot is its rank among the retained ones of its side, a
pruned one's is m_side plus the index of its placeholder.  Notation: Q is the quantised codebook, X = S Q
the layer-0 rows, H = 1/(L+1) sum_l A'^l X the propagated ones (LightGCN, arXiv 2002.02126,
on the rewired graph).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.graph_constants import GraphConstants
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.native import ops as _ops  # noqa: F401  the import defines torch.ops.lerg
from lerg_exporter.programs.native.recommend import Recommend, with_int8_items
from lerg_exporter.programs.signatures import program_methods, step_tensor

__all__ = ["ITEMS", "USERS", "Encode", "FineTune", "native_graph_methods"]

USERS, ITEMS = 0, 1


class _Graph(torch.nn.Module):
    """The constants as buffers, and propagation over them."""

    user_codes: Tensor
    item_codes: Tensor
    indptr: Tensor
    indices: Tensor | None
    placeholder_step: Tensor
    user_placeholders: Tensor | None
    item_placeholders: Tensor | None

    def __init__(self, constants: GraphConstants, layer_bits: int) -> None:
        super().__init__()
        self.layers, self.anchor_weight = constants.layers, constants.anchor_weight
        self.layer_bits, self.blocks = layer_bits, constants.blocks
        self.dim, self.placeholder_bits = constants.dim, constants.placeholder_bits
        # A program cannot hold a constant of no bytes, so what is empty has no buffer: the edges of a graph
        # without any, and the placeholders of a side that needs none.
        for name in (
            "user_codes",
            "item_codes",
            "indptr",
            "indices",
            "placeholder_step",
            "user_placeholders",
            "item_placeholders",
        ):
            stored = getattr(constants, name)
            self.register_buffer(name, stored if len(stored) else None)

    def placeholders(self, side: int) -> Tensor:
        """Dequantised placeholder rows of one side, float32 [r_side, d]."""
        packed = (self.user_placeholders, self.item_placeholders)[side]
        if packed is None:
            return torch.zeros(0, self.dim)
        return torch.ops.lerg.dequantise(packed, self.placeholder_step, self.placeholder_bits)

    def graph(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        indices = torch.zeros(0, dtype=torch.uint8) if self.indices is None else self.indices
        return self.user_codes, self.item_codes, self.indptr, indices

    def rows(
        self, quantised: Tensor, placeholders: Tensor, slots: Tensor, *, side: int, layers: int
    ) -> Tensor:
        """Rows of one side after `layers` layers, float32 [B, d]; 0 layers gives X."""
        return torch.ops.lerg.propagate_rows(
            quantised,
            *self.graph(),
            placeholders,
            slots,
            side,
            layers,
            self.anchor_weight,
            self.layer_bits,
            self.blocks,
        )

    def table(self, quantised: Tensor, side: int) -> Tensor:
        """All rows of one side, placeholders last, float32 [m_side + r_side, d]."""
        return torch.ops.lerg.propagate_table(
            quantised,
            *self.graph(),
            self.placeholders(side),
            side,
            self.layers,
            self.anchor_weight,
            self.layer_bits,
            self.blocks,
        )


class FineTune(torch.nn.Module):
    """BPR loss of a batch of slots; only `codebook` and `step` learn.

    loss = mean softplus(h_u . h_n - h_u . h_p) + l2 / 2 * mean(|x_u|^2 + |x_p|^2 + |x_n|^2)
    (BPR, arXiv 1205.2618, with the L2 of LightGCN on the batch's layer-0 rows).

    Shapes:
        users, positives, negatives: int64 [B]; returns (float32 scalar,).
        codebook: float32 [c, d], latent; step: float32 [1] or [c].
    """

    def __init__(
        self, constants: GraphConstants, codebook: Tensor, step: Tensor, *, l2: float, layer_bits: int = 32
    ) -> None:
        super().__init__()
        self.propagation = _Graph(constants, layer_bits)
        self.codebook = torch.nn.Parameter(codebook)
        self.step = torch.nn.Parameter(step)
        self.bits, self.layers, self.l2 = constants.bits, constants.layers, l2

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor]:
        quantised = torch.ops.lerg.fake_quantise(self.codebook, self.step, self.bits)
        items = torch.cat([positives, negatives])
        sides = [(users, USERS), (items, ITEMS)]
        placeholders = [self.propagation.placeholders(side) for _, side in sides]
        user_rows, item_rows = (
            self.propagation.rows(quantised, placeholders[side], slots, side=side, layers=self.layers)
            for slots, side in sides
        )
        batch = users.shape[0]
        positive, negative = item_rows.split([batch, batch])
        margin = (user_rows * (negative - positive)).sum(1)
        loss = functional.softplus(margin).mean()
        if self.l2:
            x_users, x_items = (
                self.propagation.rows(quantised, placeholders[side], slots, side=side, layers=0)
                for slots, side in sides
            )
            # There are two item rows a triple, hence the weight of the second mean.
            norms = (x_users * x_users).sum(1).mean() + 2 * (x_items * x_items).sum(1).mean()
            loss = loss + 0.5 * self.l2 * norms
        return (loss,)


class Encode(torch.nn.Module):
    """Packed codebook and step to the two entity tables.

    Shapes:
        packed: int8, int16 or float32 [c, d], or uint8 [c, d / 2] for 4 bits; step: float32 [1] or [c].
        returns (float32 [m_u + r_u, d], float32 [m_i + r_i, d]).
    """

    def __init__(self, constants: GraphConstants, *, layer_bits: int = 32) -> None:
        super().__init__()
        self.propagation = _Graph(constants, layer_bits)
        self.bits = constants.bits

    def forward(self, packed: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        quantised = torch.ops.lerg.dequantise(packed, step, self.bits)
        return self.propagation.table(quantised, USERS), self.propagation.table(quantised, ITEMS)


def native_graph_methods(model: RewiredModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`; batch, users and ranks vary up to `limits`.

    Raises:
        InputError: the model has an empty side.
    """
    constants = GraphConstants.from_model(model)
    codebook, step = torch.tensor(model.codebook), step_tensor(model.step)
    modules = {
        "finetune": FineTune(constants, codebook, step, l2=limits.l2, layer_bits=limits.layer_bits),
        "encode": Encode(constants, layer_bits=limits.layer_bits),
        "recommend": Recommend(),
    }
    methods = program_methods(modules, constants, limits, step=model.step, items=model.item_count)
    return with_int8_items(methods) if limits.item_table == "int8" else methods
