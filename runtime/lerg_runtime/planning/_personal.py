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


def plan_personal(
    manifest: PersonalManifest,
    *,
    sizes: ItemSizes,
    learned: bool = False,
    moments: int = 2,
    batch: int | None = None,
) -> MemoryPlan:
    """The plan of one bundle: opening, encoding, recommending, and fine-tuning where it has a program for it.

    One call at a time is worked on.

    Args:
        manifest: of the bundle.
        sizes: of its items.
        learned: its state has the exported weights beside those that were learned.
        moments: of the codebook's size, that the optimiser keeps.
        batch: items of a step of fine-tuning; None for the default.
    """
    shape = manifest.model
    rows, columns = shape.packed_shape
    packed = block_bytes(rows * columns * np.dtype(shape.packed_dtype).itemsize, 4 * shape.step_count)
    remainder = block_bytes(shape.codebook_rows * shape.dim)
    new = packed + remainder
    kept = PlanItem("exported codebook and remainders", new)
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
        *([kept] if learned else []),
        PlanItem("program file", block_bytes(manifest.files[PROGRAM_FILE])),
        PlanItem("history", block_bytes(_HISTORY_BYTES * shape.max_history)),
    )
    slots = block_bytes(-(-shape.items // 8), 4 * shape.items)
    reading = PlanItem(
        "items while they are read", max(slots, sizes.reading_bytes + _BLOCKS * block_bytes(1))
    )
    answering = max(((table, metric, encode), (table, metric, recommend, ranking)), key=_sum)
    return MemoryPlan(
        (
            Phase("open", (*resident, reading)),
            Phase("encode", (*resident, table, metric, encode)),
            Phase("recommend", (*resident, table, metric, recommend, ranking)),
            *_learning(manifest, resident, metric, new=new, moments=moments, batch=batch),
            *_comparing(manifest, resident if learned else (*resident, kept), answering, new=new),
        ),
        resident,
        lane_bytes=0,
    )


def _learning(
    manifest: PersonalManifest,
    resident: tuple[PlanItem, ...],
    metric: PlanItem,
    *,
    new: int,
    moments: int,
    batch: int | None,
) -> tuple[Phase, ...]:
    """The phase of fine-tuning, without item table; nothing where there is no program for it."""
    shape, defaults = manifest.model, manifest.finetune
    if defaults is None:
        return ()
    many = defaults.batch if batch is None else batch
    latent = block_bytes(4 * shape.codebook_rows * shape.dim, 4 * shape.step_count)
    inputs = block_bytes(4 * many * shape.max_history, 8 * shape.max_history, shape.items)
    items = (
        *resident,
        PlanItem("latent codebook", latent),
        PlanItem("gradients", latent + block_bytes(4)),
        PlanItem("quantised result", new),
        *([PlanItem("state of the optimiser", moments * latent)] if moments else []),
        metric,
        PlanItem(f"batch of {many}", inputs),
        PlanItem("program finetune", _program_bytes(manifest, "finetune")),
    )
    return (Phase("finetune", items),)


def _comparing(
    manifest: PersonalManifest, resident: tuple[PlanItem, ...], answering: tuple[PlanItem, ...], *, new: int
) -> tuple[Phase, ...]:
    """The phase that looks whether what was learned does harm; the weights of before are still there."""
    if manifest.finetune is None:
        return ()
    return (Phase("compare", (*resident, PlanItem("weights of before", new), *answering)),)


def _sum(items: tuple[PlanItem, ...]) -> int:
    return sum(item.size_bytes for item in items)


def _program_bytes(manifest: PersonalManifest, method: str) -> int:
    spec = manifest.program(method)
    return block_bytes(*spec.arena_bytes, spec.scratch_bytes, spec.structure_bytes)
