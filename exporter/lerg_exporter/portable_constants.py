"""A rewired model as the constant tensors of its portable programs.

Inside these programs the retained entities stand in an order of their own, users and then items by falling
number of neighbours, and last those without any: so the rows of the graph come out of their chunks where
they belong, and a chunk gathers from one side alone, whose rows a cache holds sooner than those of both. A
table of entities has one row more, of zeros, which pads chunks and stands for every pruned entity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from lerg_edge.model import RewiredModel
from lerg_exporter.constants import GraphConstants
from lerg_exporter.gathers import GatherPlan, chunk_entries, longest_first, transposed

__all__ = ["PortableConstants", "stored_index"]


@dataclass(frozen=True, slots=True, eq=False)
class PortableConstants:
    """What graph propagation by gathers stores. m entities are retained, the codebook has c rows.

    Attributes:
        packed: the constants that both lowerings share: placeholders, widths, counts.
        neighbours: the rewired graph, both directions; rows and table are the entities.
        composed: entities [m] as sums of weighted codes: row k of the codebook by weight w is row
            w * c + k of the table.
        members: its transpose, rows in the order `member_order`.
        member_place: int64 [w * c + 1], where each row of `composed`'s table, its zero row included, is
            among the rows of `members`.
        weights: of an entity's first code, and of each other one if it has others.
        degrees: int64 [m], at least 1.
        user_rows, item_rows: int64 [slots of the side], the entity of a slot, or m for a placeholder.
        retained: users and items that are retained; slots from there on are placeholders.
    """

    packed: GraphConstants
    neighbours: GatherPlan
    composed: GatherPlan
    members: GatherPlan
    member_place: np.ndarray
    weights: tuple[float, ...]
    degrees: np.ndarray
    user_rows: np.ndarray
    item_rows: np.ndarray
    retained: tuple[int, int]

    @classmethod
    def from_model(cls, model: RewiredModel) -> PortableConstants:
        """The constants of `model`.

        Raises:
            InputError: see `GraphConstants.from_model`.
        """
        packed = GraphConstants.from_model(model)
        most = chunk_entries(packed.dim)
        users, items = model.graph.shape
        adjacency = sparse.bmat([[None, model.graph], [model.graph.T, None]], format="csr")
        degrees = np.diff(adjacency.indptr).astype(np.int64)
        order = np.lexsort((-degrees, np.arange(len(degrees)) >= users, degrees == 0))
        inner = np.empty(len(order), np.int64)
        inner[order] = np.arange(len(order))
        adjacency = adjacency[order][:, order].tocsr()
        adjacency.sort_indices()
        codes = np.concatenate([packed.user_codes.numpy(), packed.item_codes.numpy()]).astype(np.int64)[order]
        weights, shift = _weights(codes.shape[1], packed.anchor_weight), np.zeros(codes.shape[1], np.int64)
        shift[1:] = packed.code_count
        indptr, entries = np.arange(len(codes) + 1) * codes.shape[1], (codes + shift).reshape(-1)
        table_rows = packed.code_count * len(weights)
        members, member_place = _members(indptr, entries, entities=len(codes), codes=table_rows, most=most)
        sides = (
            (inner[:users], len(packed.user_placeholders)),
            (inner[users:], len(packed.item_placeholders)),
        )
        rows = [np.append(kept, np.full(others, len(order))) for kept, others in sides]
        return cls(
            packed=packed,
            neighbours=GatherPlan.of(adjacency.indptr, adjacency.indices, table_rows=len(order), most=most),
            composed=GatherPlan.of(indptr, entries, table_rows=table_rows, most=most),
            members=members,
            member_place=member_place,
            weights=weights,
            degrees=np.maximum(degrees[order], 1),
            user_rows=rows[0],
            item_rows=rows[1],
            retained=(users, items),
        )


def stored_index(values: np.ndarray, *, count: int) -> tuple[torch.Tensor, int]:
    """Indices below `count` in the fewest bytes that stock kernels can widen, and what to add to them then.

    uint8, int16 (less 32,768 where that is needed to fit) or int32.
    """
    if count <= 1 << 8:
        return torch.from_numpy(values.astype(np.uint8)), 0
    if count > 1 << 16:
        return torch.from_numpy(values.astype(np.int32)), 0
    offset = 0 if count <= 1 << 15 else 1 << 15
    return torch.from_numpy((values - offset).astype(np.int16)), offset


def _weights(per_entity: int, anchor_weight: float) -> tuple[float, ...]:
    """Different weights of an entity's codes, the first code's first."""
    if per_entity == 1:
        return (1.0,)
    return anchor_weight, (1.0 - anchor_weight) / (per_entity - 1)


def _members(
    indptr: np.ndarray, entries: np.ndarray, *, entities: int, codes: int, most: int
) -> tuple[GatherPlan, np.ndarray]:
    by_code = sparse.csr_matrix(
        (np.ones(len(entries), np.int8), *reversed(transposed(indptr, entries, columns=codes))),
        shape=(codes, entities),
    )
    order = longest_first(np.diff(by_code.indptr))
    ordered = by_code[order]
    place = np.empty(codes + 1, np.int64)
    place[order] = np.arange(codes)
    place[codes] = codes
    return GatherPlan.of(ordered.indptr, ordered.indices, table_rows=entities, most=most), place
