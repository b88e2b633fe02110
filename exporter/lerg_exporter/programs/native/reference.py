"""The operators that train and encode in plain torch: what the native kernels must compute.

Written to be read and trusted, not to be fast.  Works in the floating-point type of its inputs, so that tests
can run it in float64.  Codes and indices may be uint8, uint16 or int32.  The operators that rank stand in
`lerg_exporter.programs.native.ranking_reference`.

The graph is four tensors: assignment rows of the retained users [m_u, t] and items [m_i, t], and the rewired
graph as compressed sparse rows by user, `indptr` [m_u + 1] and `indices` [E].  With S the assignment (first
code weighted by the anchor weight, the others sharing the rest), Q the codebook, R the graph of ones and
A = D^-1/2 [[0, R], [R^T, 0]] D^-1/2, the propagated rows are H = 1/(L+1) sum_l A^l S Q
(LightGCN, arXiv 2002.02126, equations 4 to 6).  `layer_bits`, 32 or 16, is how kernels store the rows between
layers; here nothing is stored.  With `blocks` a row of S Q is cut into t equal blocks, block j that of the
codebook row that the entity's code j names; the anchor weight means nothing then.

Folded rows are four tensors and a number: `codes` [n, k], `weights` int8 [n, k], `scales` uint8 [n] and
`scale_table` [256], users' rows before items', `retained_users` of them. Row i is
scale_table[scales[i]] * sum_j weights[i, j] * Q[codes[i, j]].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lerg_edge.codes.widths import FLOAT_BITS, WIDTHS

__all__ = [
    "dequantise",
    "fake_quantise",
    "fake_quantise_grad_codebook",
    "fake_quantise_grad_step",
    "folded_loss",
    "folded_loss_grad",
    "folded_rows",
    "folded_table",
    "propagate_rows",
    "propagate_rows_grad",
    "propagate_table",
]


def fake_quantise(codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    """step * round(clip(codebook / step, Q_N, Q_P)), halves to even (LSQ, arXiv 1902.08153, equations 1, 2).

    With 32 bits the codebook itself. Shapes: codebook [c, d]; step [1] or [c]; returns [c, d].
    """
    if bits == FLOAT_BITS:
        return codebook.clone()
    low, high = _levels(bits)
    return torch.round(torch.clamp(codebook / step[:, None], low, high)) * step[:, None]


def fake_quantise_grad_codebook(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    """Straight-through gradient (LSQ, equation 5): `grad` inside the clip range, 0 outside; [c, d]."""
    if bits == FLOAT_BITS:
        return grad.clone()
    return torch.where(_inside(codebook / step[:, None], bits), grad, 0.0)


def fake_quantise_grad_step(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    """Gradient of the step (LSQ, equations 3 and 4), shaped as `step`.

    Scaled by 1 / sqrt(n * Q_P), n the number of weights that share the step. With 32 bits it is 0.
    """
    if bits == FLOAT_BITS:
        return torch.zeros_like(step)
    low, high = _levels(bits)
    scaled = codebook / step[:, None]
    rounded = torch.round(torch.clamp(scaled, low, high))
    slope = torch.where(_inside(scaled, bits), rounded - scaled, rounded)
    sharing = codebook.numel() // step.numel()
    total = (grad * slope).sum(1) if step.numel() > 1 else (grad * slope).sum()[None]
    return total / math.sqrt(sharing * high)


def dequantise(packed: Tensor, step: Tensor, bits: int) -> Tensor:
    """Stored integers times their step; with 32 bits the stored floats themselves.

    Shapes: codes int8 (8 bits), int16 (16) or float32 (32) [c, d], or uint8 [c, d / 2] for 4 bits, element 2j
    in the low nibble and 2j + 1 in the high one, two's complement; step [1] or [c]; returns [c, d].
    """
    if bits == FLOAT_BITS:
        return packed.clone()
    parts = WIDTHS[bits].per_byte
    if parts > 1:
        half, mask = 1 << (bits - 1), (1 << bits) - 1
        fields = torch.stack([(packed >> bits * place) & mask for place in range(parts)], dim=-1)
        packed = (fields.flatten(1).to(torch.int16) ^ half) - half
    return packed.to(step.dtype) * step[:, None]


def propagate_rows(
    codebook: Tensor,
    user_codes: Tensor,
    item_codes: Tensor,
    indptr: Tensor,
    indices: Tensor,
    placeholders: Tensor,
    rows: Tensor,
    side: int,
    layers: int,
    anchor_weight: float,
    layer_bits: int = 32,
    blocks: bool = False,
) -> Tensor:
    """Propagated rows of the slots `rows` of one side (0 users, 1 items); 0 layers gives rows of S Q.

    Shapes: codebook [c, d]; placeholders [r_side, d], slots m_side and up; rows int64 [B]; returns [B, d].
    """
    graph = (user_codes, item_codes, indptr, indices)
    table = propagate_table(codebook, *graph, placeholders, side, layers, anchor_weight, layer_bits, blocks)
    return table[rows]


def propagate_rows_grad(
    grad: Tensor,
    user_codes: Tensor,
    item_codes: Tensor,
    indptr: Tensor,
    indices: Tensor,
    rows: Tensor,
    side: int,
    layers: int,
    anchor_weight: float,
    codebook_rows: int,
    layer_bits: int = 32,
    blocks: bool = False,
) -> Tensor:
    """Gradient of the codebook: propagation is linear and A symmetric, so it is S^T (1/(L+1) sum_l A^l) grad.

    Shapes: grad [B, d]; returns [codebook_rows, d].  Placeholder slots give nothing, repeated slots add up.
    """
    sides = [grad.new_zeros(len(codes), grad.shape[1]) for codes in (user_codes, item_codes)]
    retained = rows < len(sides[side])
    sides[side].index_add_(0, rows[retained], grad[retained])
    users, items = _propagate(sides[0], sides[1], indptr, indices, layers)
    result = grad.new_zeros(codebook_rows, grad.shape[1])
    for propagated, codes in ((users, user_codes), (items, item_codes)):
        for column, (weight, part) in enumerate(_terms(codes, anchor_weight, grad.shape[1], blocks)):
            result[:, part].index_add_(0, codes[:, column].long(), weight * propagated[:, part])
    return result


def propagate_table(
    codebook: Tensor,
    user_codes: Tensor,
    item_codes: Tensor,
    indptr: Tensor,
    indices: Tensor,
    placeholders: Tensor,
    side: int,
    layers: int,
    anchor_weight: float,
    layer_bits: int = 32,
    blocks: bool = False,
) -> Tensor:
    """Propagated rows of one side by slot, its placeholders last; [m_side + r_side, d]."""
    composed = [_compose(codebook, codes, anchor_weight, blocks) for codes in (user_codes, item_codes)]
    propagated = _propagate(composed[0], composed[1], indptr, indices, layers)
    return torch.cat((propagated[side], placeholders))


def folded_rows(
    codebook: Tensor,
    step: Tensor,
    codes: Tensor,
    weights: Tensor,
    scales: Tensor,
    scale_table: Tensor,
    placeholders: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    retained_users: int,
    user_placeholders: int,
    bits: int,
) -> Tensor:
    """Rows of a batch of slots, users', then positives', then negatives', of the fake-quantised codebook.

    Shapes: codebook [c, d], latent; step [1] or [c]; placeholders [r, d], users' first; users, positives and
    negatives int64 [B]; returns [3 B, d].
    """
    folded = _fold(fake_quantise(codebook, step, bits), codes, weights, scales, scale_table)
    sides = [
        torch.cat((folded[:retained_users], placeholders[:user_placeholders])),
        torch.cat((folded[retained_users:], placeholders[user_placeholders:])),
    ]
    return torch.cat((sides[0][users], sides[1][positives], sides[1][negatives]))


def folded_loss(
    rows: Tensor,
    codebook: Tensor,
    step: Tensor,
    codes: Tensor,
    weights: Tensor,
    scales: Tensor,
    scale_table: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    retained_users: int,
    bits: int,
    l2: float,
) -> Tensor:
    """mean softplus(h_u . h_n - h_u . h_p) + l2 / 2 * mean(|h_u|^2 + |h_p|^2 + |h_n|^2), a scalar.

    BPR, arXiv 1205.2618, equation 4. Shapes: rows [3 B, d], users', then positives', then negatives', which
    `folded_rows` made of all that follows them: towards that the loss is differentiated, and not by the rows.
    """
    user, positive, negative = rows.chunk(3)
    loss = torch.nn.functional.softplus((user * (negative - positive)).sum(1)).mean()
    return loss + 0.5 * l2 * (rows * rows).sum() / len(user)


def folded_loss_grad(
    grad: Tensor,
    rows: Tensor,
    codes: Tensor,
    weights: Tensor,
    scales: Tensor,
    scale_table: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    retained_users: int,
    codebook_rows: int,
    l2: float,
) -> Tensor:
    """Gradient of `folded_loss` towards the quantised codebook, [codebook_rows, d], times the scalar `grad`.

    Placeholder slots give nothing, repeated slots add up.
    """
    user, positive, negative = rows.chunk(3)
    share = grad / len(user)
    slope = share * torch.sigmoid((user * (negative - positive)).sum(1, keepdim=True))
    by_row = torch.cat((slope * (negative - positive), -slope * user, slope * user)) + l2 * share * rows
    places = torch.cat((users, retained_users + positives, retained_users + negatives))
    limits = torch.full_like(places, len(codes))
    limits[: len(users)] = retained_users
    kept = places < limits
    factors = weights.to(rows.dtype) * scale_table.to(rows.dtype)[scales.long()][:, None]
    result = rows.new_zeros(codebook_rows, rows.shape[1])
    for column in range(codes.shape[1]):
        chosen = places[kept]
        result.index_add_(0, codes[chosen, column].long(), factors[chosen, column, None] * by_row[kept])
    return result


def folded_table(
    packed: Tensor,
    step: Tensor,
    codes: Tensor,
    weights: Tensor,
    scales: Tensor,
    scale_table: Tensor,
    placeholders: Tensor,
    retained_users: int,
    user_placeholders: int,
    side: int,
    bits: int,
) -> Tensor:
    """Rows of one side by slot, its placeholders last, from the packed codebook; [m_side + r_side, d]."""
    rows = (slice(None, retained_users), slice(retained_users, None))[side]
    rest = (slice(None, user_placeholders), slice(user_placeholders, None))[side]
    codebook = dequantise(packed, step, bits)
    folded = _fold(codebook, codes[rows], weights[rows], scales[rows], scale_table)
    return torch.cat((folded, placeholders[rest]))


def _fold(codebook: Tensor, codes: Tensor, weights: Tensor, scales: Tensor, scale_table: Tensor) -> Tensor:
    factors = weights.to(codebook.dtype) * scale_table.to(codebook.dtype)[scales.long()][:, None]
    rows = codebook.new_zeros(len(codes), codebook.shape[1])
    for column in range(codes.shape[1]):
        rows += factors[:, column, None] * codebook[codes[:, column].long()]
    return rows


def _levels(bits: int) -> tuple[int, int]:
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _inside(scaled: Tensor, bits: int) -> Tensor:
    low, high = _levels(bits)
    return (scaled >= low) & (scaled <= high)


def _terms(codes: Tensor, anchor_weight: float, dim: int, blocks: bool) -> list[tuple[float, slice]]:
    """By code of a row: its weight, and the columns that it takes part in."""
    per_row = codes.shape[1]
    if blocks:
        width = dim // per_row
        return [(1.0, slice(code * width, (code + 1) * width)) for code in range(per_row)]
    others = [(1.0 - anchor_weight) / (per_row - 1)] * (per_row - 1) if per_row > 1 else []
    return [(weight, slice(None)) for weight in ([anchor_weight, *others] if others else [1.0])]


def _compose(codebook: Tensor, codes: Tensor, anchor_weight: float, blocks: bool) -> Tensor:
    rows = codebook.new_zeros(len(codes), codebook.shape[1])
    for column, (weight, part) in enumerate(_terms(codes, anchor_weight, codebook.shape[1], blocks)):
        rows[:, part] += weight * codebook[codes[:, column].long(), part]
    return rows


def _propagate(
    users: Tensor, items: Tensor, indptr: Tensor, indices: Tensor, layers: int
) -> tuple[Tensor, Tensor]:
    """Mean over layers 0..L of A^l applied to both sides' rows."""
    size = (len(users), len(items))
    columns = indices.long()
    user_degrees = (indptr[1:] - indptr[:-1]).long()
    item_degrees = torch.bincount(columns, minlength=size[1])
    # An entity without edges has no entry in which its degree would be divided by.
    row_of_edge = torch.repeat_interleave(torch.arange(size[0], device=users.device), user_degrees)
    values = (user_degrees[row_of_edge] * item_degrees[columns]).to(users.dtype).rsqrt()
    to_users = torch.sparse_coo_tensor(
        torch.stack((row_of_edge, columns)), values, size, check_invariants=False
    )
    to_items = to_users.t()
    user_sum, item_sum = users, items
    for _ in range(layers):
        users, items = to_users @ items, to_items @ users
        user_sum, item_sum = user_sum + users, item_sum + items
    return user_sum / (layers + 1), item_sum / (layers + 1)
