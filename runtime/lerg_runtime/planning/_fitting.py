"""Making work fit a budget: refusals that say what would fit, and lanes for as many threads as do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.bundle._stored_sizes import StoredSizes
from lerg_runtime.errors import BudgetError
from lerg_runtime.planning._phases import Phase, Workload
from lerg_runtime.planning._plan import plan_memory
from lerg_runtime.planning._sizes import (
    counts_bytes,
    degree_bytes,
    lane_bytes,
    metric_item,
    metric_making_bytes,
    program_bytes,
    resident_items,
    table_items,
    triple_bytes,
)
from lerg_runtime.sizes import format_size

__all__ = ["Share", "check_phase", "finetune_changes", "share_out"]

_FEW_USERS = 16  # at once: from here on a wider lane is worth less than another one


@dataclass(frozen=True, slots=True)
class Share:
    """How memory is shared out among threads that ask: users in one call of the program, and lanes."""

    users_at_once: int
    lanes: int


def share_out(
    manifest: Manifest,
    sizes: StoredSizes,
    *,
    local: int,
    budget_bytes: int | None,
    threads: int,
    beside_bytes: int | None = None,
    disliked: int = 0,
    remainder: bool = False,
) -> Share | None:
    """As many lanes as are wanted and fit, and as wide ones; they are narrowed to have more of them.

    Args:
        manifest: of the bundle.
        sizes: of its arrays.
        local: interactions in its state.
        budget_bytes: the budget, None for none.
        threads: lanes that are wanted.
        beside_bytes: in use by something else, the resident arrays included; None for these alone.
        disliked: pairs in its state that were rated low.
        remainder: its state has what rounding left of the codebook.

    Returns:
        None if not even one lane for one user fits.
    """
    widest = manifest.model.max_users
    if budget_bytes is None:
        return Share(widest, threads)
    resident = sum(
        item.size_bytes for item in resident_items(manifest, sizes, local, disliked, remainder=remainder)
    )
    tables = sum(item.size_bytes for item in (*table_items(manifest), *metric_item(manifest)))
    spare = budget_bytes - (resident if beside_bytes is None else beside_bytes) - tables
    found: list[Share] = []
    users = widest
    while users > 0 and spare >= max(program_bytes(manifest, "encode"), metric_making_bytes(manifest)):
        lanes = (spare - degree_bytes(manifest) - counts_bytes(manifest)) // lane_bytes(manifest, users)
        if lanes > 0:
            found.append(Share(users, min(lanes, threads)))
        users //= 2
    wide = [share for share in found if share.users_at_once >= _FEW_USERS] or found
    return max(wide, key=lambda share: (share.lanes, share.users_at_once), default=None)


def check_phase(
    phase: Phase, budget_bytes: int | None, *, doing: str, changes: Iterable[tuple[str, Phase]] = ()
) -> None:
    """Refuse a phase that does not fit.

    Args:
        phase: what is about to start.
        budget_bytes: the budget, None for none.
        doing: how to call it, such as `opening this bundle`.
        changes: the phase as it would be after a change, smallest change first.

    Raises:
        BudgetError: it does not fit; names each item and the first change that does.
    """
    if budget_bytes is None or phase.total_bytes <= budget_bytes:
        return
    listed = ", ".join(f"{item.name} {item.size_bytes}" for item in phase.items)
    remedy = f"give at least {phase.total_bytes} bytes ({format_size(phase.total_bytes)})"
    fitting = next((name for name, changed in changes if changed.total_bytes <= budget_bytes), None)
    raise BudgetError(
        f"{doing} needs {phase.total_bytes} bytes and the memory budget is {budget_bytes}: {listed}; "
        + (f"{fitting} would fit, or {remedy}" if fitting else remedy),
        items=tuple((item.name, item.size_bytes) for item in phase.items),
        needed_bytes=phase.total_bytes,
        budget_bytes=budget_bytes,
    )


def finetune_changes(
    manifest: Manifest,
    sizes: StoredSizes,
    *,
    local: int,
    workload: Workload,
    budget_bytes: int,
    disliked: int = 0,
    remainder: bool = False,
) -> Iterable[tuple[str, Phase]]:
    """The fine-tune phase after ever larger changes: easier negatives, fewer triples, a smaller optimiser."""

    def phase(changed: Workload) -> Phase:
        plan = plan_memory(
            manifest, sizes, local=local, disliked=disliked, remainder=remainder, workload=changed
        )
        return plan.phase("finetune")

    uniform = replace(workload, negative_candidates=1)
    lean = replace(uniform, optimiser="sgd", momentum=False)
    # A bundle without a default for it wants one of the caller's.
    rate = "" if manifest.finetune.sgd_learning_rate is not None else ", a learning_rate for it"
    rungs = [("", uniform), (f"optimiser 'sgd' with momentum 0{rate}", lean)]
    if workload.negative_candidates > 1:
        one = "negative_candidates 1"
        rungs = [("", workload), (one, uniform), (f"{one} and {rungs[1][0]}", lean)]
    for name, candidate in rungs:
        if name:
            yield name, phase(candidate)
        spare = budget_bytes - phase(replace(candidate, batch=2)).total_bytes
        batch = min(candidate.batch, 2 + spare // triple_bytes(candidate))
        if 2 <= batch < candidate.batch:
            changed = replace(candidate, batch=batch)
            yield " and ".join(filter(None, (name, f"batch {batch}"))), phase(changed)
