"""Least squares for a codebook, whose equations are sparse and never written out."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["conjugate_gradients"]


def conjugate_gradients(
    normal: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    residual: torch.Tensor,
    *,
    iterations: int,
    by_column: bool = True,
) -> torch.Tensor:
    """Go some steps from `start` towards the solution of N X = B, N symmetric and positive definite.

    Args:
        normal: X to N X, float32 [c, d] both.
        start: float32 [c, d], left as it is.
        residual: B - N `start`, float32 [c, d], left as it is.
        iterations: steps.
        by_column: each column goes at a rate of its own, as if it were solved alone; else all at one rate.

    Returns:
        X after the steps, float32 [c, d].

    Source: Hestenes and Stiefel, Journal of Research of the National Bureau of Standards 49(6), 1952.
    """

    def total(table: torch.Tensor) -> torch.Tensor:
        return table.sum(dim=0) if by_column else table.sum()

    solution, direction = start.clone(), residual.clone()
    energy = total(residual.square())
    for _ in range(iterations):
        image = normal(direction)
        rate = energy / total(direction * image).clamp_min(1e-30)
        solution += rate * direction
        residual = residual - rate * image
        remaining = total(residual.square())
        direction = residual + (remaining / energy.clamp_min(1e-30)) * direction
        energy = remaining
    return solution
