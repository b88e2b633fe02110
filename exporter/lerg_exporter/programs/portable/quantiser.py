"""LSQ's quantiser and its gradients by the stock operators that do the same in the least time."""

from __future__ import annotations

import torch
from torch import Tensor

from lerg_edge.codes.widths import FLOAT_BITS, WIDTHS, bounds

__all__ = ["dequantised", "quantise", "quantise_gradients"]

_NO_FRACTION = 1.5 * 2.0**23


def quantise(codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    """As `programs.native.reference.fake_quantise`: codebook float32 [c, d], step float32 [1] or [c]."""
    if bits == FLOAT_BITS:
        return codebook.clone()
    return _rounded((codebook / step.unsqueeze(1)).clamp(*bounds(bits))) * step.unsqueeze(1)


def quantise_gradients(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """As `fake_quantise_grad_codebook` and `fake_quantise_grad_step` of `programs.native.reference`.

    A weight is within the clip range where clipping leaves it; the stock `where` takes far longer than a
    product.
    """
    if bits == FLOAT_BITS:
        return grad.clone(), torch.zeros_like(step)
    low, high = bounds(bits)
    scaled = codebook / step.unsqueeze(1)
    clipped = scaled.clamp(low, high)
    inside = (clipped == scaled).to(torch.float32)
    moved = grad * (_rounded(clipped) - scaled * inside)
    total = moved.sum(1) if step.shape[0] > 1 else moved.reshape(1, -1).sum(1)
    return grad * inside, total * (high * codebook.numel() // step.shape[0]) ** -0.5


def _rounded(values: Tensor) -> Tensor:
    """The nearest integers, halves to even, of float32 values below 2^22 in magnitude.

    A sum of that size has no room for a fraction. The stock `round` takes far longer than two sums.
    """
    return values + _NO_FRACTION - _NO_FRACTION


def dequantised(packed: Tensor, step: Tensor, *, bits: int) -> Tensor:
    """Packed integers times their step, float32 [rows, d]; stock kernels shift no bits, so what shares a byte
    is divided out.

    Integers of 16 bits come as int16, or as their bytes, uint8 [rows, 2 d], the lower one first. With 32 bits
    they are float32 already and stay what they are.
    """
    if bits == FLOAT_BITS:
        return packed
    values = packed.to(torch.float32)
    parts = WIDTHS[bits].per_byte
    if parts > 1:
        span, fields = 2.0**bits, []
        for _ in range(parts - 1):
            high = torch.floor(values * (1.0 / span))
            fields.append(values - span * high)
            values = high
        elements = torch.stack((*fields, values), dim=-1).flatten(1)
        values = elements - span * (elements >= span / 2).to(torch.float32)
    elif bits > 8 and packed.dtype == torch.uint8:
        pairs = values.view(values.shape[0], -1, 2)
        high = pairs.select(2, 1)
        values = pairs.select(2, 0) + 256.0 * (high - 256.0 * (high >= 128.0).to(torch.float32))
    return values * step.unsqueeze(1)
