"""The methods of a personal model by the operators of the `lerg` namespace."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lerg_edge.codes.assignment import Assignment
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.personal.model import PersonalModel
from lerg_exporter.programs.indices import smallest_index
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.native import ops as _ops  # noqa: F401  the import defines torch.ops.lerg
from lerg_exporter.programs.native.recommend import Recommend
from lerg_exporter.programs.personal import Learning, TableModules, personal_methods

__all__ = ["native_personal_methods"]

_ITEMS = 1


class _Rows(torch.nn.Module):
    """A codebook row for each item."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, packed: Tensor, step: Tensor) -> Tensor:
        rows: Tensor = torch.ops.lerg.dequantise(packed, step, self.bits)
        return rows


class _Product(torch.nn.Module):
    """Blocks of codebook rows: what a graph without users and edges has for items after no layer."""

    codes: Tensor

    def __init__(self, parts: Assignment, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer(
            "codes", torch.from_numpy(smallest_index(parts.codes, count=parts.codebook_rows))
        )

    def forward(self, packed: Tensor, step: Tensor) -> Tensor:
        codebook = torch.ops.lerg.dequantise(packed, step, self.bits)
        nobody = torch.zeros(0, self.codes.shape[1], dtype=torch.uint8)
        indptr, indices = torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.int32)
        placeholders = torch.zeros(0, codebook.shape[1])
        graph = (nobody, self.codes, indptr, indices)
        rows: Tensor = torch.ops.lerg.propagate_table(
            codebook, *graph, placeholders, _ITEMS, 0, 1.0, blocks=True
        )
        return rows


class _Folded(torch.nn.Module):
    """Weighted sums of codebook rows."""

    codes: Tensor
    weights: Tensor
    scales: Tensor
    scale_table: Tensor

    def __init__(self, rows: FoldedRows, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("codes", torch.from_numpy(smallest_index(rows.codes, count=rows.codebook_rows)))
        for name in ("weights", "scales", "scale_table"):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(getattr(rows, name))))

    def forward(self, packed: Tensor, step: Tensor) -> Tensor:
        nothing = torch.zeros(0, packed.shape[1] * (2 if self.bits == 4 else 1))
        entries = (self.codes, self.weights, self.scales, self.scale_table)
        rows: Tensor = torch.ops.lerg.folded_table(packed, step, *entries, nothing, 0, 0, _ITEMS, self.bits)
        return rows


_TABLES = TableModules(_Rows, _Product, _Folded)


def native_personal_methods(
    model: PersonalModel, limits: ProgramLimits, *, max_history: int, max_batch: int = 0
) -> dict[str, Method]:
    """The methods of a personal model; see `personal_methods`."""
    return personal_methods(
        _TABLES,
        Recommend(),
        model,
        limits,
        max_history=max_history,
        learning=Learning(torch.ops.lerg.fake_quantise, _stored),
        max_batch=max_batch,
    )


def _stored(codes: np.ndarray, count: int) -> tuple[Tensor, int]:
    """Codes of a type that stock operators convert, and what is to be added to them: of two bytes int16."""
    two_bytes = 1 << 8 < count <= 1 << 15
    made = codes.astype(np.int16 if two_bytes else np.uint8 if count <= 1 << 8 else np.int32)
    return torch.from_numpy(np.ascontiguousarray(made)), 0
