"""A folded model as the constant tensors that its programs share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lerg_edge.errors import InputError
from lerg_edge.folding.folded_model import FoldedModel
from lerg_exporter.programs.indices import smallest_index
from lerg_runtime.bundle import pack

__all__ = ["FoldedConstants"]


@dataclass(frozen=True, slots=True)
class FoldedConstants:
    """What folded propagation stores: entries of the retained entities' rows, users first, and placeholders.

    Shapes:
        codes: [m, k], uint8, uint16 or int32 by the codebook's size; weights: int8 [m, k].
        scales: uint8 [m]; scale_table: float32 [256].
        placeholders: [r, d] int8 or int16, or uint8 [r, d / 2], users' first; placeholder_step: float32 [1].
    """

    codes: torch.Tensor
    weights: torch.Tensor
    scales: torch.Tensor
    scale_table: torch.Tensor
    placeholders: torch.Tensor
    placeholder_step: torch.Tensor
    placeholder_bits: int
    retained_users: int
    user_placeholders: int
    codebook_rows: int
    dim: int
    bits: int

    @classmethod
    def from_model(cls, model: FoldedModel) -> FoldedConstants:
        """The constants of `model`.

        Raises:
            InputError: no user or no item is retained.
        """
        kept = (len(model.retained_users), len(model.retained_items))
        if 0 in kept:
            raise InputError.naming(
                "{} users and {} items are retained; a program needs at least one of each, so raise "
                "{retention} or give {min_users:1} {min_items:1}",
                *kept,
            )
        rows, placeholders = model.rows, model.placeholders
        return cls(
            codes=torch.from_numpy(smallest_index(rows.codes, count=rows.codebook_rows)),
            weights=torch.from_numpy(np.ascontiguousarray(rows.weights)),
            scales=torch.from_numpy(np.ascontiguousarray(rows.scales)),
            scale_table=torch.from_numpy(np.ascontiguousarray(rows.scale_table)),
            placeholders=torch.from_numpy(pack(placeholders.codes, bits=placeholders.bits)),
            placeholder_step=torch.from_numpy(np.asarray(placeholders.step, dtype=np.float32).reshape(-1)),
            placeholder_bits=int(placeholders.bits),
            retained_users=kept[0],
            user_placeholders=int(placeholders.user_count),
            codebook_rows=int(rows.codebook_rows),
            dim=int(model.codebook.shape[1]),
            bits=int(model.bits),
        )

    @property
    def user_slots(self) -> int:
        """Rows of the user table: m_u + r_u."""
        return self.retained_users + self.user_placeholders

    @property
    def item_slots(self) -> int:
        """Rows of the item table: m_i + r_i."""
        return len(self.codes) + len(self.placeholders) - self.user_slots
