"""How much memory a bundle needs before it is there: for whoever makes bundles for a budget."""

from __future__ import annotations

from lerg_runtime._plan import MemoryPlan, Phase, PlanItem, Workload, plan_memory
from lerg_runtime.bundle._programs import STRUCTURE_BYTES
from lerg_runtime.bundle._reader import StoredSizes

__all__ = [
    "STRUCTURE_BYTES",
    "MemoryPlan",
    "Phase",
    "PlanItem",
    "StoredSizes",
    "Workload",
    "plan_memory",
]
