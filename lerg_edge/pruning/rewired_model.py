"""The outcome of the method: all that a program needs to fine-tune and to recommend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from lerg_edge.codes.assignment import Assignment, Composing, check_blocks, check_composition
from lerg_edge.codes.embedding import compose_rows
from lerg_edge.codes.quantiser import FLOAT_BITS, check_bits, dequantise, quantise
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.pruning._slots import slots_of
from lerg_edge.pruning.placeholders import Placeholders


@dataclass(frozen=True, slots=True, eq=False)
class RewiredModel:
    """A compressed recommender over the retained entities, with placeholders for the pruned.

    Programs speak of an entity by its slot within its side: the rank among the side's retained entities, in
    entity order, or the number of those plus the index of its placeholder.

    Attributes:
        user_count: U.
        item_count: I.
        assignment: int32 [N, t], users first, rows of S for all entities; for sums column 0 is the anchor.
        anchor_weight: w*; means nothing with blocks.
        code_count: c.
        codebook: float32 [c, d], latent.
        step: float32 [1] or [c].
        bits: 4, 8 or 16, of the codebook, or 32 where nothing is quantised; its step is then 1.
        layers: L.
        retained: bool [N].
        graph: float32 [m_u, m_i] of ones, the rewired graph, sorted indices.
        placeholders: embeddings of the pruned.
        composition: how an entity's row comes from its t codes, see
        :class:`lerg_edge.codes.assignment.Assignment`.

    Raises:
        InputError: parts that do not fit together.
    """

    user_count: int
    item_count: int
    assignment: np.ndarray
    anchor_weight: float
    code_count: int
    codebook: np.ndarray
    step: np.ndarray
    bits: int
    layers: int
    retained: np.ndarray
    graph: sparse.csr_matrix
    placeholders: Placeholders
    composition: Composing = "sum"

    def __post_init__(self) -> None:
        check_bits(self.bits)
        check_composition(self.composition)
        entities = self.user_count + self.item_count
        kept = (len(self.retained_users), len(self.retained_items))
        rules = {
            f"assignment has {len(self.assignment)} rows": len(self.assignment) == entities,
            f"retained has {len(self.retained)} entries": self.retained.shape == (entities,),
            f"the placeholder index has {len(self.placeholders.index)} entries": (
                self.placeholders.index.shape == (entities,)
            ),
        }
        for found, holds in rules.items():
            if not holds:
                raise InputError(f"{found}; the model has {entities} entities.")
        if self.graph.shape != kept:
            raise InputError(f"the rewired graph is {self.graph.shape}; {kept} entities are retained.")
        if len(self.codebook) != self.code_count or self.step.shape not in ((1,), (self.code_count,)):
            raise InputError(
                f"codebook has {len(self.codebook)} rows and step shape {self.step.shape}; "
                f"there are {self.code_count} codes."
            )
        if self.bits == FLOAT_BITS and not np.array_equal(self.step, [1.0]):
            raise InputError("a codebook of 32 bits is not quantised; its step must be [1].")
        if self.assignment.size and not 0 <= self.assignment.min() <= self.assignment.max() < self.code_count:
            raise InputError(f"assignment holds a code that is not between 0 and {self.code_count - 1}.")
        if self.composition == "blocks":
            check_blocks(self.assignment.shape[1], self.codebook.shape[1])
        if self.placeholders.codes.shape[1] != self.codebook.shape[1]:
            raise InputError(
                f"placeholders have {self.placeholders.codes.shape[1]} dimensions and the codebook "
                f"{self.codebook.shape[1]}; they must be equal."
            )
        if not np.array_equal(self.placeholders.index < 0, self.retained):
            raise InputError("an entity must have a placeholder exactly if it is not retained.")

    @property
    def retained_users(self) -> np.ndarray:
        """int64 [m_u], user indices of the retained users."""
        return np.flatnonzero(self.retained[: self.user_count])

    @property
    def retained_items(self) -> np.ndarray:
        """int64 [m_i], item indices of the retained items."""
        return np.flatnonzero(self.retained[self.user_count :])

    @property
    def is_full_table(self) -> bool:
        """Whether every retained entity has a code of its own, in their order, and there are no others."""
        rows = self.assignment[self.retained]
        return rows.shape == (self.code_count, 1) and np.array_equal(rows[:, 0], np.arange(self.code_count))

    def slots(self) -> tuple[np.ndarray, np.ndarray]:
        """The slot of every user, int32 [U], and of every item, int32 [I]."""
        users, items = slice(0, self.user_count), slice(self.user_count, None)
        index = self.placeholders.index
        return slots_of(self.retained[users], index[users]), slots_of(self.retained[items], index[items])

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings by slot, float32 [m_u + r_u, d] and [m_i + r_i, d].

        Retained: 1/(L+1) sum over l of A'^l S Q with the quantised codebook Q; pruned: their placeholders.
        The plain definition in scipy, which exported programs are compared with.
        """
        kept = self.assignment[self.retained]
        codes = Assignment(kept, self.code_count, self.anchor_weight, self.composition)
        quantised = dequantise(quantise(self.codebook, self.step, bits=self.bits), self.step)
        rows = compose_rows(codes, quantised)
        half = normalised_bipartite(self.graph)
        other = half.T.tocsr()
        users = user_sum = rows[: half.shape[0]]
        items = item_sum = rows[half.shape[0] :]
        for _ in range(self.layers):
            users, items = half @ items, other @ users
            user_sum, item_sum = user_sum + users, item_sum + items
        share = np.float32(1.0 / (self.layers + 1))
        user_rest, item_rest = self.placeholders.tables()
        return np.concatenate([user_sum * share, user_rest]), np.concatenate([item_sum * share, item_rest])

    def entity_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings by user and by item, float32 [U, d] and [I, d]."""
        (user_table, item_table), (user_slots, item_slots) = self.tables(), self.slots()
        return user_table[user_slots], item_table[item_slots]

    def to_stage(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Take the model apart into arrays and a JSON object, for :class:`lerg_edge.workdir.WorkDir`."""
        tensors = {
            "assignment": self.assignment,
            "codebook": self.codebook,
            "step": self.step,
            "retained": self.retained,
            "graph_indptr": self.graph.indptr,
            "graph_indices": self.graph.indices,
            "placeholder_codes": self.placeholders.codes,
            "placeholder_step": self.placeholders.step,
            "placeholder_index": self.placeholders.index,
        }
        numbers = {
            "user_count": self.user_count,
            "item_count": self.item_count,
            "anchor_weight": self.anchor_weight,
            "code_count": self.code_count,
            "bits": self.bits,
            "layers": self.layers,
            "composition": self.composition,
            "placeholder_bits": self.placeholders.bits,
            "placeholder_users": self.placeholders.user_count,
        }
        return tensors, numbers

    @classmethod
    def from_stage(cls, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> RewiredModel:
        """Put together what :meth:`to_stage` took apart.

        Raises:
            InputError: parts that do not fit together.
        """
        retained = tensors["retained"]
        users = int(retained[: numbers["user_count"]].sum())
        indices = tensors["graph_indices"]
        graph = sparse.csr_matrix(
            (np.ones(len(indices), np.float32), indices, tensors["graph_indptr"]),
            shape=(users, int(retained.sum()) - users),
        )
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
            tensors["assignment"],
            numbers["anchor_weight"],
            numbers["code_count"],
            tensors["codebook"],
            tensors["step"],
            numbers["bits"],
            numbers["layers"],
            retained,
            graph,
            placeholders,
            numbers["composition"],
        )
