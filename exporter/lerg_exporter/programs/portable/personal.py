"""The methods of a personal model by operators of stock ExecuTorch alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lerg_edge.codes.assignment import Assignment
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.personal.model import PersonalModel
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.personal import Learning, TableModules, personal_methods
from lerg_exporter.programs.portable.constants import stored_index
from lerg_exporter.programs.portable.ops import widened
from lerg_exporter.programs.portable.quantiser import dequantised
from lerg_exporter.programs.portable.recommend import Recommend, check_catalogue
from lerg_exporter.programs.signatures import stock_methods

__all__ = ["portable_personal_methods"]


class _Rows(torch.nn.Module):
    """A codebook row for each item."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, packed: Tensor, step: Tensor) -> Tensor:
        return dequantised(packed, step, bits=self.bits)


class _Product(torch.nn.Module):
    """Blocks of codebook rows."""

    codes: Tensor

    def __init__(self, parts: Assignment, bits: int) -> None:
        super().__init__()
        self.bits = bits
        stored, self._offset = stored_index(parts.codes.astype("int64"), count=parts.codebook_rows)
        self.register_buffer("codes", stored)

    def forward(self, packed: Tensor, step: Tensor) -> Tensor:
        codebook = dequantised(packed, step, bits=self.bits)
        count, width = self.codes.shape
        places = widened(self.codes, self._offset) * width + torch.arange(width, dtype=torch.int32)
        blocks = functional.embedding(places, codebook.reshape(-1, codebook.shape[1] // width))
        return blocks.reshape(count, codebook.shape[1])


class _Folded(torch.nn.Module):
    """Weighted sums of codebook rows."""

    codes: Tensor
    weights: Tensor
    scales: Tensor
    scale_table: Tensor

    def __init__(self, rows: FoldedRows, bits: int) -> None:
        super().__init__()
        self.bits = bits
        stored, self._offset = stored_index(rows.codes.astype("int64"), count=rows.codebook_rows)
        self.register_buffer("codes", stored)
        for name in ("weights", "scales"):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(getattr(rows, name))))
        self.register_buffer("scale_table", torch.from_numpy(rows.scale_table).unsqueeze(1))

    def forward(self, packed: Tensor, step: Tensor) -> Tensor:
        factor = functional.embedding(widened(self.scales, 0), self.scale_table)
        weights = self.weights.to(torch.float32) * factor
        codebook = dequantised(packed, step, bits=self.bits)
        rows: Tensor = torch.ops.lerg_portable.fold(codebook, widened(self.codes, self._offset), weights)
        return rows


_TABLES = TableModules(_Rows, _Product, _Folded)


def portable_personal_methods(
    model: PersonalModel, limits: ProgramLimits, *, max_history: int, max_batch: int = 0
) -> dict[str, Method]:
    """The methods of a personal model, with the inputs and outputs of the native ones but for
    types that stock Java lacks; see `personal_methods`.

    Raises:
        InputError: there are more items than ties can be told apart for.
    """
    check_catalogue(model.item_count)
    methods = personal_methods(
        _TABLES,
        Recommend(),
        model,
        limits,
        max_history=max_history,
        learning=Learning(torch.ops.lerg_portable.quantise, _stored),
        max_batch=max_batch,
    )
    return stock_methods(methods)


def _stored(codes: np.ndarray, count: int) -> tuple[Tensor, int]:
    return stored_index(codes.astype("int64"), count=count)
