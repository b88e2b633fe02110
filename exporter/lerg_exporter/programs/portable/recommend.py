"""`recommend` by operators of stock ExecuTorch alone, the same for either propagation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from lerg_edge.errors import InputError

__all__ = ["Recommend", "check_catalogue"]

_MOST_ITEMS = 1 << 24
"""Beyond it a float64 has no room for an item's index beside a float32 score."""


def check_catalogue(items: int) -> None:
    """Refuse a catalogue that `Recommend` cannot rank.

    Raises:
        InputError: there are more items than ties can be told apart for.
    """
    if items > _MOST_ITEMS:
        raise InputError(
            f"there are {items} items and the portable lowering ranks up to {_MOST_ITEMS}; "
            "use --lowering native"
        )


class Recommend(torch.nn.Module):
    """The best unseen items of each user row, by descending score and then ascending item index.

    The stock `topk` breaks ties as it comes. Its input is therefore a float64 key that no two items share:
    a score has 24 significant bits and the key 53, so that the item's index fits in between, as a part of
    2^-26 at most of the score's magnitude. Scores of 0 and subnormal ones differ by 2^-149 at least, and a
    fixed part of that separates them. Items that share a slot have one score, which is worked out by slot.

    Shapes:
        user_rows: float32 [B, d]; item_table: float32 [m_i + r_i, d]; item_slots: int32 [I];
        seen: uint8 [B, I], 0 for what may be recommended; ranks: int64 [K], of which only the length matters.
        returns (int64 [B, K] item indices, -1 where candidates ran out; float32 [B, K], -inf there).
    """

    def forward(
        self, user_rows: Tensor, item_table: Tensor, item_slots: Tensor, seen: Tensor, ranks: Tensor
    ) -> tuple[Tensor, Tensor]:
        by_slot = torch.mm(item_table, user_rows.t())
        scores = functional.embedding(item_slots, by_slot).t()
        open_to = torch.logical_and(scores > -math.inf, torch.logical_not(seen))
        best, items = torch.topk(torch.where(open_to, _distinct(scores), -math.inf), ranks.shape[0], dim=1)
        found = best > -math.inf
        return (
            torch.where(found, items, -1),
            torch.where(found, scores.gather(1, items), -math.inf),
        )


def _distinct(scores: Tensor) -> Tensor:
    """Float64 keys [B, I] that order as the scores do, and equal scores by ascending item."""
    items = scores.shape[1]
    # A power of two that is no smaller than the catalogue: an index times a part of it is exact.
    catalogue = 1 << max(1, (items - 1).bit_length())
    largest = torch.finfo(torch.float32).max
    wide = scores.to(torch.float64).clamp(-largest, largest)
    part = (wide.abs() * (2.0**-26 / catalogue)).clamp(min=2.0**-151 / catalogue)
    return wide - part * torch.arange(items, dtype=torch.float64)
