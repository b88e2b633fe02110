"""Bytes of each thing that the runtime takes from its budget, as the native allocator counts them."""

from __future__ import annotations

import math

import numpy as np

from lerg_runtime.bundle._csr import index_dtype
from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.bundle._packing import FLOAT_BITS
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.bundle._stored_sizes import StoredSizes
from lerg_runtime.planning._phases import PlanItem, Workload

__all__ = [
    "array_bytes",
    "block_bytes",
    "counts_bytes",
    "degree_bytes",
    "disliking_items",
    "gathered_bytes",
    "gathered_shape",
    "lane_bytes",
    "metric_item",
    "metric_making_bytes",
    "metric_work_shape",
    "packed_bytes",
    "program_bytes",
    "ranking_bytes",
    "reading_bytes",
    "remainder_bytes",
    "resident_items",
    "rows_bytes",
    "sample_size",
    "step_items",
    "table_items",
    "training_items",
    "triple_bytes",
]

_ALIGNMENT = 64  # the native allocator counts every block in units of this
_BLOCKS = 16  # that reading an array takes at a time, at most
_SAMPLE = 256
_ITEMS_AT_ONCE = 512  # rows of items that are gathered before they are added up
_TRIPLE_BYTES = 64  # slots int64, indices and masks of one triple
_CANDIDATE_BYTES = 8  # item and slot of one candidate more, int32


def gathered_shape(shape: ModelShape) -> tuple[int, int]:
    """Of the memory in which rows of items stand while they are added up."""
    return min(_ITEMS_AT_ONCE, shape.items), shape.dim


def triple_bytes(workload: Workload) -> int:
    return _TRIPLE_BYTES + _CANDIDATE_BYTES * (workload.negative_candidates - 1)


