"""Training pairs as matrices, made once: all of them, and as validation cuts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.data.interactions import Interactions
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.training.options import TrainingOptions
from lerg_edge.training.pretraining import validation_cut

__all__ = ["Cut"]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What a model is trained on.

    Attributes:
        train: the training pairs.
        matrix: all of them, float32 [U, I].
        split: those that training sees, and those that validation asks for.
    """

    train: Interactions
    matrix: sparse.csr_matrix
    split: ValidationSplit

    @classmethod
    def of(cls, train: Interactions, training: TrainingOptions) -> Cut:
        """Cut training pairs as the trainer's settings say."""
        matrix = train.matrix()
        return cls(train, matrix, validation_cut(matrix, training))

    def part(self, matrix: sparse.csr_matrix) -> Interactions:
        """Those of the training pairs that are in `matrix`."""
        train = self.train
        users = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        wanted = users * train.item_count + matrix.indices
        keys = train.users.astype(np.int64) * train.item_count + train.items
        return train.subset(np.isin(keys, wanted, assume_unique=True))
