"""The methods of graph propagation by operators of stock ExecuTorch alone.

They compute what `lerg_exporter.programs.native.graph` does, in slots too. With C the rewired graph of ones
and D its degrees, A = D^-1/2 C D^-1/2; what is carried from layer to layer is z_l = D^-1/2 A^l X, because
then z_(l+1) = D^-1 C z_l: a sum of neighbours and one factor a row. H = D^1/2 (z_0 + ... + z_L) / (L+1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.portable.constants import PortableConstants, stored_index
from lerg_exporter.programs.portable.gathers import GatherPlan
from lerg_exporter.programs.portable.ops import widened
from lerg_exporter.programs.portable.quantiser import dequantised
from lerg_exporter.programs.portable.recommend import Recommend, check_catalogue
from lerg_exporter.programs.signatures import program_methods, step_tensor, stock_methods

__all__ = ["Encode", "FineTune", "portable_graph_methods"]

USERS, ITEMS = 0, 1


class _Index(torch.nn.Module):
    """Index arrays of one range as buffers, in few bytes."""

    def __init__(self, arrays: Sequence[np.ndarray], *, count: int) -> None:
        super().__init__()
        self._length = len(arrays)
        self.offset = 0
        for position, array in enumerate(arrays):
            stored, self.offset = stored_index(array, count=count)
            self.register_buffer(f"part{position}", stored)

    def stored(self) -> list[Tensor]:
        return [getattr(self, f"part{position}") for position in range(self._length)]

    def looked_up(self, slots: Tensor) -> Tensor:
        """Entries of the only array at `slots`, int64 [B]."""
        return self.part0.index_select(0, slots).to(torch.int64) + self.offset  # type: ignore[operator]


class _Gather(torch.nn.Module):
    """The arguments by which `gather_sum` knows a plan."""

    def __init__(self, plan: GatherPlan, place: np.ndarray | None = None) -> None:
        super().__init__()
        self.chunks = _Index(plan.chunks, count=plan.reach)
        self._parts, self._empty = list(plan.parts), plan.empty
        self.register_buffer("place", None if place is None else torch.from_numpy(place.astype(np.int32)))

    def arguments(self) -> tuple[Any, ...]:
        return self.chunks.stored(), self.chunks.offset, self._parts, self._empty, self.place


class _Propagation(torch.nn.Module):
    """The constants as buffers, and propagation over them."""

    inverse_degree: Tensor
    inverse_root: Tensor
    root: Tensor
    placeholder_step: Tensor
    user_placeholders: Tensor | None
    item_placeholders: Tensor | None

    def __init__(self, constants: PortableConstants) -> None:
        super().__init__()
        packed = constants.packed
        self.layers, self.dim = packed.layers, packed.dim
        self._bits, self._weights = packed.placeholder_bits, constants.weights
        self.neighbours = _Gather(constants.neighbours)
        self.composed = torch.nn.ModuleList(_Gather(rows.plan) for rows in constants.composed)
        self.members = torch.nn.ModuleList(_Gather(rows.members, rows.place) for rows in constants.composed)
        degrees = constants.degrees.astype(np.float64)
        for name, values in (
            ("inverse_degree", 1 / degrees),
            ("inverse_root", 1 / np.sqrt(degrees)),
            ("root", np.sqrt(degrees)),
        ):
            # The row of zeros stays one, and what is picked from it for a placeholder has no gradient.
            column = torch.tensor(np.append(values, 0.0), dtype=torch.float32).unsqueeze(1)
            self.register_buffer(name, column)
        self.rows = torch.nn.ModuleList(
            _Index([rows], count=len(degrees) + 1) for rows in (constants.user_rows, constants.item_rows)
        )
        self._retained = constants.retained
        self.register_buffer("placeholder_step", packed.placeholder_step)
        # A program cannot hold a constant of no bytes, so a side without placeholders has no buffer.
        for name in ("user_placeholders", "item_placeholders"):
            stored = getattr(packed, name)
            self.register_buffer(name, stored if len(stored) else None)

    def layers_of(self, quantised: Tensor) -> Iterator[Tensor]:
        """z_0 to z_L of all entities, float32 [m + 1, d] each; one is made when it is asked for."""
        gather_sum = torch.ops.lerg_portable.gather_sum
        blocks = [
            gather_sum(table, *plan.arguments(), *members.arguments())  # type: ignore[operator]
            for table, plan, members in zip(
                self._code_tables(quantised), self.composed, self.members, strict=True
            )
        ]
        first = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)
        layer = first * self.inverse_root
        yield layer
        graph = self.neighbours.arguments()
        for _ in range(self.layers):
            layer = gather_sum(layer, *graph, *graph) * self.inverse_degree
            yield layer

    def _code_tables(self, quantised: Tensor) -> list[Tensor]:
        """What the layer-0 rows, or each block of them, are gathered from; a row of zeros last."""
        blocks = len(self.composed)
        nothing = quantised.new_zeros(1, self.dim // blocks)
        if blocks == 1:
            return [torch.cat([quantised * weight for weight in self._weights] + [nothing])]
        return [torch.cat([part, nothing]) for part in quantised.split(self.dim // blocks, dim=1)]

    def picked(self, layers: Iterator[Tensor], slots: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Propagated rows and layer-0 rows of user slots and of item slots, float32 [B_u + B_i, d] each.

        A layer is picked from as soon as it is there, so that no more than two are in memory.
        """
        rows = torch.cat([index.looked_up(asked) for index, asked in zip(self.rows, slots, strict=True)])  # type: ignore[operator]
        root = functional.embedding(rows, self.root)
        pick = torch.ops.lerg_portable.pick
        first = total = pick(next(layers), rows)
        for layer in layers:
            total = total + pick(layer, rows)
        fixed = torch.cat([self._fixed(side, asked) for side, asked in enumerate(slots)])
        return total * (root * (1.0 / (self.layers + 1))) + fixed, first * root + fixed

    def tables(self, layers: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        """All rows of each side by slot, placeholders last, float32 [m_side + r_side, d]."""
        total = next(layers)
        for layer in layers:
            total = total + layer
        propagated = total * (self.root * (1.0 / (self.layers + 1)))
        users, items = (self._table(propagated, side) for side in (USERS, ITEMS))
        return users, items

    def _table(self, propagated: Tensor, side: int) -> Tensor:
        index, rest = self.rows[side], self._placeholders(side)
        kept = index.stored()[0][: self._retained[side]]  # type: ignore[operator]
        table = functional.embedding(widened(kept, index.offset), propagated)  # type: ignore[arg-type]
        return table if rest is None else torch.cat([table, rest])

    def _fixed(self, side: int, slots: Tensor) -> Tensor:
        """Placeholder rows where slots are placeholders, zeros elsewhere; float32 [B, d]."""
        rest = self._placeholders(side)
        if rest is None:
            return self.root.new_zeros(slots.shape[0], self.dim)
        table = torch.cat([rest.new_zeros(1, self.dim), rest])
        return functional.embedding((slots - (self._retained[side] - 1)).clamp(min=0), table)

    def _placeholders(self, side: int) -> Tensor | None:
        packed = (self.user_placeholders, self.item_placeholders)[side]
        return None if packed is None else dequantised(packed, self.placeholder_step, bits=self._bits)


class FineTune(torch.nn.Module):
    """BPR loss of a batch of slots; only `codebook` and `step` learn.

    The loss is the one of `lerg_exporter.programs.native.graph.FineTune`.

    Shapes:
        users, positives, negatives: int64 [B]; returns (float32 scalar,).
        codebook: float32 [c, d], latent; step: float32 [1] or [c].
    """

    def __init__(self, constants: PortableConstants, codebook: Tensor, step: Tensor, *, l2: float) -> None:
        super().__init__()
        self.propagation = _Propagation(constants)
        self.codebook = torch.nn.Parameter(codebook)
        self.step = torch.nn.Parameter(step)
        self.bits, self.l2 = constants.packed.bits, l2

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor]:
        quantised = torch.ops.lerg_portable.quantise(self.codebook, self.step, self.bits)
        layers = self.propagation.layers_of(quantised)
        items = torch.cat([positives, negatives])
        rows, first = self.propagation.picked(layers, (users, items))
        batch = users.shape[0]
        user, positive, negative = rows.split([batch, batch, batch])
        margin = (user * (negative - positive)).sum(1)
        loss = functional.softplus(margin).mean()
        if self.l2:
            # A triple has three rows.
            loss = loss + 0.5 * self.l2 * 3.0 * (first * first).sum(1).mean()
        return (loss,)


class Encode(torch.nn.Module):
    """Packed codebook and step to the two entity tables.

    Shapes:
        packed: int8 or float32 [c, d], or uint8 [c, d / 2] for 4 bits and [c, 2 d] for 16.
        step: float32 [1] or [c].
        returns (float32 [m_u + r_u, d], float32 [m_i + r_i, d]).
    """

    def __init__(self, constants: PortableConstants) -> None:
        super().__init__()
        self.propagation = _Propagation(constants)
        self.bits = constants.packed.bits

    def forward(self, packed: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        return self.propagation.tables(self.propagation.layers_of(dequantised(packed, step, bits=self.bits)))


def portable_graph_methods(model: RewiredModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`, with the inputs and outputs of the native ones
    but for types that stock Java lacks.

    Raises:
        InputError: the model has an empty side, or more items than ties can be told apart for.
    """
    check_catalogue(model.item_count)
    constants = PortableConstants.from_model(model)
    modules = {
        "finetune": FineTune(constants, torch.tensor(model.codebook), step_tensor(model.step), l2=limits.l2),
        "encode": Encode(constants),
        "recommend": Recommend(),
    }
    packed, items = constants.packed, model.item_count
    return stock_methods(program_methods(modules, packed, limits, step=model.step, items=items))