def block_bytes(*sizes: int) -> int:
    """Bytes that blocks of these sizes are counted as."""
    return sum(max(1, -(-size // _ALIGNMENT)) * _ALIGNMENT for size in sizes)


def array_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def packed_bytes(manifest: Manifest) -> int:
    shape = manifest.model
    rows, columns = shape.packed_shape
    return block_bytes(rows * columns * np.dtype(shape.packed_dtype).itemsize, 4 * shape.step_count)


def rows_bytes(manifest: Manifest, pairs: int) -> int:
    """Interactions by user."""
    shape = manifest.model
    return block_bytes(4 * (shape.users + 1), pairs * np.dtype(index_dtype(shape.items)).itemsize)


def remainder_bytes(manifest: Manifest) -> int:
    """What rounding left of a codebook, in eight bits an element."""
    shape = manifest.model
    return block_bytes(0 if shape.bits == FLOAT_BITS else shape.codebook_rows * shape.dim)


def resident_items(
    manifest: Manifest, sizes: StoredSizes, local: int, disliked: int, *, remainder: bool = False
) -> tuple[PlanItem, ...]:
    shape = manifest.model
    low = block_bytes(4 * disliked, 4 * disliked) + rows_bytes(manifest, disliked)
    return (
        PlanItem("user ids", sizes.user_id_bytes + 2 * _ALIGNMENT),
        PlanItem("item ids", sizes.item_id_bytes + 2 * _ALIGNMENT),
        *([PlanItem("titles", block_bytes(*sizes.title_bytes))] if sizes.title_bytes else []),
        *([PlanItem("added items", sizes.added_bytes)] if sizes.added_bytes else []),
        PlanItem("slots", block_bytes(4 * shape.users, 4 * shape.items)),
        PlanItem("interactions", rows_bytes(manifest, sizes.pairs + local)),
        *(
            PlanItem(f"{name} pairs", rows_bytes(manifest, pairs))
            for name, pairs in (("held-out", sizes.held_out), ("disliked", sizes.disliked))
            if pairs
        ),
        PlanItem("codebook", packed_bytes(manifest)),
        *([PlanItem("remainders of rounding", remainder_bytes(manifest))] if remainder else []),
        PlanItem("local interactions", block_bytes(4 * local, 4 * local)),
        *([PlanItem("local disliked pairs", low)] if disliked else []),
        PlanItem("program file", block_bytes(sizes.program_bytes)),
    )


def reading_bytes(manifest: Manifest, sizes: StoredSizes, local: int) -> int:
    before_merging = rows_bytes(manifest, sizes.pairs) if local else 0
    # What is read is there before local interactions are merged into it.
    merged = rows_bytes(manifest, sizes.pairs + local) - rows_bytes(manifest, sizes.pairs)
    return max(sizes.reading_bytes + _BLOCKS * _ALIGNMENT - merged, before_merging)


def program_bytes(manifest: Manifest, method: str) -> int:
    spec = manifest.program(method)
    return block_bytes(*spec.arena_bytes, spec.scratch_bytes, spec.structure_bytes)


def table_items(manifest: Manifest) -> tuple[PlanItem, PlanItem]:
    shape = manifest.model
    return (
        PlanItem("user table", block_bytes(4 * shape.user_slots * shape.dim)),
        PlanItem("item table", block_bytes(*(array_bytes(*array) for array in shape.item_arrays))),
    )


def degree_bytes(manifest: Manifest) -> int:
    return block_bytes(4 * manifest.model.items)


def counts_bytes(manifest: Manifest) -> int:
    """How far each item is raised, and the sample that tells the spread of scores; 0 where none is raised."""
    shape = manifest.model
    if not manifest.ways.local_counts:
        return 0
    return block_bytes(shape.items, 4 * sample_size(shape.items) * shape.dim)


def sample_size(items: int) -> int:
    """Items, evenly spaced among all, by which the spread of a person's scores is told."""
    return min(_SAMPLE, items)


def metric_work_shape(shape: ModelShape) -> tuple[int]:
    """Of the float64 memory in which a metric is made; see kernels/ranking/ridge.h."""
    return (shape.dim * (shape.dim + 4),)


def metric_item(manifest: Manifest) -> tuple[PlanItem, ...]:
    """What histories are compared by; nothing where all items count as they are."""
    count = len(manifest.ways.ridges)
    size = block_bytes(4 * manifest.model.dim**2)
    return (PlanItem("metric of histories", count * size),) if count else ()


def metric_making_bytes(manifest: Manifest) -> int:
    """Beside the metric while it is made."""
    if not manifest.ways.ridges:
        return 0
    shape = manifest.model
    return block_bytes(8 * metric_work_shape(shape)[0], 4 * shape.item_slots)


def gathered_bytes(manifest: Manifest) -> int:
    """Some rows of items."""
    shape = manifest.model
    dtype, _ = shape.item_arrays[0]
    return block_bytes(array_bytes(dtype, gathered_shape(shape)))


def lane_bytes(manifest: Manifest, users: int) -> int:
    """The program `recommend` and all that one thread needs to rank so many users at once."""
    return program_bytes(manifest, "recommend") + gathered_bytes(manifest) + ranking_bytes(manifest, users)


def ranking_bytes(manifest: Manifest, users: int) -> int:
    shape = manifest.model
    inputs = block_bytes(users * shape.dim * 4, users * shape.items, 8 * shape.max_k)
    if manifest.ways.local_counts:
        places = users * shape.max_k
        inputs += block_bytes(users * shape.items, 8 * places, 4 * places, 8 * places)
    return inputs + block_bytes(shape.max_users * shape.max_k * 8, shape.max_users * shape.max_k * 4)


def step_items(manifest: Manifest) -> tuple[PlanItem, ...]:
    """What one step of fine-tuning takes beside its program, without an optimiser."""
    shape, batch = manifest.model, manifest.finetune.batch
    latent = block_bytes(4 * shape.codebook_rows * shape.dim, 4 * shape.step_count)
    return (
        PlanItem("latent codebook", latent),
        PlanItem("gradients", latent + _ALIGNMENT),
        PlanItem(f"batch of {batch}", 3 * block_bytes(8 * batch)),
    )


def training_items(
    manifest: Manifest, sizes: StoredSizes, local: int, disliked: int, workload: Workload
) -> tuple[PlanItem, ...]:
    shape = manifest.model
    latent = block_bytes(4 * shape.codebook_rows * shape.dim, 4 * shape.step_count)
    moments = {"adam": 2, "sgd": int(workload.momentum)}[workload.optimiser]
    known = sizes.pairs + local
    added = workload.new_interactions - workload.repeated
    pairs = known + added
    replayed = known if workload.replayed is None else min(known, workload.replayed)
    items = [
        PlanItem("latent codebook", latent),
        PlanItem("gradients", latent + _ALIGNMENT),
        PlanItem("quantised result", packed_bytes(manifest) + remainder_bytes(manifest)),
        PlanItem("training order", block_bytes(4 * pairs, 4 * (replayed + workload.new_interactions))),
        PlanItem(f"batch of {workload.batch}", workload.batch * triple_bytes(workload) + 8 * _ALIGNMENT),
    ]
    if moments:
        items.append(PlanItem(f"state of {workload.optimiser}", moments * latent))
    if workload.new_interactions:
        # Their places; all interactions once more; the local ones once more. What was given is free by then.
        places = block_bytes(4 * workload.new_interactions)
        grown = 2 * block_bytes(4 * (local + added)) if added else 0
        items.append(PlanItem("new interactions", places + grown + rows_bytes(manifest, pairs) * (added > 0)))
    return (*items, *_low_items(manifest, disliked, workload))


def disliking_items(manifest: Manifest, disliked: int, workload: Workload) -> tuple[PlanItem, ...]:
    """While pairs rated low are merged with those of before: what was given, and what comes of it."""
    shape = manifest.model
    given, new, gone = workload.given_disliked, workload.new_disliked, workload.liked_again
    kept, stored = disliked - gone, disliked - gone + new
    fresh = 2 * block_bytes(4 * new) if 0 < new < given else 0
    thinned = block_bytes(disliked) + 2 * block_bytes(4 * kept) if gone else 0
    pointers = 2 * block_bytes(4 * (shape.users + 1))
    merged = 2 * block_bytes(4 * stored) + pointers if new and kept else 0
    making = fresh + thinned + merged
    made = sum(item.size_bytes for item in _low_items(manifest, disliked, workload))
    if kept == 0 and new == given:
        made -= 2 * block_bytes(4 * stored)  # what was given is stored as it is
    return (
        PlanItem(
            "interactions given", 2 * block_bytes(4 * workload.new_interactions) + 2 * block_bytes(4 * given)
        ),
        PlanItem("disliked pairs while they are merged", max(making, made)),
    )


def _low_items(manifest: Manifest, disliked: int, workload: Workload) -> tuple[PlanItem, ...]:
    """What is stored anew of pairs rated low, beside what was stored before."""
    if not (workload.new_disliked or workload.liked_again):
        return ()
    stored = disliked - workload.liked_again + workload.new_disliked
    size = 2 * block_bytes(4 * stored) + (rows_bytes(manifest, stored) if stored else 0)
    return (PlanItem("new disliked pairs", size),)
