"""Golden examples of a model's programs: random inputs, answered by the eager modules themselves.

How they are stored is told in `lerg_runtime.golden`, which checks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from lerg_edge.codes.widths import FLOAT_BITS, bounds
from lerg_exporter.programs.method import Method
from lerg_runtime.bundle import pack
from lerg_runtime.golden import sample_positions

__all__ = ["golden_examples", "personal_examples"]

_PERIOD = 997
"""Stored values of a long tensor: prime, so that rows of any dimension start at different ones."""
_SAMPLES = 256
_CANDIDATES = 500
_BATCH = 8
_USERS = 2
_RANKS = 5
_HISTORY = 3


def golden_examples(methods: Mapping[str, Method], *, bits: int, seed: int) -> dict[str, np.ndarray]:
    """The arrays of `golden.arrays`: random inputs, and outputs of the modules' reference operators.

    Args:
        methods: the methods as they are traced.
        bits: width of a codebook element.
        seed: of the inputs.
    """
    golden: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(seed)
    _encode(golden, methods["encode"], bits=bits, rng=rng)
    slots = [len(table) for table in _tables(golden, methods["encode"])]
    _finetune(golden, methods["finetune"], slots=slots, bits=bits, rng=rng)
    _recommend(golden, methods["recommend"], rng=rng)
    return golden


def personal_examples(methods: Mapping[str, Method], *, bits: int, seed: int) -> dict[str, np.ndarray]:
    """The arrays of golden examples of a personal bundle, whose `recommend` takes a history.

    Args:
        methods: `encode` and `recommend`, as they are traced.
        bits: width of a codebook element.
        seed: of the inputs.
    """
    golden: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(seed)
    _encode(golden, methods["encode"], bits=bits, rng=rng)
    method = methods["recommend"]
    slots, dim = method.inputs["item_table"].shape
    items, touched = len(method.inputs["item_slots"]), min(_HISTORY, len(method.inputs["history"]))
    for name, shape in (("item_table", (slots, dim)), ("metric", (dim, dim))):
        _store(golden, f"recommend.in.{name}", rng.standard_normal(_PERIOD).astype(np.float32), shape)
    places, seen = _candidates(method, slots=slots, items=items, users=1, rng=rng)
    _store(golden, "recommend.in.item_slots", places, (items,))
    values: dict[str, np.ndarray] = {
        "history": rng.integers(0, slots, touched),
        "weights": rng.uniform(0.1, 1, touched).astype(np.float32),
        "seen": seen,
        "ranks": np.arange(min(_RANKS, len(method.inputs["ranks"])), dtype=np.int64),
    }
    _record(golden, "recommend", "in", values)
    _answer(golden, method)
    if "finetune" in methods:
        _personal_finetune(golden, methods["finetune"], slots=slots, bits=bits, rng=rng)
    return golden


def _personal_finetune(
    golden: dict[str, np.ndarray], method: Method, *, slots: int, bits: int, rng: np.random.Generator
) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in method.inputs.items()}
    drawn = {name: rng.integers(0, slots, shapes[name][0]) for name in ("positives", "negatives", "history")}
    _record(golden, "finetune", "in", drawn)
    for name in ("weights", "metric"):
        values = (rng.standard_normal(_PERIOD) / 4).astype(np.float32)
        _store(golden, f"finetune.in.{name}", values, shapes[name])
    _gradients(golden, method, bits=bits, rng=rng)


def _encode(golden: dict[str, np.ndarray], method: Method, *, bits: int, rng: np.random.Generator) -> None:
    packed = pack(_codes(bits, rng), bits=bits).reshape(-1).view(_dtype(method, "codebook"))
    _store(golden, "encode.in.codebook", packed, method.inputs["codebook"].shape)
    _store(golden, "encode.in.step", _steps(bits, rng), method.inputs["step"].shape)
    for name, table in zip(method.outputs, _tables(golden, method), strict=True):
        golden[f"encode.out.{name}"] = _sample(table)


def _tables(golden: Mapping[str, np.ndarray], method: Method) -> list[np.ndarray]:
    with torch.no_grad():
        return [table.numpy() for table in method.module(*_tensors(golden, "encode.in", method.inputs))]


def _finetune(
    golden: dict[str, np.ndarray], method: Method, *, slots: list[int], bits: int, rng: np.random.Generator
) -> None:
    batch = min(_BATCH, len(method.inputs["users"]))
    drawn = [rng.integers(0, count, batch) for count in (slots[0], slots[1], slots[1])]
    _record(golden, "finetune", "in", dict(zip(method.inputs, drawn, strict=True)))
    _gradients(golden, method, bits=bits, rng=rng)


def _gradients(golden: dict[str, np.ndarray], method: Method, *, bits: int, rng: np.random.Generator) -> None:
    shapes = {name: parameter.shape for name, parameter in method.module.named_parameters()}
    latent = rng.standard_normal(_PERIOD).astype(np.float32) / 8
    for name, values in (("codebook", latent), ("step", _steps(bits, rng))):
        _store(golden, f"finetune.parameter.{name}", values, shapes[name])
    parameters = dict(zip(shapes, _tensors(golden, "finetune.parameter", shapes), strict=True))
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    inputs = _tensors(golden, "finetune.in", method.inputs)
    (loss,) = torch.func.functional_call(method.module, parameters, inputs)
    gradients = torch.autograd.grad(loss, tuple(parameters.values()))
    golden["finetune.out.loss"] = _sample(loss.detach().numpy())
    for name, gradient in zip(parameters, gradients, strict=True):
        golden[f"finetune.out.{name}_gradient"] = _sample(gradient.numpy())


def _recommend(golden: dict[str, np.ndarray], method: Method, *, rng: np.random.Generator) -> None:
    table = "item_table" if "item_table" in method.inputs else "item_codes"
    slots, dim = method.inputs[table].shape
    users, items = min(_USERS, len(method.inputs["user_rows"])), len(method.inputs["item_slots"])
    if table == "item_codes":
        _store(golden, "recommend.in.item_codes", rng.integers(-127, 128, _PERIOD, np.int8), (slots, dim))
        scales = rng.uniform(0.5, 2, _PERIOD).astype(np.float32)
        _store(golden, "recommend.in.item_scales", scales, (slots,))
    else:
        _store(
            golden, "recommend.in.item_table", rng.standard_normal(_PERIOD).astype(np.float32), (slots, dim)
        )
    distinct, seen = _candidates(method, slots=slots, items=items, users=users, rng=rng)
    _store(golden, "recommend.in.item_slots", distinct, (items,))
    ranks = np.arange(min(_RANKS, len(method.inputs["ranks"])), dtype=np.int64)
    rows = rng.standard_normal((users, dim)).astype(np.float32)
    _record(golden, "recommend", "in", {"user_rows": rows, "seen": seen, "ranks": ranks})
    _answer(golden, method)


def _candidates(
    method: Method, *, slots: int, items: int, users: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Slots int32 [n], and what is seen [users, items].

    Table rows repeat with the stored values; candidates are rows that differ, and the rest counts as seen.
    """
    distinct = rng.permutation(min(slots, _PERIOD))[: min(items, _CANDIDATES)].astype(np.int32)
    seen = np.ones((users, items), dtype=_dtype(method, "seen"))
    seen[:, : len(distinct)] = rng.random((users, len(distinct))) < 0.2
    return distinct, seen


