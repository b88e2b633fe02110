"""How much memory a bundle needs, item by item, known before any of it is taken.

The items are what the runtime takes from its budget: arrays, ExecuTorch's arenas and scratch. Python, numpy
and the native libraries are not among them.
"""

from __future__ import annotations

from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.bundle._stored_sizes import StoredSizes
from lerg_runtime.planning._phases import MemoryPlan, Phase, PlanItem, Workload
from lerg_runtime.planning._sizes import (
    block_bytes,
    counts_bytes,
    degree_bytes,
    disliking_items,
    gathered_bytes,
    lane_bytes,
    metric_item,
    metric_making_bytes,
    program_bytes,
    ranking_bytes,
    reading_bytes,
    resident_items,
    step_items,
    table_items,
    training_items,
)

__all__ = ["plan_memory", "plan_profile", "plan_tests"]


def plan_memory(
    manifest: Manifest,
    sizes: StoredSizes,
    *,
    local: int,
    workload: Workload,
    disliked: int = 0,
    remainder: bool = False,
) -> MemoryPlan:
    """The plan of one bundle.

    Args:
        manifest: of the bundle.
        sizes: of its arrays.
        local: interactions in its state.
        workload: what is asked of it.
        disliked: pairs in its state that were rated low.
        remainder: its state has what rounding left of the codebook.
    """
    resident = resident_items(manifest, sizes, local, disliked, remainder=remainder)
    reading = PlanItem("interactions while they are read", reading_bytes(manifest, sizes, local))
    encode, recommend, finetune = (
        PlanItem(f"program {method}", program_bytes(manifest, method))
        for method in ("encode", "recommend", "finetune")
    )
    tables, metric = table_items(manifest), metric_item(manifest)
    making = PlanItem("metric while it is made", metric_making_bytes(manifest))
    ranking = PlanItem(
        f"{workload.users_at_once} users at once", ranking_bytes(manifest, workload.users_at_once)
    )
    histories = PlanItem("rows from histories", degree_bytes(manifest) + gathered_bytes(manifest))
    counts = (PlanItem("local counts", counts_bytes(manifest)),)[: counts_bytes(manifest)]
    lane = lane_bytes(manifest, workload.users_at_once)
    more = (PlanItem(f"{workload.lanes - 1} more threads", (workload.lanes - 1) * lane),)
    training: tuple[PlanItem, ...] = (finetune,)
    if workload.negative_candidates > 1:
        # The tables are made anew for each epoch, when the program that trains is not loaded.
        training = (*tables, max(encode, finetune, key=_size))
    disliking: tuple[Phase, ...] = ()
    if workload.new_disliked or workload.liked_again:
        disliking = (Phase("dislike", (*resident, *disliking_items(manifest, disliked, workload))),)
    return MemoryPlan(
        (
            Phase("open", (*resident, reading)),
            Phase("encode", (*resident, *tables, *metric, max(encode, making, key=_size))),
            Phase(
                "recommend",
                (
                    *resident,
                    *tables,
                    recommend,
                    histories,
                    *metric,
                    *counts,
                    ranking,
                    *more[: workload.lanes - 1],
                ),
            ),
            *disliking,
            Phase(
                "finetune",
                (*resident, *training_items(manifest, sizes, local, disliked, workload), *training),
            ),
        ),
        resident,
        lane,
    )


def _size(item: PlanItem) -> int:
    return item.size_bytes


def plan_profile(manifest: Manifest, plan: MemoryPlan) -> tuple[Phase, ...]:
    """Timing each program: recommending for one user, and steps of fine-tuning on made-up triples.

    Args:
        manifest: of the bundle.
        plan: of its usual work for one user at a time.
    """
    steps = PlanItem("program finetune", program_bytes(manifest, "finetune"))
    return (
        *(plan.phase(name) for name in ("open", "encode", "recommend")),
        Phase("finetune", (*plan.resident, *step_items(manifest), steps)),
    )


def plan_tests(manifest: Manifest, pairs: int, *, figures: int | None = None) -> tuple[PlanItem, ...]:
    """What measuring takes beside recommending.

    Args:
        manifest: of the bundle.
        pairs: distinct pairs to measure on.
        figures: that are kept of each user; None to keep none.
    """
    shape = manifest.model
    users = min(shape.users, pairs)
    tests = PlanItem(
        f"{pairs} test pairs",
        2 * block_bytes(4 * pairs)
        + block_bytes(4 * (shape.users + 1), 4 * users, 4 * users)
        + block_bytes(shape.items),
    )
    if figures is None:
        return (tests,)
    return tests, PlanItem(
        f"figures of {users} users", block_bytes(4 * users, 4 * users, 4 * users * figures)
    )
