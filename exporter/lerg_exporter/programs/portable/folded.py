"""The methods of folded propagation by operators of stock ExecuTorch alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lerg_edge.folding.folded_model import FoldedModel
from lerg_exporter.programs.folded_constants import FoldedConstants
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.portable.constants import stored_index
from lerg_exporter.programs.portable.ops import widened
from lerg_exporter.programs.portable.quantiser import dequantised
from lerg_exporter.programs.portable.recommend import Recommend, check_catalogue
from lerg_exporter.programs.signatures import program_methods, step_tensor, stock_methods

__all__ = ["portable_folded_methods"]


class _Entries(torch.nn.Module):
    """The constants as buffers, and rows made of them; users' rows before items'."""

    codes: Tensor
    weights: Tensor
    scales: Tensor
    scale_table: Tensor
    placeholder_step: Tensor
    packed_placeholders: Tensor | None

    def __init__(self, constants: FoldedConstants) -> None:
        super().__init__()
        self.dim, self._bits = constants.dim, constants.placeholder_bits
        self._retained = (constants.retained_users, len(constants.codes) - constants.retained_users)
        self._user_placeholders = constants.user_placeholders
        codes, self._offset = stored_index(
            constants.codes.numpy().astype("int64"), count=constants.codebook_rows
        )
        self.register_buffer("codes", codes)
        for name in ("weights", "scales", "placeholder_step"):
            self.register_buffer(name, getattr(constants, name))
        self.register_buffer("scale_table", constants.scale_table.unsqueeze(1))
        # A program cannot hold a constant of no bytes.
        packed = constants.placeholders
        self.register_buffer("packed_placeholders", packed if len(packed) else None)

    def rows(self, codebook: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """Rows of user slots and then of item slots, float32 [B_u + B_i, d]."""
        sides = list(zip((users, items), self._retained, (0, self._retained[0]), strict=True))
        which = torch.cat([slots.clamp(max=count - 1) + first for slots, count, first in sides])
        kept = torch.cat([slots < count for slots, count, _ in sides]).to(torch.float32).unsqueeze(1)
        picked = (table.index_select(0, which) for table in (self.codes, self.weights, self.scales))
        rows = self._folded(codebook, *picked, kept=kept)
        if self.packed_placeholders is None:
            return rows
        # Row 0 stands for the retained ones, which have no placeholder.
        starts = (0, self._user_placeholders)
        fixed = torch.cat(
            [
                (slots - (count - 1)).clamp(min=0) + (slots >= count).to(torch.int64) * start
                for (slots, count, _), start in zip(sides, starts, strict=True)
            ]
        )
        placeholders = self._placeholders(self.packed_placeholders)
        table = torch.cat([placeholders.new_zeros(1, self.dim), placeholders])
        return rows + functional.embedding(fixed, table)

    def tables(self, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """All rows of each side by slot, placeholders last, float32 [m_side + r_side, d]."""
        users = self._retained[0]
        placeholders = self.packed_placeholders
        parts = (slice(None, users), slice(users, None))
        rest = (slice(None, self._user_placeholders), slice(self._user_placeholders, None))
        made = []
        for part, others in zip(parts, rest, strict=True):
            rows = self._folded(codebook, self.codes[part], self.weights[part], self.scales[part])
            if placeholders is not None and len(placeholders[others]):
                rows = torch.cat([rows, self._placeholders(placeholders[others])])
            made.append(rows)
        return made[0], made[1]

    def _folded(
        self, codebook: Tensor, codes: Tensor, weights: Tensor, scales: Tensor, *, kept: Tensor | None = None
    ) -> Tensor:
        factor = functional.embedding(widened(scales, 0), self.scale_table)
        if kept is not None:
            factor = factor * kept
        by_entry = weights.to(torch.float32) * factor
        rows: Tensor = torch.ops.lerg_portable.fold(codebook, widened(codes, self._offset), by_entry)
        return rows

    def _placeholders(self, packed: Tensor) -> Tensor:
        return dequantised(packed, self.placeholder_step, bits=self._bits)


class FineTune(torch.nn.Module):
    """BPR loss of a batch of slots; only `codebook` and `step` learn.

    The loss is the one of `lerg_exporter.programs.native.folded.FineTune`.

    Shapes:
        users, positives, negatives: int64 [B]; returns (float32 scalar,).
        codebook: float32 [c, d], latent; step: float32 [1] or [c].
    """

    def __init__(self, constants: FoldedConstants, codebook: Tensor, step: Tensor, *, l2: float) -> None:
        super().__init__()
        self.entries = _Entries(constants)
        self.codebook = torch.nn.Parameter(codebook)
        self.step = torch.nn.Parameter(step)
        self.bits, self.l2 = constants.bits, l2

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor]:
        quantised = torch.ops.lerg_portable.quantise(self.codebook, self.step, self.bits)
        rows = self.entries.rows(quantised, users, torch.cat([positives, negatives]))
        batch = users.shape[0]
        user, positive, negative = rows.split([batch, batch, batch])
        margin = (user * (negative - positive)).sum(1)
        loss = functional.softplus(margin).mean()
        if self.l2:
            # A triple has three rows.
            loss = loss + 0.5 * self.l2 * 3.0 * (rows * rows).sum(1).mean()
        return (loss,)


class Encode(torch.nn.Module):
    """Packed codebook and step to the two entity tables.

    Shapes:
        packed: int8 [c, d], or uint8 [c, d / 2] for 4 bits and [c, 2 d] for 16; step: float32 [1] or [c].
        returns (float32 [m_u + r_u, d], float32 [m_i + r_i, d]).
    """

    def __init__(self, constants: FoldedConstants) -> None:
        super().__init__()
        self.entries = _Entries(constants)
        self.bits = constants.bits

    def forward(self, packed: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        return self.entries.tables(dequantised(packed, step, bits=self.bits))


def portable_folded_methods(model: FoldedModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`, with the inputs and outputs of the native ones
    but for types that stock Java lacks.

    Raises:
        InputError: the model has an empty side, or more items than ties can be told apart for.
    """
    check_catalogue(model.item_count)
    constants = FoldedConstants.from_model(model)
    modules = {
        "finetune": FineTune(constants, torch.tensor(model.codebook), step_tensor(model.step), l2=limits.l2),
        "encode": Encode(constants),
        "recommend": Recommend(),
    }
    return stock_methods(program_methods(modules, constants, limits, step=model.step, items=model.item_count))
