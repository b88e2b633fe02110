"""Golden examples: does each program of a bundle answer here what it answered where it was made?

An example is a few arrays of `golden.arrays`, named by method, role and tensor:

- `<method>.in.<name>` and `<method>.parameter.<name>`: values that fill the tensor in row-major order,
  repeated from the start when they run out, so that a codebook of megabytes is stored as a thousand numbers;
- the same name with `.shape`: the tensor's shape, int64;
- `<method>.out.<name>`: the n values found at positions floor(j * size / n), j = 0..n-1, of the flattened
  output, n being how many there are.

Integers must be met exactly, but for int8 codes, which may be off by 1: the float that is rounded to one may
differ in its last bits. Floats must be met within `TOLERANCE` of the largest expected magnitude, or
`HALF_TOLERANCE` where the programs store layers as float16: the examples are made without such rounding.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from lerg_runtime.bundle import BundleFolder, ProgramSpec, TensorSpec
from lerg_runtime.bundle._boundary import reading
from lerg_runtime.bundle._trust import Trust
from lerg_runtime.engine._engine import Engine
from lerg_runtime.errors import BundleError, LergRuntimeError

__all__ = ["HALF_TOLERANCE", "TOLERANCE", "check_golden", "mismatches", "sample_positions"]

TOLERANCE = 1e-4
HALF_TOLERANCE = 2e-3  # of a bundle whose layers are stored as float16


def check_golden(path: str | os.PathLike[str], *, trust: Trust | None = None) -> dict[str, tuple[str, ...]]:
    """Run every program of a bundle on its golden inputs.

    Args:
        path: the bundle's folder.
        trust: as `BundleFolder.open` takes it.

    Returns:
        For each method one sentence per output that is not what it should be; empty when all agree.

    Raises:
        InputError: no such folder.
        BundleError: the bundle is damaged, foreign or too new, or its examples do not fit its programs.
    """
    folder = BundleFolder.open(path, trust=trust)
    golden = folder.read_golden()
    engine = Engine(folder, budget_bytes=None).open_program()
    halved = getattr(folder.contents.model, "layer_storage", "float32") == "float16"
    tolerance = HALF_TOLERANCE if halved else TOLERANCE
    return {spec.method: _run(engine, spec, golden, tolerance) for spec in folder.contents.programs}


def mismatches(
    golden: Mapping[str, np.ndarray],
    method: str,
    outputs: Mapping[str, np.ndarray],
    tolerance: float = TOLERANCE,
) -> tuple[str, ...]:
    """One sentence for each expected output of `method` that `outputs`, by name, does not meet."""
    found = []
    prefix = f"{method}.out."
    for key in sorted(key for key in golden if key.startswith(prefix)):
        name = key.removeprefix(prefix)
        problem: str | None = "it is absent"
        if name in outputs:
            problem = _difference(golden[key], outputs[name].reshape(-1), tolerance)
        if problem:
            found.append(f"output {name} of {method}: {problem}")
    return tuple(found)


def sample_positions(size: int, count: int) -> np.ndarray:
    """Positions int64 [count] of the values that stand for a flattened output of `size` elements."""
    return np.arange(count, dtype=np.int64) * size // max(count, 1)


def _run(
    engine: Engine, spec: ProgramSpec, golden: Mapping[str, np.ndarray], tolerance: float
) -> tuple[str, ...]:
    prefix = f"{spec.method}.parameter."
    names = [
        key.removeprefix(prefix) for key in golden if key.startswith(prefix) and not key.endswith(".shape")
    ]
    shapes = {tensor.name: tensor for tensor in spec.outputs}
    if not any(key.startswith(f"{spec.method}.out.") for key in golden) or not set(names) <= set(shapes):
        raise BundleError(f"golden.arrays has no example of {spec.method}; export the bundle again")
    with reading("golden.arrays"):
        parameters = {name: _full(golden, prefix + name, shapes[name]) for name in names}
        inputs = [_full(golden, f"{spec.method}.in.{tensor.name}", tensor) for tensor in spec.inputs]
    try:
        outputs = engine.load(spec.method, parameters=parameters).execute(*inputs)
    except ValueError as error:
        raise BundleError(f"the example of {spec.method} does not fit its program: {error}") from None
    except LergRuntimeError as error:
        return (f"{spec.method} fails: {error}",)
    with reading("golden.arrays"):
        return mismatches(golden, spec.method, dict(zip(shapes, outputs, strict=True)), tolerance)


def _full(golden: Mapping[str, np.ndarray], key: str, tensor: TensorSpec) -> np.ndarray:
    """A tensor in full; its shape is bounded by the program's own before anything is allocated."""
    values, shape = golden.get(key), golden.get(f"{key}.shape")
    if values is None or shape is None or str(values.dtype) != tensor.dtype:
        raise BundleError(
            f"golden.arrays has no {tensor.dtype} array {key} with a shape; export the bundle again"
        )
    sizes = tuple(int(size) for size in shape.reshape(-1))
    fits = len(sizes) == len(tensor.shape) and all(
        0 <= size <= most for size, most in zip(sizes, tensor.shape, strict=True)
    )
    if not fits or (0 not in sizes and not values.size):
        raise BundleError(
            f"golden.arrays: {key} has shape {sizes} and its program takes up to {tensor.shape}"
        )
    return np.ascontiguousarray(np.resize(values.reshape(-1), sizes))


def _difference(expected: np.ndarray, flat: np.ndarray, tolerance: float) -> str | None:
    if expected.ndim != 1:
        return "its example is not a list of values"
    if flat.size < expected.size:
        return f"it has {flat.size} values and at least {expected.size} are expected"
    actual = flat[sample_positions(flat.size, expected.size)]
    if not np.issubdtype(expected.dtype, np.floating):
        allowed_steps = 1 if expected.dtype == np.int8 else 0
        wrong = int((np.abs(actual.astype(np.int64) - expected) > allowed_steps).sum())
        return f"{wrong} of {expected.size} sampled values differ" if wrong else None
    finite = np.isfinite(expected)
    if not np.array_equal(actual[~finite], expected[~finite]):
        return "infinite values are not where they are expected"
    if not finite.any():
        return None
    error = float(np.abs(actual[finite].astype(np.float64) - expected[finite]).max())
    allowed = tolerance * max(float(np.abs(expected[finite]).max()), 1e-6)
    # Written so that a NaN does not pass.
    return None if error <= allowed else f"it is off by {error:.3g} where {allowed:.3g} is allowed"
