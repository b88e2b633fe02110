"""What a compressed model takes: bytes of its embeddings and multiplications of a propagation.

Source: the embedding storage of LERG, arXiv 2505.18999, in its tables: the codebook, the assignment, the
placeholders and who uses which, each in the smallest type that holds it. Graph, programs and id maps are not
part of this figure; a bundle counts them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lerg_edge.codes.widths import packed_bytes, unsigned_bytes
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import propagation_macs
from lerg_edge.pruning.model import CompressedModel

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


def embedding_storage(model: CompressedModel, *, reference_dim: int = REFERENCE_DIM) -> StorageReport:
    """Count the embedding storage of a model.

    Raises:
        InputError: ``reference_dim`` is below 1.
    """
    if reference_dim < 1:
        raise InputError(f"reference_dim is {reference_dim}; it must be at least 1.")
    placeholders = model.placeholders
    pruned_users = int((~model.retained[: model.user_count]).sum())
    pruned_items = int((~model.retained[model.user_count :]).sum())
    assignment, weights = model.assignment_bytes()
    items = EmbeddingItems(
        codebook=packed_bytes(*model.codebook.shape, bits=model.bits),
        codebook_steps=_FLOAT_BYTES * model.step.size,
        assignment=assignment,
        assignment_weights=weights,
        placeholders=packed_bytes(*placeholders.codes.shape, bits=placeholders.bits),
        placeholder_step=_FLOAT_BYTES * placeholders.step.size if placeholders.count else 0,
        placeholder_indices=pruned_users * unsigned_bytes(placeholders.user_count)
        + pruned_items * unsigned_bytes(placeholders.item_count),
    )
    entities = model.user_count + model.item_count
    return StorageReport(
        items, sum(asdict(items).values()), entities * reference_dim * _FLOAT_BYTES, reference_dim
    )


def propagation_cost(model: CompressedModel, *, full_edges: int) -> dict[str, int]:
    """Multiply-accumulates of one propagation of all entities: `full`, and of the model by its kind.

    Args:
        full_edges: interactions of the full graph.
    """
    full = propagation_macs(full_edges, dim=model.codebook.shape[1], layers=model.layers)
    return {"full": full, model.kind: model.macs()}
