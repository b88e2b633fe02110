"""LSQ, the learned-step-size quantiser of the codebook.

A width of 32 bits stands for no quantisation: values stay float32, and their step is 1.

Source: LSQ, arXiv 1902.08153, equations 1 to 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from lerg_edge.codes.widths import FLOAT_BITS, WIDTHS, bounds

_SMALLEST_STEP = 1e-8
_TRIALS = 41
_ROUNDS = 4


class _FakeQuantise(torch.autograd.Function):
    """Straight-through estimator with LSQ's gradient for the step."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, step: torch.Tensor, bits: int) -> torch.Tensor:
        low, high = bounds(bits)
        scaled = weights / step
        rounded = torch.round(torch.clamp(scaled, low, high))
        ctx.save_for_backward(scaled, rounded)
        ctx.limits = (low, high)
        ctx.step_shape = step.shape
        return rounded * step

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        grad = grads[0]
        scaled, rounded = ctx.saved_tensors
        low, high = ctx.limits
        inside = (scaled >= low) & (scaled <= high)
        # Outside the range `rounded` is Q_N or Q_P, which is the derivative there.
        per_weight = grad * torch.where(inside, rounded - scaled, rounded)
        sharing = scaled.numel() // math.prod(ctx.step_shape)
        total = per_weight.sum(dim=1, keepdim=True) if math.prod(ctx.step_shape) > 1 else per_weight.sum()
        scale = 1.0 / math.sqrt(sharing * high)
        return grad * inside, (total * scale).reshape(ctx.step_shape), None


def fake_quantise(weights: torch.Tensor, step: torch.Tensor, *, bits: int) -> torch.Tensor:
    """Round weights to the grid of a learned step and stay differentiable.

    Forward: step * round(clip(weights / step, Q_N, Q_P)), halves to even. Backward: the gradient passes to
    ``weights`` where weights / step lies in [Q_N, Q_P]; to ``step`` it is multiplied by round(v) - v inside
    and by the bound outside (v = weights / step), summed over the weights that share a step and scaled by 1 /
    sqrt(n * Q_P), n their number.

    Args:
        weights: floating point [c, d].
        step: [1] for the whole codebook or [c, 1] for one a row; positive.
        bits: 4, 8 or 16.
    """
    return _FakeQuantise.apply(weights, step, bits)


def initial_step(weights: torch.Tensor, *, bits: int, per_row: bool = False) -> torch.Tensor:
    """Start the step at 2 * mean(|v|) / sqrt(Q_P); returns [1], or [c, 1] if ``per_row``."""
    _, high = bounds(bits)
    magnitude = weights.detach().abs()
    mean = magnitude.mean(dim=1, keepdim=True) if per_row else magnitude.mean().reshape(1)
    return (2.0 * mean / math.sqrt(high)).clamp_min(_SMALLEST_STEP)


def least_error_step(values: np.ndarray, *, bits: int, per_row: bool = False) -> np.ndarray:
    """Find the step that quantises an array with the least squared error: what to round a finished table by.

    A geometric grid between the step that clips nothing and a small part of it is refined around its best.

    Args:
        values: float32 [c, d].
        bits: 4, 8 or 16, or 32, whose step is 1.
        per_row: a step for each row.

    Returns:
        float32 [1], or [c] if ``per_row``; positive, 1 where all is zero.
    """
    if bits == FLOAT_BITS:
        return np.ones(1, np.float32)
    low, high = bounds(bits)
    table = np.asarray(values, np.float32).reshape(len(values) if per_row else 1, -1)
    largest = np.abs(table).max(axis=1, initial=0.0).astype(np.float64)
    empty = largest == 0.0
    clipping_none = np.log(np.where(empty, high, largest) / high)
    first, last = clipping_none + np.log(0.05), clipping_none + np.log(1.1)
    best = last
    for _ in range(_ROUNDS):
        trials = np.linspace(first, last, _TRIALS)
        errors = []
        for step in np.exp(trials).astype(np.float32):
            rounded = np.rint(np.clip(table / step[:, None], low, high)) * step[:, None]
            errors.append(np.square(rounded - table, dtype=np.float64).sum(axis=1))
        best = np.take_along_axis(trials, np.argmin(errors, axis=0)[None], axis=0)[0]
        width = trials[1] - trials[0]
        first, last = best - width, best + width
    return np.where(empty, 1.0, np.exp(best)).astype(np.float32)


def quantise(weights: np.ndarray, step: np.ndarray, *, bits: int) -> np.ndarray:
    """Round latent weights to the integers that are stored.

    >>> integers = quantise(np.array([[0.26, -0.74, 9.0]]), np.array([0.5]), bits=4)
    >>> integers, dequantise(integers, np.array([0.5]))
    (array([[ 1, -1,  7]], dtype=int8), array([[ 0.5, -0.5,  3.5]], dtype=float32))

    Args:
        weights: float32 [c, d].
        step: float32 [1], [c] or [c, 1].
        bits: 4, 8 or 16, or 32 for the weights themselves.

    Returns:
        [c, d], int8 for 4 and 8 bits, int16 for 16 bits, float32 for 32 bits.
    """
    if bits == FLOAT_BITS:
        return np.array(weights, np.float32)
    low, high = bounds(bits)
    scaled = np.asarray(weights, np.float32) / _as_column(step)
    return np.rint(np.clip(scaled, low, high)).astype(WIDTHS[bits].stored)


def dequantise(codes: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Multiply stored numbers [c, d] by their step ([1], [c] or [c, 1]); returns float32 [c, d]."""
    return codes.astype(np.float32) * _as_column(step)


def _as_column(step: np.ndarray) -> np.ndarray:
    return np.asarray(step, np.float32).reshape(-1, 1)
