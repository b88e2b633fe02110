"""The operators that rank in plain torch: what the native kernels must compute.

As `lerg_exporter.programs.native.reference`, written to be read and trusted, in the floating-point type of
its inputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "quantise_rows",
    "row_scales",
    "score_items",
    "score_items_int8",
    "top_items",
    "top_items_int8",
]


def top_items(
    user_rows: Tensor, item_table: Tensor, item_slots: Tensor, seen: Tensor, ranks: Tensor
) -> Tensor:
    """The K best items of each user that are not `seen`, by score descending, ties by item ascending.

    Shapes: user_rows [B, d]; item_table [S, d]; item_slots int32 [I]; seen bool [B, I]; ranks int64 [K], of
    which only the length matters; returns int64 [B, K], -1 where fewer candidates than K exist.
    """
    return _best(user_rows @ item_table[item_slots.long()].T, seen, len(ranks))


def score_items(user_rows: Tensor, item_table: Tensor, item_slots: Tensor, items: Tensor) -> Tensor:
    """Scores of `items` int64 [B, K], [B, K]; -inf where an item is -1."""
    chosen = item_table[item_slots.long()[items.clamp(min=0)]]
    return (user_rows[:, None, :] * chosen).sum(2).masked_fill(items < 0, -math.inf)


def row_scales(table: Tensor) -> Tensor:
    """What a code of each row's int8 form is worth: its largest magnitude / 127; [rows]."""
    return table.abs().amax(1) / 127


def quantise_rows(table: Tensor) -> Tensor:
    """Rows as int8 codes of their `row_scales`, halves to even; zeros where a row is zero or not finite."""
    scales = row_scales(table)[:, None]
    codes = torch.where((scales > 0) & scales.isfinite(), torch.round(table / scales), 0.0)
    return codes.clamp(-127, 127).to(torch.int8)


def top_items_int8(
    user_rows: Tensor,
    item_codes: Tensor,
    item_scales: Tensor,
    item_slots: Tensor,
    seen: Tensor,
    ranks: Tensor,
) -> Tensor:
    """As `top_items`, by the scores of `score_items_int8`."""
    return _best(_code_scores(user_rows, item_codes, item_scales)[:, item_slots.long()], seen, len(ranks))


def score_items_int8(
    user_rows: Tensor, item_codes: Tensor, item_scales: Tensor, item_slots: Tensor, items: Tensor
) -> Tensor:
    """Scores of `items` from an int8 table, [B, K]; -inf where an item is -1.

    A user's row is quantised as the items' are.  The sum of products is an exact integer; it is multiplied
    by the item's scale, then by the user's.

    Shapes: user_rows [B, d]; item_codes int8 [S, d]; item_scales [S]; item_slots int32 [I]; items [B, K].
    """
    slots = item_slots.long()[items.clamp(min=0)]
    scores = _code_scores(user_rows, item_codes, item_scales).gather(1, slots)
    return scores.masked_fill(items < 0, -math.inf)


def _best(scores: Tensor, seen: Tensor, wanted: int) -> Tensor:
    """The `wanted` best items of each row of scores [B, I] that are not seen, -1 after the last."""
    nothing = -math.inf
    scores = scores.masked_fill(seen, nothing)
    scores = torch.where(scores.isnan(), nothing, scores)
    values, items = torch.sort(scores, dim=1, descending=True, stable=True)
    best = torch.where(values > nothing, items, -1)[:, :wanted]
    return torch.nn.functional.pad(best, (0, wanted - best.shape[1]), value=-1)


def _code_scores(user_rows: Tensor, item_codes: Tensor, item_scales: Tensor) -> Tensor:
    """Every slot's score, [B, S]."""
    products = quantise_rows(user_rows).to(torch.int64) @ item_codes.to(torch.int64).T
    user_scales = row_scales(user_rows)[:, None]
    scores = products.to(torch.float32).to(user_rows.dtype) * item_scales * user_scales
    return torch.where(user_scales.isfinite(), scores, math.nan)
