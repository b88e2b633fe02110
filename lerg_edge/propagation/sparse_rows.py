"""Sparse matrix times dense table, the one heavy operation of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """A sparse matrix whose rows are weighted bags of rows of a dense table.

    The product is an embedding bag: on a CPU that is a vectorised kernel with prefetching, three to four
    times faster than torch's CSR product, and every output row is summed in stored order by one thread, so a
    result does not depend on the number of threads.

    Shapes:
        indices: int32 [n], the columns, row after row.
        offsets: int32 [rows + 1], where each row begins; the last entry is n.
        weights: floating point [n].
    """

    indices: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def from_csr(
        cls,
        matrix: sparse.csr_matrix,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> SparseRows:
        """Take over a scipy CSR matrix, duplicates within a row included."""
        return cls(
            torch.from_numpy(matrix.indices.astype(np.int32)).to(device),
            torch.from_numpy(matrix.indptr.astype(np.int32)).to(device),
            torch.from_numpy(np.asarray(matrix.data)).to(device=device, dtype=dtype),
        )

    def product(self, table: torch.Tensor) -> torch.Tensor:
        """Multiply by a dense table [columns, d]; returns [rows, d] of the same dtype. Not differentiable."""
        return functional.embedding_bag(
            self.indices,
            table.detach(),
            self.offsets,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )
