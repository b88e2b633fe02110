"""Sparse approximation: each row as a few weighted rows of a codebook.

Source: orthogonal matching pursuit, Pati, Rezaiifar and Krishnaprasad, Asilomar 1993.
"""

from __future__ import annotations

import torch

_RIDGE = 1e-6  # of the mean squared length of the chosen codes: two of them may point the same way
_TINY = 1e-20
_NOTHING_LEFT = 1e-10  # of a row's squared length
_MOST_ROWS = 4096
_BLOCK_FLOATS = 4  # arrays of [block, c] that are alive at a time


def pursue(
    rows: torch.Tensor, codebook: torch.Tensor, *, entries: int, memory_limit: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Approximate rows by k codes each, greedily: the code nearest to what is left, then the best weights.

    Args:
        rows: float32 [n, d].
        codebook: float32 [c, d].
        entries: k, 1 <= k <= c.
        memory_limit: most bytes of the similarities that are held at a time; at least one row's are.

    Returns:
        Codes int64 [n, k], none twice in a row, and weights float32 [n, k].
    """
    lengths = torch.linalg.vector_norm(codebook, dim=1, keepdim=True)
    directions = (codebook / lengths.clamp_min(_TINY)).T.contiguous()
    row_floats = _BLOCK_FLOATS * len(codebook) + (entries + 4) * rows.shape[1]
    block = max(1, min(len(rows), memory_limit // (4 * row_floats), _MOST_ROWS))
    codes = torch.empty(len(rows), entries, dtype=torch.int64)
    weights = torch.zeros(len(rows), entries)
    for first in range(0, len(rows), block):
        part = rows[first : first + block]
        chosen, needed = _choose(part, codebook, directions, entries)
        codes[first : first + block] = chosen
        weights[first : first + block, :needed] = _weights(part, codebook[chosen[:, :needed]])
    return codes, weights


def _choose(
    rows: torch.Tensor, codebook: torch.Tensor, directions: torch.Tensor, entries: int
) -> tuple[torch.Tensor, int]:
    """Codes [n, k] in the order in which they are taken, the lowest of equals first.

    Also tells how many of them are needed: with as many codes as dimensions nothing is left to approximate,
    and the rest of a row is filled up with codes that it does not have.
    """
    enough = _NOTHING_LEFT * rows.square().sum(1)
    left = rows.clone()
    basis: list[torch.Tensor] = []
    chosen = torch.empty(len(rows), 0, dtype=torch.int64)
    for taken in range(entries):
        if taken and bool((left.square().sum(1) <= enough).all()):
            return _filled(chosen, entries, len(codebook)), taken
        similarity = (left @ directions).abs_()
        similarity.scatter_(1, chosen, -1.0)
        best = similarity.argmax(dim=1, keepdim=True)
        chosen = torch.cat([chosen, best], dim=1)
        # What the chosen codes span is taken out of the rest one orthogonal direction at a time.
        fresh = codebook[best[:, 0]]
        for direction in basis:
            fresh = fresh - (fresh * direction).sum(1, keepdim=True) * direction
        fresh = fresh / torch.linalg.vector_norm(fresh, dim=1, keepdim=True).clamp_min(_TINY)
        basis.append(fresh)
        left -= (left * fresh).sum(1, keepdim=True) * fresh
    return chosen, entries


def _filled(chosen: torch.Tensor, entries: int, codebook_rows: int) -> torch.Tensor:
    """Rows of codes [n, j] made up to `entries`, some free codes after them."""
    is_free = torch.ones(len(chosen), codebook_rows, dtype=torch.bool).scatter_(1, chosen, False)
    lowest = torch.topk(is_free.to(torch.float32), entries - chosen.shape[1], dim=1).indices
    return torch.cat([chosen, lowest], dim=1)


def _weights(rows: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Least squares weights [n, k] of the chosen codes [n, k, d], with a very small ridge."""
    gram = chosen @ chosen.transpose(1, 2)
    diagonal = torch.diagonal(gram, dim1=1, dim2=2)
    diagonal += _RIDGE * diagonal.mean(1, keepdim=True) + _TINY
    factor = torch.linalg.cholesky(gram)
    return torch.cholesky_solve(chosen @ rows.unsqueeze(2), factor).squeeze(2)