def _answer(golden: dict[str, np.ndarray], method: Method) -> None:
    outputs = method.module(*_tensors(golden, "recommend.in", method.inputs))
    for name, output in zip(method.outputs, outputs, strict=True):
        golden[f"recommend.out.{name}"] = _sample(output.numpy())


def _dtype(method: Method, name: str) -> np.dtype:
    return method.inputs[name].numpy().dtype


def _codes(bits: int, rng: np.random.Generator) -> np.ndarray:
    """Two stored numbers for each of a period: 4-bit integers are packed in pairs."""
    if bits == FLOAT_BITS:
        return rng.standard_normal((_PERIOD, 2)).astype(np.float32) / 8
    low, high = bounds(bits)
    return rng.integers(low, high + 1, (_PERIOD, 2))


def _steps(bits: int, rng: np.random.Generator) -> np.ndarray:
    """Positive steps that clip a few of the random weights."""
    if bits == FLOAT_BITS:
        return np.ones(_PERIOD, np.float32)
    _, high = bounds(bits)
    return (rng.uniform(0.15, 0.25, _PERIOD) / high).astype(np.float32)


def _tensors(
    golden: Mapping[str, np.ndarray], prefix: str, names: Mapping[str, object]
) -> tuple[torch.Tensor, ...]:
    keys = [f"{prefix}.{name}" for name in names]
    return tuple(torch.from_numpy(np.resize(golden[key], tuple(golden[f"{key}.shape"]))) for key in keys)


def _record(golden: dict[str, np.ndarray], method: str, role: str, values: Mapping[str, np.ndarray]) -> None:
    """Store whole tensors of one role, `in` or `parameter`."""
    for name, array in values.items():
        _store(golden, f"{method}.{role}.{name}", array.reshape(-1), array.shape)


def _store(golden: dict[str, np.ndarray], key: str, values: np.ndarray, shape: Sequence[int]) -> None:
    """Store `values`, to be repeated until a tensor of `shape` is full."""
    golden[key] = values[: int(np.prod(shape, dtype=np.int64))]
    golden[f"{key}.shape"] = np.asarray(shape, dtype=np.int64)


def _sample(output: np.ndarray) -> np.ndarray:
    """At most `_SAMPLES` values of an output, evenly spread over it."""
    flat = output.reshape(-1)
    return flat[sample_positions(flat.size, min(flat.size, _SAMPLES))]
