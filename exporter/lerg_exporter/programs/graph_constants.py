"""A rewired model as the constant tensors that its programs share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lerg_edge.codes.compositions import COMPOSITIONS
from lerg_edge.errors import InputError
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.indices import smallest_index
from lerg_runtime.bundle import pack

__all__ = ["GraphConstants"]


@dataclass(frozen=True, slots=True)
class GraphConstants:
    """What graph propagation stores: assignment rows, one direction of the graph, placeholders.

    Shapes:
        user_codes: [m_u, t], item_codes: [m_i, t]; uint8, uint16 or int32 by the codebook's size.
        indptr: int32 [m_u + 1]; indices: uint8, uint16 or int32 [E], item ranks sorted within a user.
        user_placeholders: [r_u, d] and item_placeholders [r_i, d] int8, int16 or float32, or uint8
        [r, d / 2].
        placeholder_step: float32 [1].

    With `blocks` an entity's row is t blocks of d / t columns, the j-th from the codebook row of its code j;
    else it is the sum of the codebook rows, the first weighted by the anchor weight.
    """

    user_codes: torch.Tensor
    item_codes: torch.Tensor
    indptr: torch.Tensor
    indices: torch.Tensor
    user_placeholders: torch.Tensor
    item_placeholders: torch.Tensor
    placeholder_step: torch.Tensor
    placeholder_bits: int
    codebook_rows: int
    dim: int
    bits: int
    layers: int
    anchor_weight: float
    blocks: bool

    @classmethod
    def from_model(cls, model: RewiredModel) -> GraphConstants:
        """The constants of `model`, in entity order on both sides.

        Raises:
            InputError: no user or no item is retained, or the graph does not match the retained entities.
        """
        users = model.retained[: model.user_count]
        items = model.retained[model.user_count :]
        shape = (int(users.sum()), int(items.sum()))
        if 0 in shape:
            raise InputError.naming(
                "{} users and {} items are retained; a program needs at least one of each, so raise "
                "{retention} or give {min_users:1} {min_items:1}",
                *shape,
            )
        if model.graph.shape != shape:
            raise InputError(f"the rewired graph is {model.graph.shape}, the retained entities are {shape}")
        assignment = smallest_index(model.assignment, count=model.codebook_rows)
        placeholders = model.placeholders
        packed = pack(placeholders.codes, bits=placeholders.bits)
        graph = model.graph.sorted_indices()
        return cls(
            user_codes=torch.from_numpy(assignment[: model.user_count][users]),
            item_codes=torch.from_numpy(assignment[model.user_count :][items]),
            indptr=torch.from_numpy(graph.indptr.astype(np.int32)),
            indices=torch.from_numpy(smallest_index(graph.indices, count=shape[1])),
            user_placeholders=torch.from_numpy(packed[: placeholders.user_count].copy()),
            item_placeholders=torch.from_numpy(packed[placeholders.user_count :].copy()),
            placeholder_step=torch.from_numpy(np.asarray(placeholders.step, dtype=np.float32).reshape(-1)),
            placeholder_bits=int(placeholders.bits),
            codebook_rows=int(model.codebook_rows),
            dim=int(model.codebook.shape[1]),
            bits=int(model.bits),
            layers=int(model.layers),
            anchor_weight=float(model.anchor_weight),
            blocks=not COMPOSITIONS[model.composition].weighted,
        )

    @property
    def user_slots(self) -> int:
        """Rows of the user table: m_u + r_u."""
        return len(self.user_codes) + len(self.user_placeholders)

    @property
    def item_slots(self) -> int:
        """Rows of the item table: m_i + r_i."""
        return len(self.item_codes) + len(self.item_placeholders)
