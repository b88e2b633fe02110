"""The outcome of the method with folded propagation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lerg_edge.codes.quantiser import bounds, dequantise, quantise
from lerg_edge.errors import InputError
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.pruning._slots import slots_of
from lerg_edge.pruning.placeholders import Placeholders


@dataclass(frozen=True, slots=True, eq=False)
class FoldedModel:
    """A compressed recommender whose retained entities are k weighted codes each; no graph is left.

    Slots are those of :class:`lerg_edge.pruning.rewired_model.RewiredModel`.

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

    def __post_init__(self) -> None:
        bounds(self.bits)
        entities = self.user_count + self.item_count
        if self.retained.shape != (entities,) or self.placeholders.index.shape != (entities,):
            raise InputError(
                f"retained has {len(self.retained)} entries and the placeholder index "
                f"{len(self.placeholders.index)}; the model has {entities} entities."
            )
        if self.rows.entity_count != int(self.retained.sum()):
            raise InputError(
                f"there are {self.rows.entity_count} rows; {int(self.retained.sum())} entities are retained."
            )
        codes = self.rows.code_count
        if len(self.codebook) != codes or self.step.shape not in ((1,), (codes,)):
            raise InputError(
                f"codebook has {len(self.codebook)} rows and step shape {self.step.shape}; "
                f"there are {codes} codes."
            )
        if self.placeholders.codes.shape[1] != self.codebook.shape[1]:
            raise InputError(
                f"placeholders have {self.placeholders.codes.shape[1]} dimensions and the codebook "
                f"{self.codebook.shape[1]}; they must be equal."
            )
        if not np.array_equal(self.placeholders.index < 0, self.retained):
            raise InputError("an entity must have a placeholder exactly if it is not retained.")

    @property
    def code_count(self) -> int:
        """Rows of the codebook, c."""
        return self.rows.code_count

    @property
    def retained_users(self) -> np.ndarray:
        """int64 [m_u], user indices of the retained users."""
        return np.flatnonzero(self.retained[: self.user_count])

    @property
    def retained_items(self) -> np.ndarray:
        """int64 [m_i], item indices of the retained items."""
        return np.flatnonzero(self.retained[self.user_count :])

    def slots(self) -> tuple[np.ndarray, np.ndarray]:
        """The slot of every user, int32 [U], and of every item, int32 [I]."""
        users, items = slice(0, self.user_count), slice(self.user_count, None)
        index = self.placeholders.index
        return slots_of(self.retained[users], index[users]), slots_of(self.retained[items], index[items])

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings by slot, float32 [m_u + r_u, d] and [m_i + r_i, d].

        Retained: the folded rows times the quantised codebook; pruned: their placeholders.
        """
        codebook = dequantise(quantise(self.codebook, self.step, bits=self.bits), self.step)
        rows = np.asarray(self.rows.matrix() @ codebook, np.float32)
        users = len(self.retained_users)
        user_rest, item_rest = self.placeholders.tables()
        return np.concatenate([rows[:users], user_rest]), np.concatenate([rows[users:], item_rest])

    def entity_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings by user and by item, float32 [U, d] and [I, d]."""
        (user_table, item_table), (user_slots, item_slots) = self.tables(), self.slots()
        return user_table[user_slots], item_table[item_slots]

    def to_stage(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Take the model apart into arrays and a JSON object, for :class:`lerg_edge.workdir.WorkDir`."""
        tensors = {
            **self.rows.to_stage(),
            "codebook": self.codebook,
            "step": self.step,
            "retained": self.retained,
            "placeholder_codes": self.placeholders.codes,
            "placeholder_step": self.placeholders.step,
            "placeholder_index": self.placeholders.index,
        }
        numbers = {
            "user_count": self.user_count,
            "item_count": self.item_count,
            "bits": self.bits,
            "layers": self.layers,
            "placeholder_bits": self.placeholders.bits,
            "placeholder_users": self.placeholders.user_count,
        }
        return tensors, numbers

    @classmethod
    def from_stage(cls, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> FoldedModel:
        """Put together what :meth:`to_stage` took apart.

        Raises:
            InputError: parts that do not fit together.
        """
        placeholders = Placeholders(
            tensors["placeholder_codes"],
            tensors["placeholder_step"],
            numbers["placeholder_users"],
            numbers["placeholder_bits"],
            tensors["placeholder_index"],
        )
        return cls(
            numbers["user_count"],
            numbers["item_count"],
            FoldedRows.from_stage(tensors, code_count=len(tensors["codebook"])),
            tensors["codebook"],
            tensors["step"],
            numbers["bits"],
            numbers["layers"],
            tensors["retained"],
            placeholders,
        )
