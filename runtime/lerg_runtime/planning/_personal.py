"""How much memory a personal bundle needs, item by item."""

from __future__ import annotations

import numpy as np

from lerg_runtime.bundle._items import ItemSizes
from lerg_runtime.bundle._personal_manifest import PersonalManifest
from lerg_runtime.bundle._programs import PROGRAM_FILE
from lerg_runtime.planning._phases import MemoryPlan, Phase, PlanItem
from lerg_runtime.planning._sizes import block_bytes

__all__ = ["plan_personal"]

_HISTORY_BYTES = 12  # index and time
_BLOCKS = 16  # that reading an array takes at a time, at most


def plan_personal(manifest: PersonalManifest, *, sizes: ItemSizes) -> MemoryPlan:
    """The plan of one bundle: opening, encoding and recommending; one call at a time is worked on.

    Args:
        manifest: of the bundle.
        sizes: of its items.
    """
    shape = manifest.model
    rows, columns = shape.packed_shape
    packed = block_bytes(rows * columns * np.dtype(shape.packed_dtype).itemsize, 4 * shape.step_count)
    table = PlanItem("item table", block_bytes(4 * shape.slots * shape.dim))
    metric = PlanItem("metric", block_bytes(4 * shape.dim**2))
    ranking = PlanItem(
        "one history",
        block_bytes(
            8 * shape.max_history,
            4 * shape.max_history,
            shape.items,
            8 * shape.max_k,
            8 * shape.max_k,
            4 * shape.max_k,
        ),
    )
    encode, recommend = (
        PlanItem(f"program {method}", _program_bytes(manifest, method)) for method in ("encode", "recommend")
    )
    resident = (
        PlanItem("item ids", sizes.id_bytes + 2 * block_bytes(1)),
        *([PlanItem("titles", block_bytes(*sizes.title_bytes))] if sizes.title_bytes else []),
        *([PlanItem("added items", sizes.added_bytes)] if sizes.added_bytes else []),
        PlanItem("slots and degrees", block_bytes(4 * shape.items, shape.items)),
        PlanItem("codebook", packed),
        PlanItem("program file", block_bytes(manifest.files[PROGRAM_FILE])),
        PlanItem("history", block_bytes(_HISTORY_BYTES * shape.max_history)),
    )
    slots = block_bytes(-(-shape.items // 8), 4 * shape.items)
    reading = PlanItem(
        "items while they are read", max(slots, sizes.reading_bytes + _BLOCKS * block_bytes(1))
    )
    return MemoryPlan(
        (
            Phase("open", (*resident, reading)),
            Phase("encode", (*resident, table, metric, encode)),
            Phase("recommend", (*resident, table, metric, recommend, ranking)),
        ),
        resident,
        lane_bytes=0,
    )


def _program_bytes(manifest: PersonalManifest, method: str) -> int:
    spec = manifest.program(method)
    return block_bytes(*spec.arena_bytes, spec.scratch_bytes, spec.structure_bytes)
