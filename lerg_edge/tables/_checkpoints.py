"""Checkpoints of torch: parameters by their names, weights only."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerg_edge.errors import InputError
from lerg_edge.tables._arrays import unreadable
from lerg_edge.tables._source import Source
from lerg_edge.tables.given import as_rows

__all__ = ["has_parameters", "read_parameters"]

_DEPTH = 3


def has_parameters(source: Source, names: tuple[str, ...]) -> bool:
    """Whether a file of torch speaks of all of these parameters."""
    return all(name.encode() in source.pickle for name in names)


def read_parameters(source: Source, names: tuple[str, ...]) -> list[NDArray[np.float32]]:
    """Parameters as float32 [n, d], from a state dict or one that a checkpoint holds.

    Args:
        names: of the parameters, which may have something before them, as `module.` of DataParallel.

    Raises:
        InputError: the file is damaged, holds more than weights, or lacks one of them.
    """
    import torch

    path = source.path
    with unreadable(path, "a checkpoint of torch"):
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            unsafe = re.search(r"(?:GLOBAL|class) `?([\w.]+)", str(error))
            raise InputError(
                f"{path}: holds more than weights{f' ({unsafe[1]})' if unsafe else ''}, and nothing else is "
                "ever unpickled; where you trust it, write its weights alone: "
                "torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
            ) from error
        tensors = dict(_tensors(found, _DEPTH))
        return [_one(tensors, name, f"{path}: {name}") for name in names]


def _tensors(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Every tensor with its name, those of a state dict within a checkpoint too."""
    if not isinstance(value, Mapping):
        return
    for name, each in value.items():
        if hasattr(each, "detach") and isinstance(name, str):
            yield name, each
        elif depth > 1:
            yield from _tensors(each, depth - 1)


def _one(tensors: Mapping[str, Any], name: str, what: str) -> NDArray[np.float32]:
    fitting = [each for each in tensors if each == name or each.endswith(f".{name}")]
    if len(fitting) != 1:
        raise InputError(f"{what}: there are {len(fitting)} such parameters; give a checkpoint with one")
    tensor = tensors[fitting[0]].detach()
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex():
        raise InputError(f"{what}: is no plain table of numbers; save it as one")
    return as_rows(tensor.float().numpy(), what)
