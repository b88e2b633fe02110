"""The methods of folded propagation by the operators of the `lerg` namespace.

They speak slots, as `lerg_exporter.programs.native.graph` does.  A retained entity's row is k weighted rows
of the quantised codebook, so none needs a graph, and a step costs what its batch does, whatever the graph's
size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lerg_edge.folding.folded_model import FoldedModel
from lerg_exporter.programs.folded_constants import FoldedConstants
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.native import ops as _ops  # noqa: F401  the import defines torch.ops.lerg
from lerg_exporter.programs.native.recommend import Recommend, with_int8_items
from lerg_exporter.programs.signatures import program_methods, step_tensor

__all__ = ["Encode", "FineTune", "native_folded_methods"]

USERS, ITEMS = 0, 1


class _Entries(torch.nn.Module):
    """The constants as buffers."""

    codes: Tensor
    weights: Tensor
    scales: Tensor
    scale_table: Tensor
    placeholder_step: Tensor
    packed_placeholders: Tensor | None

    def __init__(self, constants: FoldedConstants) -> None:
        super().__init__()
        self.dim, self.bits, self.placeholder_bits = constants.dim, constants.bits, constants.placeholder_bits
        self.retained_users, self.user_placeholders = constants.retained_users, constants.user_placeholders
        for name in ("codes", "weights", "scales", "scale_table", "placeholder_step"):
            self.register_buffer(name, getattr(constants, name))
        # A program cannot hold a constant of no bytes.
        packed = constants.placeholders
        self.register_buffer("packed_placeholders", packed if len(packed) else None)

    def placeholders(self) -> Tensor:
        """Dequantised placeholder rows of both sides, float32 [r, d]."""
        if self.packed_placeholders is None:
            return torch.zeros(0, self.dim)
        return torch.ops.lerg.dequantise(
            self.packed_placeholders, self.placeholder_step, self.placeholder_bits
        )

    def entries(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.codes, self.weights, self.scales, self.scale_table


class FineTune(torch.nn.Module):
    """BPR loss of a batch of slots; only `codebook` and `step` learn.

    loss = mean softplus(h_u . h_n - h_u . h_p) + l2 / 2 * mean(|h_u|^2 + |h_p|^2 + |h_n|^2)
    (BPR, arXiv 1205.2618).  The penalty falls on the rows themselves: layer-0 rows, which graph propagation
    penalises, would need the assignment, which folding makes superfluous.

    Shapes:
        users, positives, negatives: int64 [B]; returns (float32 scalar,).
        codebook: float32 [c, d], latent; step: float32 [1] or [c].
    """

    def __init__(self, constants: FoldedConstants, codebook: Tensor, step: Tensor, *, l2: float) -> None:
        super().__init__()
        self.entries = _Entries(constants)
        self.codebook = torch.nn.Parameter(codebook)
        self.step = torch.nn.Parameter(step)
        self.l2 = float(l2)

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor]:
        entries, triples = self.entries, (users, positives, negatives)
        weights = (self.codebook, self.step, *entries.entries())
        rows = torch.ops.lerg.folded_rows(
            *weights,
            entries.placeholders(),
            *triples,
            entries.retained_users,
            entries.user_placeholders,
            entries.bits,
        )
        loss: Tensor = torch.ops.lerg.folded_loss(
            rows, *weights, *triples, entries.retained_users, entries.bits, self.l2
        )
        return (loss,)


class Encode(torch.nn.Module):
    """Packed codebook and step to the two entity tables.

    Shapes:
        packed: int8 or int16 [c, d], or uint8 [c, d / 2] for 4 bits; step: float32 [1] or [c].
        returns (float32 [m_u + r_u, d], float32 [m_i + r_i, d]).
    """

    def __init__(self, constants: FoldedConstants) -> None:
        super().__init__()
        self.entries = _Entries(constants)

    def forward(self, packed: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        placeholders = self.entries.placeholders()
        return self._table(packed, step, placeholders, USERS), self._table(packed, step, placeholders, ITEMS)

    def _table(self, packed: Tensor, step: Tensor, placeholders: Tensor, side: int) -> Tensor:
        """All rows of one side, placeholders last, float32 [m_side + r_side, d]."""
        rows: Tensor = torch.ops.lerg.folded_table(
            packed,
            step,
            *self.entries.entries(),
            placeholders,
            self.entries.retained_users,
            self.entries.user_placeholders,
            side,
            self.entries.bits,
        )
        return rows


def native_folded_methods(model: FoldedModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`; batch, users and ranks vary up to `limits`.

    Raises:
        InputError: the model has an empty side.
    """
    constants = FoldedConstants.from_model(model)
    modules = {
        "finetune": FineTune(constants, torch.tensor(model.codebook), step_tensor(model.step), l2=limits.l2),
        "encode": Encode(constants),
        "recommend": Recommend(),
    }
    methods = program_methods(modules, constants, limits, step=model.step, items=model.item_count)
    return with_int8_items(methods) if limits.item_table == "int8" else methods
