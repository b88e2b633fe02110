"""How much memory a bundle needs before it is there: for whoever makes bundles for a budget."""

from __future__ import annotations

from lerg_runtime.bundle._programs import STRUCTURE_BYTES
from lerg_runtime.bundle._stored_sizes import StoredSizes
from lerg_runtime.planning._personal import plan_personal
from lerg_runtime.planning._phases import MemoryPlan, Phase, PlanItem, Workload
from lerg_runtime.planning._plan import plan_memory
from lerg_runtime.planning._scratch import scratch_bytes

__all__ = [
    "STRUCTURE_BYTES",
    "MemoryPlan",
    "Phase",
    "PlanItem",
    "StoredSizes",
    "Workload",
    "plan_memory",
    "plan_personal",
    "scratch_bytes",
]
