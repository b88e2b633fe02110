"""A coded table of item rows: a codebook and what each item takes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.codes.quantiser import dequantise, quantise
from lerg_edge.errors import InputError
from lerg_edge.folding.matrix import FoldedRows

__all__ = ["KINDS", "CodedItems"]

KINDS = ("rows", "product", "folded")


@dataclass(frozen=True, slots=True, eq=False)
class CodedItems:
    """Rows of items as they are stored.

    Attributes:
        kind: `rows`, a codebook row an item; `product`, blocks of codebook rows; `folded`, weighted sums.
        parts: what each item takes of the codebook.
        codebook: float32 [c, d], latent.
        step: float32 [1] or [c].
        bits: 4, 8 or 16, of the codebook.

    Raises:
        InputError: parts that do not fit together.
    """

    kind: str
    parts: Assignment | FoldedRows
    codebook: np.ndarray
    step: np.ndarray
    bits: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind is {self.kind}; choose one of {', '.join(KINDS)}")
        codes = self.parts.codebook_rows
        if len(self.codebook) != codes or self.step.shape not in ((1,), (codes,)):
            raise InputError(
                f"codebook has {len(self.codebook)} rows and step shape {self.step.shape}; "
                f"there are {codes} codes."
            )
        if isinstance(self.parts, FoldedRows) != (self.kind == "folded"):
            raise InputError(f"items of the kind {self.kind} cannot be {type(self.parts).__name__}.")

    @property
    def item_count(self) -> int:
        """Items, I."""
        return self.parts.entity_count

    @property
    def dim(self) -> int:
        """Numbers in a row, d."""
        return int(self.codebook.shape[1])

    @property
    def width(self) -> int:
        """Codes of an item."""
        return self.parts.entries if isinstance(self.parts, FoldedRows) else self.parts.codes_per_entity

    def integers(self) -> np.ndarray:
        """The codebook as it is stored, int8 or int16 [c, d]."""
        return quantise(self.codebook, self.step, bits=self.bits)

    def rows(self) -> np.ndarray:
        """The rows as a device has them, float32 [I, d]."""
        table = torch.from_numpy(dequantise(self.integers(), self.step))
        rows: np.ndarray = CompositionalEmbedding.from_assignment(self.parts).product(table).numpy()
        return rows
