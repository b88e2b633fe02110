"""The methods' inputs, outputs and what varies in them: the same whatever operators compute them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch.export import Dim

from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_runtime.bundle import pack

__all__ = [
    "ModelConstants",
    "encode_method",
    "finetune_method",
    "program_methods",
    "recommend_method",
    "step_tensor",
    "stock_methods",
]


class ModelConstants(Protocol):
    """What the signatures of a model's methods depend on, of either propagation."""

    @property
    def codebook_rows(self) -> int:
        """Rows of the codebook."""

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""

    @property
    def bits(self) -> int:
        """Width of a codebook element."""

    @property
    def item_slots(self) -> int:
        """Rows of the item table."""


def program_methods(
    modules: Mapping[str, torch.nn.Module],
    constants: ModelConstants,
    limits: ProgramLimits,
    *,
    step: np.ndarray,
    items: int,
) -> dict[str, Method]:
    """`finetune`, `encode` and `recommend`, each computed by the module of that name.

    Args:
        constants: of the model.
        step: of the model's codebook, float32 [1] or [c].
        items: size of the catalogue.
    """
    return {
        "finetune": finetune_method(modules["finetune"], limits),
        "encode": encode_method(
            modules["encode"],
            codebook_rows=constants.codebook_rows,
            dim=constants.dim,
            bits=constants.bits,
            step=step_tensor(step),
        ),
        "recommend": recommend_method(
            modules["recommend"], limits, items=items, item_slots=constants.item_slots, dim=constants.dim
        ),
    }


def stock_methods(methods: Mapping[str, Method]) -> dict[str, Method]:
    """These methods as stock ExecuTorch runs them, with inputs that stock Java can make.

    Its tensors have neither booleans nor int16: `seen` is uint8, and 16-bit codes are their bytes, the lower
    one first, uint8 [c, 2 d].
    """
    java = {torch.bool: torch.uint8, torch.int16: torch.uint8}
    return {
        name: replace(
            method,
            stock=True,
            inputs={
                key: value.view(java.get(value.dtype, value.dtype)) for key, value in method.inputs.items()
            },
        )
        for name, method in methods.items()
    }


def finetune_method(module: torch.nn.Module, limits: ProgramLimits) -> Method:
    """`finetune` of a module from slots of users, positives and negatives, int64 [B], to (loss,)."""
    batch = _dimension("batch", least=2, most=limits.max_batch)
    names = ("users", "positives", "negatives")
    return Method(
        module=module,
        inputs={name: torch.zeros(min(8, limits.max_batch), dtype=torch.int64) for name in names},
        dynamic={name: _varying({0: batch}) for name in names},
        outputs=("loss",),
        trains=True,
    )


def encode_method(
    module: torch.nn.Module, *, codebook_rows: int, dim: int, bits: int, step: torch.Tensor
) -> Method:
    """`encode` of a module from the packed codebook [c, d] and its step to the tables of users and items."""
    packed = pack(np.zeros((codebook_rows, dim), dtype=np.int8), bits=bits)
    return Method(
        module=module,
        inputs={"codebook": torch.from_numpy(packed), "step": step},
        dynamic={},
        outputs=("user_table", "item_table"),
    )


def recommend_method(
    module: torch.nn.Module, limits: ProgramLimits, *, items: int, item_slots: int, dim: int
) -> Method:
    """`recommend` of a module; users and ranks vary.

    Args:
        items: size of the catalogue.
        item_slots: rows of the item table.
    """
    max_k = min(items, limits.max_k)
    users = _dimension("users", least=1, most=limits.max_users)
    ranks = _dimension("ranks", least=1, most=max_k)
    rows = min(3, limits.max_users)
    return Method(
        module=module,
        inputs={
            "user_rows": torch.zeros(rows, dim),
            "item_table": torch.zeros(item_slots, dim),
            "item_slots": torch.zeros(items, dtype=torch.int32),
            "seen": torch.zeros(rows, items, dtype=torch.bool),
            "ranks": torch.arange(min(5, max_k)),
        },
        dynamic={
            "user_rows": _varying({0: users}),
            "seen": _varying({0: users}),
            "ranks": _varying({0: ranks}),
        },
        outputs=("items", "scores"),
    )


def step_tensor(step: np.ndarray) -> torch.Tensor:
    """A model's step as the programs take it, float32 [1] or [c]."""
    return torch.tensor(step, dtype=torch.float32).reshape(-1)


def _dimension(name: str, *, least: int, most: int) -> Any:
    """A dynamic dimension, or None where its range is one value and there is nothing to vary."""
    return Dim(name, min=least, max=most) if most > least else None


def _varying(dimensions: dict[int, Any]) -> dict[int, Any]:
    return {axis: dimension for axis, dimension in dimensions.items() if dimension is not None}
