"""What training minimises, by name: each objective says how an epoch is cut into batches and what one costs.

A new objective is a file with a record like `lerg_edge.training.in_batch.InBatchSoftmax`, and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.propagation.layers import BipartiteGraph, propagate
from lerg_edge.training.in_batch import InBatchSoftmax
from lerg_edge.training.losses import TripleBatch, bpr, row_penalty, sampled_softmax
from lerg_edge.training.sampling import epoch_batches

if TYPE_CHECKING:
    from lerg_edge.training.options import TrainingOptions

__all__ = ["OBJECTIVES", "Augmentation", "Objective", "OverTriples", "objective"]


class Objective(Protocol):
    """What training minimises; a batch is whatever `batches` gives, and its `len` its weight in a mean."""

    def batches(
        self,
        matrix: sparse.csr_matrix,
        *,
        batch: int,
        layers: int,
        rng: np.random.Generator,
        device: torch.device,
    ) -> Iterator[Any]:
        """Visit every interaction of [U, I] once, ``batch`` of them at most in a step."""

    def loss(
        self,
        rows: torch.Tensor,
        graph: BipartiteGraph,
        batch: Any,
        *,
        layers: int,
        l2: float,
        noise: torch.Generator | None,
    ) -> torch.Tensor:
        """Loss of a batch from the layer-0 rows [U + I, d], with its penalty of weight ``l2``."""


class Augmentation(Protocol):
    """What a recommender does otherwise than plain propagation, while it is trained.

    It belongs to training alone: what is validated, exported and fine-tuned on a device is plain propagation.
    """

    def __call__(
        self,
        graph: BipartiteGraph,
        rows: torch.Tensor,
        batch: TripleBatch,
        *,
        layers: int,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Propagate layer-0 rows for a step, differentiably.

        Args:
            graph: the normalised graph.
            rows: X, float32 [U + I, d], users first.
            batch: of the step.
            layers: L.
            generator: of whatever is random; on the rows' device.

        Returns:
            Propagated rows float32 [U + I, d], which the loss sees, and what is added to it, a scalar.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class OverTriples:
    """Losses over pairs with drawn negatives.

    Attributes:
        function: of all propagated rows and a batch.
        negatives: drawn against each interaction.
        augment: propagates in place of plain propagation, and adds to the loss.
    """

    function: Callable[[torch.Tensor, TripleBatch], torch.Tensor]
    negatives: int = 4
    augment: Augmentation | None = None

    def batches(
        self,
        matrix: sparse.csr_matrix,
        *,
        batch: int,
        layers: int,
        rng: np.random.Generator,
        device: torch.device,
    ) -> Iterator[TripleBatch]:
        """Draw the negatives of an epoch; see :func:`lerg_edge.training.sampling.epoch_batches`."""
        users, items = matrix.shape
        for drawn in epoch_batches(matrix, batch=batch, rng=rng, per_positive=self.negatives):
            yield TripleBatch.from_triples(drawn, user_count=users, item_count=items, device=device)

    def loss(
        self,
        rows: torch.Tensor,
        graph: BipartiteGraph,
        batch: TripleBatch,
        *,
        layers: int,
        l2: float,
        noise: torch.Generator | None,
    ) -> torch.Tensor:
        """Loss of the propagated rows plus l2/2 times the mean squared length of the batch's layer-0 rows.

        Args:
            noise: where an augmentation draws from; without it the rows are propagated plainly.
        """
        penalty = l2 * row_penalty(rows, batch)
        if self.augment is None or noise is None:
            return self.function(propagate(graph, rows, layers=layers), batch) + penalty
        augmented, addition = self.augment(graph, rows, batch, layers=layers, generator=noise)
        return self.function(augmented, batch) + addition + penalty


def _over_triples(function: Callable[[torch.Tensor, TripleBatch], torch.Tensor]) -> _Maker:
    def make(options: TrainingOptions) -> Objective:
        if options.loss_settings:
            raise InputError(f"{options.loss} has no settings; leave out {', '.join(options.loss_settings)}")
        return OverTriples(function=function, negatives=options.negatives, augment=options.augment)

    return make


def _in_batch(options: TrainingOptions) -> Objective:
    if options.augment is not None:
        raise InputError("augment goes with bpr or softmax and not with in-batch; leave one of them out")
    known = [field.name for field in fields(InBatchSoftmax)]
    for name in options.loss_settings:
        if name not in known:
            raise InputError(f"in-batch has no setting {name!r}; it has {', '.join(known)}")
    return InBatchSoftmax(**options.loss_settings)  # type: ignore[arg-type]


_Maker = Callable[["TrainingOptions"], Objective]
OBJECTIVES: Mapping[str, _Maker] = {
    "bpr": _over_triples(bpr),
    "softmax": _over_triples(sampled_softmax),
    "in-batch": _in_batch,
}


def objective(options: TrainingOptions) -> Objective:
    """The objective that training options name, with their settings.

    Raises:
        InputError: no objective of this name, or settings that it does not have or that are out of range.
    """
    if options.loss not in OBJECTIVES:
        *others, last = OBJECTIVES
        raise InputError(f"loss is {options.loss!r}; choose {', '.join(others)} or {last}")
    return OBJECTIVES[options.loss](options)
