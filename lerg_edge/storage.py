"""What a compressed model takes: bytes of its embeddings and multiplications of a propagation.

Source: the embedding storage of LERG, arXiv 2505.18999, in its tables: the codebook, the assignment, the
placeholders and who uses which, each in the smallest type that holds it. Graph, programs and id maps are not
part of this figure; a bundle counts them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lerg_edge.errors import InputError
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.pruning.rewired_model import RewiredModel

REFERENCE_DIM = 128
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class EmbeddingItems:
    """Embedding storage item by item, in bytes.

    Attributes:
        codebook: c rows of d integers of b bits.
        codebook_steps: float32, one or c of them.
        assignment: m rows of t indices below c; of k indices with folded propagation; none for a full table,
            in which row j is code j.
        assignment_weights: with folded propagation a byte an index, a byte a row, and the table of scales.
        placeholders: r rows of d integers.
        placeholder_step: float32.
        placeholder_indices: one for each pruned entity, below the number of its side's placeholders.
    """

    codebook: int
    codebook_steps: int
    assignment: int
    assignment_weights: int
    placeholders: int
    placeholder_step: int
    placeholder_indices: int


@dataclass(frozen=True, slots=True)
class StorageReport:
    """Embedding storage beside that of a full float table.

    Attributes:
        items: where the bytes go.
        embedding_bytes: their sum.
        baseline_bytes: N rows of ``reference_dim`` float32.
        reference_dim: dimension of the baseline, 128 unless another was asked for.
    """

    items: EmbeddingItems
    embedding_bytes: int
    baseline_bytes: int
    reference_dim: int

    @property
    def share(self) -> float:
        """Embedding storage as a part of the baseline, 1.0 for the same size."""
        return self.embedding_bytes / self.baseline_bytes


@dataclass(frozen=True, slots=True)
class PropagationCost:
    """Multiply-accumulates of one propagation of all entities.

    Attributes:
        full: over the full graph.
        rewired: over the rewired graph of the retained; None for a folded model.
        folded: from the entries of the retained; None for a model with a graph.
    """

    full: int
    rewired: int | None = None
    folded: int | None = None


def embedding_storage(
    model: RewiredModel | FoldedModel, *, reference_dim: int = REFERENCE_DIM
) -> StorageReport:
    """Count the embedding storage of a model.

    Raises:
        InputError: ``reference_dim`` is below 1.
    """
    if reference_dim < 1:
        raise InputError(f"reference_dim is {reference_dim}; it must be at least 1.")
    placeholders = model.placeholders
    pruned_users = int((~model.retained[: model.user_count]).sum())
    pruned_items = int((~model.retained[model.user_count :]).sum())
    retained = int(model.retained.sum())
    per_entity, weights = _assignment_sizes(model)
    items = EmbeddingItems(
        codebook=packed_bytes(*model.codebook.shape, bits=model.bits),
        codebook_steps=_FLOAT_BYTES * model.step.size,
        assignment=retained * per_entity * index_bytes(model.code_count),
        assignment_weights=weights,
        placeholders=packed_bytes(*placeholders.codes.shape, bits=placeholders.bits),
        placeholder_step=_FLOAT_BYTES * placeholders.step.size if placeholders.count else 0,
        placeholder_indices=pruned_users * index_bytes(placeholders.user_count)
        + pruned_items * index_bytes(placeholders.item_count),
    )
    entities = model.user_count + model.item_count
    return StorageReport(
        items, sum(asdict(items).values()), entities * reference_dim * _FLOAT_BYTES, reference_dim
    )


def _assignment_sizes(model: RewiredModel | FoldedModel) -> tuple[int, int]:
    """Indices of an entity, and the bytes of all weights."""
    if isinstance(model, RewiredModel):
        return 0 if model.is_full_table else model.assignment.shape[1], 0
    rows = model.rows
    return rows.entries, rows.weights.nbytes + rows.scales.nbytes + rows.scale_table.nbytes


def packed_bytes(rows: int, columns: int, *, bits: int) -> int:
    """Bytes of a table of ``bits``-wide integers; a row begins at a byte."""
    return rows * -(-columns * bits // 8)


def index_bytes(count: int) -> int:
    """Bytes of the smallest unsigned type that holds the indices 0 .. count - 1; 0 if there are none."""
    return np.min_scalar_type(count - 1).itemsize if count > 0 else 0


def propagation_macs(edges: int, *, dim: int, layers: int) -> int:
    """Multiply-accumulates of a propagation: each edge carries d numbers both ways in each layer."""
    return 2 * edges * dim * layers


def propagation_cost(model: RewiredModel | FoldedModel, *, full_edges: int) -> PropagationCost:
    """Compare propagation over the full graph, of ``full_edges`` interactions, with the model's own."""
    dim = model.codebook.shape[1]
    full = propagation_macs(full_edges, dim=dim, layers=model.layers)
    if isinstance(model, FoldedModel):
        return PropagationCost(full, folded=model.rows.entity_count * model.rows.entries * dim)
    return PropagationCost(full, rewired=propagation_macs(model.graph.nnz, dim=dim, layers=model.layers))
