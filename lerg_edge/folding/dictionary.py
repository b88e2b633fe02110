"""Folding by sparse approximation: a codebook, and k weighted codes an entity, that together meet H.

The k largest entries of P throw away what the others carry. Choosing entries *and* codebook so that k of them
come as close as they can to the propagated rows H keeps nearly all of it: on gowalla k = 8 leaves 3 to 8 % of
H's squared length, where P's 32 largest entries hold 71 % of their row.

Source: the method of optimal directions, Engan, Aase and Husoy, ICASSP 1999: approximate the rows, solve for
the codebook, and again. That the rows are approximated once more with the quantised codebook, so that they
make up for its rounding, is this project's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from lerg_edge.codes.conjugate_gradients import conjugate_gradients
from lerg_edge.codes.quantiser import dequantise, quantise
from lerg_edge.codes.widths import bounds
from lerg_edge.errors import InputError
from lerg_edge.folding.matrix import DEFAULT_MEMORY_LIMIT, FoldedRows
from lerg_edge.folding.pursuit import pursue
from lerg_edge.propagation.sparse_rows import SparseRows

__all__ = ["Dictionary", "approximate", "learn_dictionary"]

_ROUNDS = 4
_SAMPLE = 24_000
_ROWS_PER_CODE = 4  # of the sample at least, or a code would be fitted to very few rows
_RIDGE = 1e-3
_SOLVER_ITERATIONS = 20
_LEAST_USES = 2
_MOST_ENTRIES_SHARE = 0.25
_STEP_SHARES = np.geomspace(0.08, 1.0, 28)


@dataclass(frozen=True, slots=True, eq=False)
class Dictionary:
    """A codebook that rows are approximated with.

    Attributes:
        codebook: float32 [c, d], latent.
        step: float32 [1].
        bits: 4, 8 or 16.
    """

    codebook: np.ndarray
    step: np.ndarray
    bits: int

    def quantised(self) -> np.ndarray:
        """The codebook as a device has it, float32 [c, d]."""
        return dequantise(quantise(self.codebook, self.step, bits=self.bits), self.step)


def learn_dictionary(
    rows: np.ndarray,
    *,
    codebook_rows: int,
    entries: int,
    bits: int,
    seed: int,
    rounds: int = _ROUNDS,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
) -> Dictionary:
    """Learn a codebook for rows that are to be approximated by k codes each.

    Args:
        rows: float32 [n, d], the propagated rows of retained entities. Give it rows that have not seen the
            validation pairs.
        codebook_rows: c.
        entries: k.
        bits: width of a stored element.
        seed: of the rows that it starts from.
        rounds: how often codes and codebook are fitted to each other.
        memory_limit: most bytes that similarities of rows and codes may take at a time.

    Raises:
        InputError: k above c, or more codes than rows.
    """
    bounds(bits)
    if not 1 <= entries <= codebook_rows:
        raise InputError(f"entries is {entries}; it must lie between 1 and codebook_rows, {codebook_rows}")
    if codebook_rows > len(rows):
        raise InputError(
            f"codebook_rows is {codebook_rows} and there are {len(rows)} rows; use at most as many codes"
        )
    rng = np.random.default_rng([seed, 4])
    sample = max(_SAMPLE, _ROWS_PER_CODE * codebook_rows)
    if len(rows) > sample:
        rows = rows[np.sort(rng.choice(len(rows), sample, replace=False))]
    target = torch.from_numpy(np.array(rows, np.float32))
    codebook = target[torch.from_numpy(rng.permutation(len(target))[:codebook_rows])].clone()
    # Rows of d numbers leave nothing to learn from well before k reaches d.
    fitted = min(entries, max(1, round(_MOST_ENTRIES_SHARE * rows.shape[1])))
    for _ in range(rounds):
        chosen, weights = pursue(target, codebook, entries=fitted, memory_limit=memory_limit)
        codebook = _fit(target, chosen, weights, codebook)
        _replace_unused(codebook, target, chosen, weights)
    latent = codebook.numpy()
    return Dictionary(latent, _best_step(latent, bits=bits), bits)


def approximate(
    rows: np.ndarray, dictionary: Dictionary, *, entries: int, memory_limit: int = DEFAULT_MEMORY_LIMIT
) -> FoldedRows:
    """Approximate rows [n, d] by k weighted codes each of the dictionary as it will be stored."""
    codebook = torch.from_numpy(dictionary.quantised())
    chosen, weights = pursue(
        torch.from_numpy(np.ascontiguousarray(rows, np.float32)),
        codebook,
        entries=entries,
        memory_limit=memory_limit,
    )
    return FoldedRows.quantised(chosen.numpy(), weights.numpy(), codebook_rows=len(codebook))


def _fit(
    target: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor, codebook: torch.Tensor
) -> torch.Tensor:
    """Solve min |W E - H|^2 + ridge |E|^2 for E by conjugate gradients, starting from the old codebook."""
    count, width = chosen.shape
    starts = np.arange(0, count * width + 1, width, dtype=np.int64)
    matrix = sparse.csr_matrix(
        (weights.numpy().reshape(-1), chosen.numpy().reshape(-1), starts), shape=(count, len(codebook))
    )
    forward, back = SparseRows.from_csr(matrix), SparseRows.from_csr(matrix.T.tocsr())

    def normal(table: torch.Tensor) -> torch.Tensor:
        return back.product(forward.product(table)) + _RIDGE * table

    residual = back.product(target) - normal(codebook)
    return conjugate_gradients(normal, codebook, residual, iterations=_SOLVER_ITERATIONS)


def _replace_unused(
    codebook: torch.Tensor, target: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor
) -> None:
    """Give codes that hardly any row takes to the rows that are approximated worst."""
    uses = torch.bincount(chosen.reshape(-1), minlength=len(codebook))
    unused = torch.nonzero(uses < _LEAST_USES)[:, 0]
    found = torch.nn.functional.embedding_bag(chosen, codebook, per_sample_weights=weights, mode="sum")
    errors = (found - target).square().sum(1)
    worst = torch.sort(errors, descending=True, stable=True).indices[: len(unused)]
    codebook[unused[: len(worst)]] = target[worst]


def _best_step(codebook: np.ndarray, *, bits: int) -> np.ndarray:
    """The step of the smallest squared rounding error among parts of the one that clips nothing."""
    _, high = bounds(bits)
    widest = float(np.abs(codebook).max(initial=0.0)) / high
    if widest == 0.0:
        return np.ones(1, np.float32)
    steps = [np.array([widest * share], np.float32) for share in _STEP_SHARES]
    errors = [
        float(np.square(dequantise(quantise(codebook, step, bits=bits), step) - codebook).mean())
        for step in steps
    ]
    return steps[int(np.argmin(errors))]
