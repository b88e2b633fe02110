"""The methods of graph propagation by operators of stock ExecuTorch alone."""

from __future__ import annotations

import torch

from lerg_edge.errors import InputError
from lerg_edge.model import RewiredModel
from lerg_exporter.limits import ProgramLimits
from lerg_exporter.methods import Method
from lerg_exporter.native_graph import native_graph_methods
from lerg_exporter.portable_constants import PortableConstants
from lerg_exporter.portable_modules import Encode, FineTune, Recommend
from lerg_exporter.signatures import stock_methods

__all__ = ["check_catalogue", "portable_graph_methods"]

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


def portable_graph_methods(model: RewiredModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`, with the inputs and outputs of the native ones
    but for types that stock Java lacks.

    Raises:
        InputError: the model has an empty side, or more items than ties can be told apart for.
    """
    check_catalogue(model.item_count)
    constants = PortableConstants.from_model(model)
    step = torch.tensor(model.step, dtype=torch.float32).reshape(-1)
    modules = {
        "finetune": FineTune(constants, torch.tensor(model.codebook), step, l2=limits.l2),
        "encode": Encode(constants),
        "recommend": Recommend(),
    }
    return stock_methods(native_graph_methods(model, limits), modules)
