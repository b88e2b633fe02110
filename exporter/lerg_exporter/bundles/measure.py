"""What a program takes beside its arenas, found by running each method at its largest inputs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lerg_edge.errors import LergError
from lerg_runtime.errors import BundleError
from lerg_runtime.planning import STRUCTURE_BYTES
from lerg_runtime.programs import open_program

if TYPE_CHECKING:
    from lerg_exporter.programs.trace import MethodPlan, Program, TensorSpec

__all__ = ["Footprint", "footprints"]

# Retrieval cuts the catalogue into more parts for few users: the most users need not need the most scratch.
_ROW_COUNTS = (1, 8, 31, 32)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one method takes beside its arenas.

    Attributes:
        scratch_bytes: most that one operator holds at a time.
        structure_bytes: at least what ExecuTorch builds when it loads the method.
    """

    scratch_bytes: int
    structure_bytes: int


def footprints(program: Program, *, slots: tuple[int, int]) -> dict[str, Footprint]:
    """The footprint of each method.

    Args:
        program: as traced.
        slots: rows of the user table and of the item table.

    Raises:
        LergError: a device would refuse the program.
    """
    with tempfile.TemporaryDirectory(prefix="lerg-measure-") as folder:
        path = Path(folder) / "model.pte"
        path.write_bytes(program.data)
        loaded, budget = _checked(path)
        return {plan.method: _footprint(loaded, budget, plan, slots) for plan in program.plans}


def _checked(path: Path) -> tuple[Any, Any]:
    """The program, opened as a device opens it, which refuses what `docs/programs.md` does not allow."""
    try:
        return open_program(path)
    except BundleError as error:
        reason = str(error).partition(": ")[2].rpartition(";")[0]
        raise LergError(f"devices would refuse the traced program, so it is not written: {reason}") from None


def _footprint(program: Any, budget: Any, plan: MethodPlan, slots: tuple[int, int]) -> Footprint:
    outputs = {spec.name: spec for spec in plan.outputs}
    parameters = {
        name: np.full(spec.shape, 0.01, dtype=spec.dtype)
        for name, spec in outputs.items()
        if f"{name}_gradient" in outputs
    }
    before = budget.used
    method = program.load(plan.method, parameters)
    built = budget.used - before - sum(plan.arena_bytes)
    largest = [_filled(spec, slots) for spec in plan.inputs]
    method.execute(*largest)
    if plan.method == "recommend":
        for rows in _ROW_COUNTS:
            method.execute(
                *(_first(array, rows, spec) for array, spec in zip(largest, plan.inputs, strict=True))
            )
    # A quarter more, for a device where ExecuTorch's own structures are a little larger.
    return Footprint(int(method.scratch_peak), max(STRUCTURE_BYTES, built + built // 4))


def _filled(spec: TensorSpec, slots: tuple[int, int]) -> np.ndarray:
    """Values that a method accepts: slots that all differ where slots are asked for, ones for steps."""
    limit = {
        "users": slots[0],
        "positives": slots[1],
        "negatives": slots[1],
        "item_slots": slots[1],
        "history": slots[1],
    }.get(spec.name)
    if limit is not None:
        return (np.arange(np.prod(spec.shape, dtype=np.int64)) % limit).astype(spec.dtype).reshape(spec.shape)
    return np.full(spec.shape, spec.name == "step", dtype=spec.dtype)


def _first(array: np.ndarray, rows: int, spec: TensorSpec) -> np.ndarray:
    return array[:rows] if spec.name in ("user_rows", "seen") else array
