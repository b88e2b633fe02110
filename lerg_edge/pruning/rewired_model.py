"""The outcome of the method: all that a program needs to fine-tune and to recommend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.compositions import COMPOSITIONS, check_blocks, check_composition
from lerg_edge.codes.embedding import compose_rows
from lerg_edge.codes.quantiser import dequantise, quantise
from lerg_edge.codes.widths import FLOAT_BITS, check_bits, unsigned_bytes
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import normalised_bipartite, propagation_macs
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
class RewiredModel:
    """A compressed recommender over the retained entities, with placeholders for the pruned.

    Slots are those of :class:`lerg_edge.pruning.model.CompressedModel`.

    Attributes:
        user_count: U.
        item_count: I.
        assignment: int32 [N, t], users first, rows of S for all entities; for sums column 0 is the anchor.
        anchor_weight: w*; means nothing with blocks.
        codebook_rows: c.
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
    codebook_rows: int
    codebook: np.ndarray
    step: np.ndarray
    bits: int
    layers: int
    retained: np.ndarray
    graph: sparse.csr_matrix
    placeholders: Placeholders
    composition: str = "sum"

    propagation: ClassVar[str] = "graph"
    kind: ClassVar[str] = "rewired"
    retained_users = property(retained_users)
    retained_items = property(retained_items)
    slots = slots
    entity_rows = entity_rows

    def __post_init__(self) -> None:
        check_bits(self.bits)
        check_composition(self.composition)
        check_model(self)
        entities, kept = len(self.retained), (len(self.retained_users), len(self.retained_items))
        if len(self.assignment) != entities:
            raise InputError(
                f"assignment has {len(self.assignment)} rows; the model has {entities} entities."
            )
        if self.graph.shape != kept:
            raise InputError(f"the rewired graph is {self.graph.shape}; {kept} entities are retained.")
        if self.bits == FLOAT_BITS and not np.array_equal(self.step, [1.0]):
            raise InputError("a codebook of 32 bits is not quantised; its step must be [1].")
        if (
            self.assignment.size
            and not 0 <= self.assignment.min() <= self.assignment.max() < self.codebook_rows
        ):
            raise InputError(f"assignment holds a code that is not between 0 and {self.codebook_rows - 1}.")
        blocks = COMPOSITIONS[self.composition].blocks(self.assignment.shape[1])
        check_blocks(blocks, self.codebook.shape[1])

    @property
    def is_full_table(self) -> bool:
        """Whether every retained entity has a code of its own, in their order, and there are no others."""
        rows = self.assignment[self.retained]
        return rows.shape == (self.codebook_rows, 1) and np.array_equal(
            rows[:, 0], np.arange(self.codebook_rows)
        )

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings by slot, float32 [m_u + r_u, d] and [m_i + r_i, d].

        Retained: 1/(L+1) sum over l of A'^l S Q with the quantised codebook Q; pruned: their placeholders.
        The plain definition in scipy, which exported programs are compared with.
        """
        kept = self.assignment[self.retained]
        codes = Assignment(kept, self.codebook_rows, self.anchor_weight, self.composition)
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
        return with_placeholders(self, np.concatenate([user_sum, item_sum]) * share)

    def sizes(self) -> dict[str, Any]:
        """Composition, codes per entity, edges, and the anchor weight of sums."""
        numbers = {
            "composition": self.composition,
            "codes_per_entity": int(self.assignment.shape[1]),
            "edges": int(self.graph.nnz),
        }
        weighted = COMPOSITIONS[self.composition].weighted
        return {**numbers, "anchor_weight": self.anchor_weight} if weighted else numbers

    def assignment_bytes(self) -> tuple[int, int]:
        """What codes take, none for a full table, whose row j is code j; weights follow from the anchor's."""
        stored = 0 if self.is_full_table else self.assignment.shape[1]
        return int(self.retained.sum()) * stored * unsigned_bytes(self.codebook_rows), 0

    def macs(self) -> int:
        """Of propagation over the rewired graph."""
        return propagation_macs(self.graph.nnz, dim=self.codebook.shape[1], layers=self.layers)

    def to_stage(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Take the model apart into arrays and a JSON object, for :class:`lerg_edge.workdir.WorkDir`."""
        tensors, numbers = common_to_stage(self)
        tensors |= {
            "assignment": self.assignment,
            "graph_indptr": self.graph.indptr,
            "graph_indices": self.graph.indices,
        }
        numbers |= {
            "anchor_weight": self.anchor_weight,
            "codebook_rows": self.codebook_rows,
            "composition": self.composition,
        }
        return tensors, numbers

    @classmethod
    def from_stage(cls, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> RewiredModel:
        """Put together what :meth:`to_stage` took apart.

        Raises:
            InputError: parts that do not fit together.
        """
        common = common_from_stage(tensors, numbers)
        kept = common["retained"]
        users, indices = int(kept[: common["user_count"]].sum()), tensors["graph_indices"]
        graph = sparse.csr_matrix(
            (np.ones(len(indices), np.float32), indices, tensors["graph_indptr"]),
            shape=(users, int(kept.sum()) - users),
        )
        others = {name: numbers[name] for name in ("anchor_weight", "codebook_rows", "composition")}
        return cls(assignment=tensors["assignment"], graph=graph, **others, **common)
