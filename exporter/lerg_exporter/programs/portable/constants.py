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

from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.graph_constants import GraphConstants
from lerg_exporter.programs.portable.composition import ComposedRows, code_weights, composed_rows
from lerg_exporter.programs.portable.gathers import GatherPlan, chunk_entries

__all__ = ["PortableConstants", "stored_index"]


@dataclass(frozen=True, slots=True, eq=False)
class PortableConstants:
    """What graph propagation by gathers stores. m entities are retained, the codebook has c rows.

    Attributes:
        packed: the constants that both lowerings share: placeholders, widths, counts.
        neighbours: the rewired graph, both directions; rows and table are the entities.
        composed: one for each block that an entity's row is cut into, one for a row that is a sum.
        weights: of an entity's first code in a sum, and of each other one if it has others.
        degrees: int64 [m], at least 1.
        user_rows, item_rows: int64 [slots of the side], the entity of a slot, or m for a placeholder.
        retained: users and items that are retained; slots from there on are placeholders.
    """

    packed: GraphConstants
    neighbours: GatherPlan
    composed: tuple[ComposedRows, ...]
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
        users, items = model.graph.shape
        adjacency = sparse.bmat([[None, model.graph], [model.graph.T, None]], format="csr")
        degrees = np.diff(adjacency.indptr).astype(np.int64)
        order = np.lexsort((-degrees, np.arange(len(degrees)) >= users, degrees == 0))
        inner = np.empty(len(order), np.int64)
        inner[order] = np.arange(len(order))
        adjacency = adjacency[order][:, order].tocsr()
        adjacency.sort_indices()
        codes = np.concatenate([packed.user_codes.numpy(), packed.item_codes.numpy()]).astype(np.int64)[order]
        sides = (
            (inner[:users], len(packed.user_placeholders)),
            (inner[users:], len(packed.item_placeholders)),
        )
        rows = [np.append(kept, np.full(others, len(order))) for kept, others in sides]
        return cls(
            packed=packed,
            neighbours=GatherPlan.of(
                adjacency.indptr, adjacency.indices, table_rows=len(order), most=chunk_entries(packed.dim)
            ),
            composed=composed_rows(
                codes, codebook_rows=packed.codebook_rows, dim=packed.dim, blocks=packed.blocks
            ),
            weights=code_weights(codes.shape[1], packed.anchor_weight),
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
