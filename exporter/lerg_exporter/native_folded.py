"""The methods of folded propagation by the operators of the lerg namespace."""

from __future__ import annotations

import torch

from lerg_edge.folded_model import FoldedModel
from lerg_exporter.folded_constants import FoldedConstants
from lerg_exporter.folded_modules import Encode, FineTune
from lerg_exporter.graph_modules import Recommend
from lerg_exporter.limits import ProgramLimits
from lerg_exporter.methods import Method
from lerg_exporter.signatures import encode_method, finetune_method, recommend_method, step_tensor

__all__ = ["native_folded_methods"]


def native_folded_methods(model: FoldedModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`; batch, users and ranks vary up to `limits`.

    Raises:
        InputError: the model has an empty side.
    """
    constants = FoldedConstants.from_model(model)
    finetune = FineTune(constants, torch.tensor(model.codebook), step_tensor(model.step), l2=limits.l2)
    return {
        "finetune": finetune_method(finetune, limits),
        "encode": encode_method(
            Encode(constants),
            codes=constants.code_count,
            dim=constants.dim,
            bits=constants.bits,
            step=step_tensor(model.step),
        ),
        "recommend": recommend_method(
            Recommend(), limits, items=model.item_count, item_slots=constants.item_slots, dim=constants.dim
        ),
    }
