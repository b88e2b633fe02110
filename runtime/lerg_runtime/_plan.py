"""How much memory a bundle needs, item by item, known before any of it is taken.

The items are what the runtime takes from its budget: arrays, ExecuTorch's arenas and scratch. Python, numpy
and the native libraries are not among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from lerg_runtime._user_rows import gathered_shape
from lerg_runtime.bundle._csr import index_dtype
from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.bundle._programs import PROGRAM_FILE
from lerg_runtime.bundle._reader import StoredSizes
from lerg_runtime.errors import BudgetError
from lerg_runtime.sizes import format_size

__all__ = [
    "MemoryPlan",
    "Phase",
    "PlanItem",
    "Share",
    "Workload",
    "check_phase",
    "plan_memory",
    "plan_tests",
    "share_out",
]

_FEW_USERS = 16  # at once: from here on a wider lane is worth less than another one
_ALIGNMENT = 64  # the native allocator counts every block in units of this


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One thing that takes memory."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Phase:
    """All that is in memory at the same time during one kind of work."""

    name: str
    items: tuple[PlanItem, ...]

    @property
    def total_bytes(self) -> int:
        """Sum of the items."""
        return sum(item.size_bytes for item in self.items)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What opening, encoding, recommending and fine-tuning need.

    Attributes:
        phases: `open`, `encode`, `recommend`, `finetune`; one is in progress at a time.
        resident: in memory as long as the bundle is open; every phase has them.
        lane_bytes: what each further thread takes that asks at the same time.
    """

    phases: tuple[Phase, ...]
    resident: tuple[PlanItem, ...]
    lane_bytes: int

    def phase(self, name: str) -> Phase:
        """One phase by name; raises KeyError if there is none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)

    @property
    def peak_bytes(self) -> int:
        """The most that any phase needs."""
        return max(phase.total_bytes for phase in self.phases)


@dataclass(frozen=True, slots=True)
class Workload:
    """What the size of some items depends on.

    Attributes:
        users_at_once: users ranked by one call of the program.
        lanes: threads that ask at the same time.
        batch: triples in one step of fine-tuning.
        optimiser: `adam` or `sgd`.
        momentum: SGD keeps a velocity.
        new_interactions: given to fine-tuning.
        repeated: of them, known before.
        new_disliked: pairs given to it that are rated low.
        replayed: earlier interactions that an epoch goes over again; None for all.
        negative_candidates: items drawn for each negative; more than one needs tables to rank them by.
    """

    users_at_once: int
    batch: int
    optimiser: str = "adam"
    momentum: bool = True
    new_interactions: int = 0
    repeated: int = 0
    new_disliked: int = 0
    replayed: int | None = None
    negative_candidates: int = 1
    lanes: int = 1

    @classmethod
    def usual(cls, manifest: Manifest) -> Workload:
        """What a bundle does unless it is told otherwise."""
        defaults = manifest.finetune
        return cls(
            users_at_once=manifest.model.max_users,
            batch=defaults.batch,
            momentum=defaults.momentum > 0,
            negative_candidates=defaults.negative_candidates,
        )


def plan_memory(
    manifest: Manifest, sizes: StoredSizes, *, local: int, workload: Workload, disliked: int = 0
) -> MemoryPlan:
    """The plan of one bundle.

    Args:
        manifest: of the bundle.
        sizes: of its arrays.
        local: interactions in its state.
        workload: what is asked of it.
        disliked: pairs in its state that were rated low.
    """
    resident = _resident(manifest, sizes, local, disliked)
    reading = PlanItem("interactions while they are read", _reading_bytes(manifest, sizes, local))
    encode, recommend, finetune = (
        PlanItem(f"program {method}", _program_bytes(manifest, method))
        for method in ("encode", "recommend", "finetune")
    )
    tables = _tables(manifest)
    ranking = PlanItem(
        f"{workload.users_at_once} users at once", _ranking_bytes(manifest, workload.users_at_once)
    )
    histories = PlanItem("rows from histories", _degree_bytes(manifest) + _gathered_bytes(manifest))
    lane = _lane_bytes(manifest, workload.users_at_once)
    more = (PlanItem(f"{workload.lanes - 1} more threads", (workload.lanes - 1) * lane),)
    training: tuple[PlanItem, ...] = (finetune,)
    if workload.negative_candidates > 1:
        # The tables are made anew for each epoch, when the program that trains is not loaded.
        training = (*tables, max(encode, finetune, key=lambda item: item.size_bytes))
    return MemoryPlan(
        (
            Phase("open", (*resident, reading)),
            Phase("encode", (*resident, *tables, encode)),
            Phase(
                "recommend",
                (*resident, *tables, recommend, histories, ranking, *more[: workload.lanes - 1]),
            ),
            Phase("finetune", (*resident, *_training(manifest, sizes, local, disliked, workload), *training)),
        ),
        resident,
        lane,
    )


def plan_tests(manifest: Manifest, pairs: int) -> PlanItem:
    """Distinct pairs to measure on, which are in memory beside recommending."""
    users = manifest.model.users
    return PlanItem(
        f"{pairs} test pairs", 2 * _blocks(4 * pairs) + _blocks(4 * (users + 1), 4 * min(users, pairs))
    )


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

    Returns:
        None if not even one lane for one user fits.
    """
    widest = manifest.model.max_users
    if budget_bytes is None:
        return Share(widest, threads)
    resident = sum(item.size_bytes for item in _resident(manifest, sizes, local, disliked))
    tables = sum(item.size_bytes for item in _tables(manifest))
    spare = budget_bytes - (resident if beside_bytes is None else beside_bytes) - tables
    found: list[Share] = []
    users = widest
    while users > 0 and spare >= _program_bytes(manifest, "encode"):
        lanes = (spare - _degree_bytes(manifest)) // _lane_bytes(manifest, users)
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
) -> Iterable[tuple[str, Phase]]:
    """The fine-tune phase after ever larger changes: easier negatives, fewer triples, a smaller optimiser."""

    def phase(changed: Workload) -> Phase:
        plan = plan_memory(manifest, sizes, local=local, disliked=disliked, workload=changed)
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
        batch = min(candidate.batch, 2 + spare // _triple_bytes(candidate))
        if 2 <= batch < candidate.batch:
            changed = replace(candidate, batch=batch)
            yield " and ".join(filter(None, (name, f"batch {batch}"))), phase(changed)


_TRIPLE_BYTES = 64  # slots int64, indices and masks of one triple
_CANDIDATE_BYTES = 8  # item and slot of one candidate more, int32


def _triple_bytes(workload: Workload) -> int:
    return _TRIPLE_BYTES + _CANDIDATE_BYTES * (workload.negative_candidates - 1)


def _blocks(*sizes: int) -> int:
    """Bytes that blocks of these sizes are counted as."""
    return sum(max(1, -(-size // _ALIGNMENT)) * _ALIGNMENT for size in sizes)


def _array_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _packed_bytes(manifest: Manifest) -> int:
    shape = manifest.model
    rows, columns = shape.packed_shape
    return _blocks(rows * columns * np.dtype(shape.packed_dtype).itemsize, 4 * shape.step_count)


def _rows_bytes(manifest: Manifest, pairs: int) -> int:
    """Interactions by user."""
    shape = manifest.model
    return _blocks(4 * (shape.users + 1), pairs * np.dtype(index_dtype(shape.items)).itemsize)


def _resident(manifest: Manifest, sizes: StoredSizes, local: int, disliked: int) -> tuple[PlanItem, ...]:
    shape = manifest.model
    low = _blocks(4 * disliked, 4 * disliked) + _rows_bytes(manifest, disliked)
    return (
        PlanItem("user ids", sizes.user_id_bytes + 2 * _ALIGNMENT),
        PlanItem("item ids", sizes.item_id_bytes + 2 * _ALIGNMENT),
        PlanItem("slots", _blocks(4 * shape.users, 4 * shape.items)),
        PlanItem("interactions", _rows_bytes(manifest, sizes.pairs + local)),
        *(
            PlanItem(f"{name} pairs", _rows_bytes(manifest, pairs))
            for name, pairs in (("held-out", sizes.held_out), ("disliked", sizes.disliked))
            if pairs
        ),
        PlanItem("codebook", _packed_bytes(manifest)),
        PlanItem("local interactions", _blocks(4 * local, 4 * local)),
        *([PlanItem("local disliked pairs", low)] if disliked else []),
        PlanItem("program file", _blocks(manifest.files[PROGRAM_FILE])),
    )


def _reading_bytes(manifest: Manifest, sizes: StoredSizes, local: int) -> int:
    before_merging = _rows_bytes(manifest, sizes.pairs) if local else 0
    return max(_blocks(4 * manifest.model.users, sizes.gap_bytes), before_merging)


def _program_bytes(manifest: Manifest, method: str) -> int:
    spec = manifest.program(method)
    return _blocks(*spec.arena_bytes, spec.scratch_bytes, spec.structure_bytes)


def _tables(manifest: Manifest) -> tuple[PlanItem, PlanItem]:
    shape = manifest.model
    return (
        PlanItem("user table", _blocks(4 * shape.user_slots * shape.dim)),
        PlanItem("item table", _blocks(*(_array_bytes(*array) for array in shape.item_arrays))),
    )


def _degree_bytes(manifest: Manifest) -> int:
    return _blocks(4 * manifest.model.items)


def _gathered_bytes(manifest: Manifest) -> int:
    """Some rows of items."""
    shape = manifest.model
    dtype, _ = shape.item_arrays[0]
    return _blocks(_array_bytes(dtype, gathered_shape(shape)))


def _lane_bytes(manifest: Manifest, users: int) -> int:
    """The program `recommend` and all that one thread needs to rank so many users at once."""
    return _program_bytes(manifest, "recommend") + _gathered_bytes(manifest) + _ranking_bytes(manifest, users)


def _ranking_bytes(manifest: Manifest, users: int) -> int:
    shape = manifest.model
    inputs = _blocks(users * shape.dim * 4, users * shape.items, 8 * shape.max_k)
    return inputs + _blocks(shape.max_users * shape.max_k * 8, shape.max_users * shape.max_k * 4)


def _training(
    manifest: Manifest, sizes: StoredSizes, local: int, disliked: int, workload: Workload
) -> tuple[PlanItem, ...]:
    shape = manifest.model
    latent = _blocks(4 * shape.codes * shape.dim, 4 * shape.step_count)
    moments = {"adam": 2, "sgd": int(workload.momentum)}[workload.optimiser]
    known = sizes.pairs + local
    added = workload.new_interactions - workload.repeated
    pairs = known + added
    replayed = known if workload.replayed is None else min(known, workload.replayed)
    items = [
        PlanItem("latent codebook", latent),
        PlanItem("gradients", latent + _ALIGNMENT),
        PlanItem("quantised result", _packed_bytes(manifest)),
        PlanItem("training order", _blocks(4 * pairs, 4 * (replayed + workload.new_interactions))),
        PlanItem(f"batch of {workload.batch}", workload.batch * _triple_bytes(workload) + 8 * _ALIGNMENT),
    ]
    if moments:
        items.append(PlanItem(f"state of {workload.optimiser}", moments * latent))
    if workload.new_interactions:
        # Their places; all interactions once more; the local ones once more. What was given is free by then.
        places = _blocks(4 * workload.new_interactions)
        grown = 2 * _blocks(4 * (local + added)) if added else 0
        items.append(
            PlanItem("new interactions", places + grown + _rows_bytes(manifest, pairs) * (added > 0))
        )
    if workload.new_disliked:
        new = _blocks(4 * workload.new_disliked) * 5
        low = _rows_bytes(manifest, disliked + workload.new_disliked)
        items.append(PlanItem("new disliked pairs", new + low))
    return tuple(items)
