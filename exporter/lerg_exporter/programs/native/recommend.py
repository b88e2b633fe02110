"""`recommend` by the operators of the `lerg` namespace, the same for either propagation.

An int8 item table is made by a wrapper of whatever `encode` makes the float32 one, and ranked from by a
`recommend` of its own: a row is stored as its codes, whole numbers of -127 to 127, and one float32 scale.
User rows are quantised likewise, so that scores are exact integers times two scales, the same on every
machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lerg_exporter.programs.method import Method
from lerg_exporter.programs.native import ops as _ops  # noqa: F401  the import defines torch.ops.lerg

__all__ = ["EncodeInt8", "Recommend", "RecommendInt8", "with_int8_items"]


class Recommend(torch.nn.Module):
    """The best unseen items of each user row, by descending score and then ascending item index.

    Shapes:
        user_rows: float32 [B, d]; item_table: float32 [m_i + r_i, d]; item_slots: int32 [I];
        seen: bool [B, I]; ranks: int64 [K], of which only the length matters.
        returns (int64 [B, K] item indices, -1 where candidates ran out; float32 [B, K], -inf there).
    """

    def forward(
        self, user_rows: Tensor, item_table: Tensor, item_slots: Tensor, seen: Tensor, ranks: Tensor
    ) -> tuple[Tensor, Tensor]:
        items = torch.ops.lerg.top_items(user_rows, item_table, item_slots, seen, ranks)
        return items, torch.ops.lerg.score_items(user_rows, item_table, item_slots, items)


class EncodeInt8(torch.nn.Module):
    """Any `encode`, its item table quantised row by row.

    Shapes:
        packed, step: as the encode that is wrapped takes them.
        returns (float32 [m_u + r_u, d], int8 [m_i + r_i, d], float32 [m_i + r_i]).
    """

    def __init__(self, encode: torch.nn.Module) -> None:
        super().__init__()
        self.encode = encode

    def forward(self, packed: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        user_table, item_table = self.encode(packed, step)
        item_codes = torch.ops.lerg.quantise_rows(item_table)
        return user_table, item_codes, torch.ops.lerg.row_scales(item_table)


class RecommendInt8(torch.nn.Module):
    """The best unseen items of each user row, by descending score and then ascending item index.

    Shapes:
        user_rows: float32 [B, d]; item_codes: int8 [m_i + r_i, d]; item_scales: float32 [m_i + r_i];
        item_slots: int32 [I]; seen: bool [B, I]; ranks: int64 [K], of which only the length matters.
        returns (int64 [B, K] item indices, -1 where candidates ran out; float32 [B, K], -inf there).
    """

    def forward(
        self,
        user_rows: Tensor,
        item_codes: Tensor,
        item_scales: Tensor,
        item_slots: Tensor,
        seen: Tensor,
        ranks: Tensor,
    ) -> tuple[Tensor, Tensor]:
        table = (user_rows, item_codes, item_scales, item_slots)
        items = torch.ops.lerg.top_items_int8(*table, seen, ranks)
        return items, torch.ops.lerg.score_items_int8(*table, items)


def with_int8_items(methods: Mapping[str, Method]) -> dict[str, Method]:
    """The same methods, `encode` and `recommend` with an int8 item table."""
    encode, recommend = methods["encode"], methods["recommend"]
    inputs: dict[str, Tensor] = {}
    for name, tensor in recommend.inputs.items():
        if name == "item_table":
            inputs["item_codes"] = torch.zeros(tensor.shape, dtype=torch.int8)
            inputs["item_scales"] = torch.zeros(tensor.shape[0])
        else:
            inputs[name] = tensor
    return {
        **methods,
        "encode": replace(
            encode, module=EncodeInt8(encode.module), outputs=("user_table", "item_codes", "item_scales")
        ),
        "recommend": replace(recommend, module=RecommendInt8(), inputs=inputs),
    }
