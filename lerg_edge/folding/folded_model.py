"""The outcome of the method with folded propagation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lerg_edge.codes.quantiser import dequantise, quantise
from lerg_edge.codes.widths import bounds, unsigned_bytes
from lerg_edge.errors import InputError
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.pruning.model import (
    check_model,
    common_from_stage,
    common_to_stage,
    entity_rows,
    retained_items,
    retained_users,
    slots,
    with_placeholders,
)
from lerg_edge.pruning.placeholders import Placeholders


@dataclass(frozen=True, slots=True, eq=False)
class FoldedModel:
    """A compressed recommender whose retained entities are k weighted codes each; no graph is left.

    Slots are those of :class:`lerg_edge.pruning.model.CompressedModel`.

    Attributes:
        user_count: U.
        item_count: I.
        rows: the retained entities' rows, users first, in entity order.
        codebook: float32 [c, d], latent.
        step: float32 [1] or [c].
        bits: 4, 8 or 16, of the codebook.
        layers: L of the propagation that was folded.
        retained: bool [U + I].
        placeholders: embeddings of the pruned.

    Raises:
        InputError: parts that do not fit together.
    """

    user_count: int
    item_count: int
    rows: FoldedRows
    codebook: np.ndarray
    step: np.ndarray
    bits: int
    layers: int
    retained: np.ndarray
    placeholders: Placeholders

    propagation: ClassVar[str] = "folded"
    kind: ClassVar[str] = "folded"
    retained_users = property(retained_users)
    retained_items = property(retained_items)
    slots = slots
    entity_rows = entity_rows

    def __post_init__(self) -> None:
        bounds(self.bits)
        check_model(self)
        if self.rows.entity_count != int(self.retained.sum()):
            raise InputError(
                f"there are {self.rows.entity_count} rows; {int(self.retained.sum())} entities are retained."
            )

    @property
    def codebook_rows(self) -> int:
        """Rows of the codebook, c."""
        return self.rows.codebook_rows

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings by slot, float32 [m_u + r_u, d] and [m_i + r_i, d].

        Retained: the folded rows times the quantised codebook; pruned: their placeholders.
        """
        codebook = dequantise(quantise(self.codebook, self.step, bits=self.bits), self.step)
        return with_placeholders(self, np.asarray(self.rows.matrix() @ codebook, np.float32))

    def sizes(self) -> dict[str, Any]:
        """Entries of a row."""
        return {"entries": self.rows.entries}

    def assignment_bytes(self) -> tuple[int, int]:
        """What codes take, and weights: a byte each, one for a row's scale, and the table of scales."""
        rows = self.rows
        weights = rows.weights.nbytes + rows.scales.nbytes + rows.scale_table.nbytes
        return rows.codes.size * unsigned_bytes(self.codebook_rows), weights

    def macs(self) -> int:
        """Of the entries of all rows."""
        return self.rows.entity_count * self.rows.entries * self.codebook.shape[1]

    def to_stage(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Take the model apart into arrays and a JSON object, for :class:`lerg_edge.workdir.WorkDir`."""
        tensors, numbers = common_to_stage(self)
        return tensors | self.rows.to_stage(), numbers

    @classmethod
    def from_stage(cls, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> FoldedModel:
        """Put together what :meth:`to_stage` took apart.

        Raises:
            InputError: parts that do not fit together.
        """
        common = common_from_stage(tensors, numbers)
        return cls(rows=FoldedRows.from_stage(tensors, codebook_rows=len(common["codebook"])), **common)
