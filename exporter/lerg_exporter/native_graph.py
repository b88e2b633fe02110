"""The methods of graph propagation by the operators of the lerg namespace."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.export import Dim

from lerg_edge.model import RewiredModel
from lerg_exporter.constants import GraphConstants
from lerg_exporter.graph_modules import Encode, FineTune, Recommend
from lerg_exporter.limits import ProgramLimits
from lerg_exporter.methods import Method
from lerg_runtime.bundle import pack

__all__ = ["native_graph_methods"]


def native_graph_methods(model: RewiredModel, limits: ProgramLimits) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend` of `model`; batch, users and ranks vary up to `limits`.

    Raises:
        InputError: the model has an empty side.
    """
    constants = GraphConstants.from_model(model)
    return {
        "finetune": _finetune(model, constants, limits),
        "encode": _encode(model, constants, limits),
        "recommend": _recommend(model, constants, limits),
    }


def _finetune(model: RewiredModel, constants: GraphConstants, limits: ProgramLimits) -> Method:
    module = FineTune(
        constants, torch.tensor(model.codebook), _step(model), l2=limits.l2, layer_bits=limits.layer_bits
    )
    batch = _dimension("batch", least=2, most=limits.max_batch)
    names = ("users", "positives", "negatives")
    return Method(
        module=module,
        inputs={name: torch.zeros(min(8, limits.max_batch), dtype=torch.int64) for name in names},
        dynamic={name: _varying({0: batch}) for name in names},
        outputs=("loss",),
        trains=True,
    )


def _encode(model: RewiredModel, constants: GraphConstants, limits: ProgramLimits) -> Method:
    codes = pack(np.zeros((constants.code_count, constants.dim), dtype=np.int8), bits=constants.bits)
    return Method(
        module=Encode(constants, layer_bits=limits.layer_bits),
        inputs={"codes": torch.from_numpy(codes), "step": _step(model)},
        dynamic={},
        outputs=("user_table", "item_table"),
    )


def _recommend(model: RewiredModel, constants: GraphConstants, limits: ProgramLimits) -> Method:
    max_k = min(model.item_count, limits.max_k)
    users = _dimension("users", least=1, most=limits.max_users)
    ranks = _dimension("ranks", least=1, most=max_k)
    rows = min(3, limits.max_users)
    return Method(
        module=Recommend(),
        inputs={
            "user_rows": torch.zeros(rows, constants.dim),
            "item_table": torch.zeros(constants.item_slots, constants.dim),
            "item_slots": torch.zeros(model.item_count, dtype=torch.int32),
            "seen": torch.zeros(rows, model.item_count, dtype=torch.bool),
            "ranks": torch.arange(min(5, max_k)),
        },
        dynamic={
            "user_rows": _varying({0: users}),
            "seen": _varying({0: users}),
            "ranks": _varying({0: ranks}),
        },
        outputs=("items", "scores"),
    )


def _step(model: RewiredModel) -> torch.Tensor:
    return torch.tensor(model.step, dtype=torch.float32).reshape(-1)


def _dimension(name: str, *, least: int, most: int) -> Any:
    """A dynamic dimension, or None where its range is one value and there is nothing to vary."""
    return Dim(name, min=least, max=most) if most > least else None


def _varying(dimensions: dict[int, Any]) -> dict[int, Any]:
    return {axis: dimension for axis, dimension in dimensions.items() if dimension is not None}
