"""What a method of a program is before it is traced. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Method"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a program before it is traced.

    Attributes:
        module: what is traced.
        inputs: example inputs by name, in call order.
        dynamic: the dimensions that vary, by input name and axis, as torch.export takes them.
        outputs: names of the module's own outputs.
        trains: export the joint forward and backward graph; the first output is the loss.
        stock: lower to operators of stock ExecuTorch alone, and plan memory for outputs too, which its own
            runtimes expect.
    """

    module: torch.nn.Module
    inputs: Mapping[str, torch.Tensor]
    dynamic: Mapping[str, Mapping[int, Any]]
    outputs: tuple[str, ...]
    trains: bool = False
    stock: bool = False
