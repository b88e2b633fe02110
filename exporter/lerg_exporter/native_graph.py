"""The methods of graph propagation by the operators of the lerg namespace."""

from __future__ import annotations

import torch

from lerg_edge.model import RewiredModel
from lerg_exporter.constants import GraphConstants
from lerg_exporter.graph_modules import Encode, FineTune, Recommend
from lerg_exporter.limits import ProgramLimits
from lerg_exporter.methods import Method
from lerg_exporter.signatures import encode_method, finetune_method, recommend_method, step_tensor

__all__ = ["native_graph_methods"]


def native_graph_methods(model: RewiredModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`; batch, users and ranks vary up to `limits`.

    Raises:
        InputError: the model has an empty side.
    """
    constants = GraphConstants.from_model(model)
    step = step_tensor(model.step)
    finetune = FineTune(
        constants, torch.tensor(model.codebook), step, l2=limits.l2, layer_bits=limits.layer_bits
    )
    return {
        "finetune": finetune_method(finetune, limits),
        "encode": encode_method(
            Encode(constants, layer_bits=limits.layer_bits),
            codes=constants.code_count,
            dim=constants.dim,
            bits=constants.bits,
            step=step_tensor(model.step),
        ),
        "recommend": recommend_method(
            Recommend(), limits, items=model.item_count, item_slots=constants.item_slots, dim=constants.dim
        ),
    }
