"""What the kernels of a program take for themselves, found by running each method at its largest inputs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lerg_runtime._engine import native

if TYPE_CHECKING:
    from lerg_exporter.programs import MethodPlan, Program, TensorSpec

__all__ = ["scratch_bytes"]

# Retrieval cuts the catalogue into more parts for few users: the most users need not need the most scratch.
_ROW_COUNTS = (1, 8, 31, 32)


def scratch_bytes(program: Program, *, slots: tuple[int, int]) -> dict[str, int]:
    """Most bytes that one operator of each method holds at a time.

    Args:
        program: as traced.
        slots: rows of the user table and of the item table.
    """
    with tempfile.TemporaryDirectory(prefix="lerg-measure-") as folder:
        path = Path(folder) / "model.pte"
        path.write_bytes(program.data)
        loaded = native().Program(str(path), native().Budget(0))
        return {plan.method: _peak(loaded, plan, slots) for plan in program.plans}


def _peak(program: Any, plan: MethodPlan, slots: tuple[int, int]) -> int:
    outputs = {spec.name: spec for spec in plan.outputs}
    parameters = {
        name: np.full(spec.shape, 0.01, dtype=spec.dtype)
        for name, spec in outputs.items()
        if f"{name}_gradient" in outputs
    }
    method = program.load(plan.method, parameters)
    largest = [_filled(spec, slots) for spec in plan.inputs]
    method.execute(*largest)
    if plan.method == "recommend":
        for rows in _ROW_COUNTS:
            method.execute(
                *(_first(array, rows, spec) for array, spec in zip(largest, plan.inputs, strict=True))
            )
    return int(method.scratch_peak)


def _filled(spec: TensorSpec, slots: tuple[int, int]) -> np.ndarray:
    """Values that a method accepts: slots that all differ where slots are asked for, ones for steps."""
    limit = {"users": slots[0], "positives": slots[1], "negatives": slots[1], "item_slots": slots[1]}.get(
        spec.name
    )
    if limit is not None:
        return (np.arange(np.prod(spec.shape, dtype=np.int64)) % limit).astype(spec.dtype).reshape(spec.shape)
    return np.full(spec.shape, spec.name == "step", dtype=spec.dtype)


def _first(array: np.ndarray, rows: int, spec: TensorSpec) -> np.ndarray:
    return array[:rows] if spec.name in ("user_rows", "seen") else array
