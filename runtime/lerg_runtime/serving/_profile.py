"""Time and memory of each program of an open bundle, on the machine at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lerg_runtime._numbers import quantiles
from lerg_runtime.engine._engine import native
from lerg_runtime.engine._resident import peak_resident_bytes
from lerg_runtime.planning._fitting import check_phase
from lerg_runtime.planning._plan import plan_profile
from lerg_runtime.planning._sizes import gathered_shape
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._metric import make_metrics
from lerg_runtime.serving._user_rows import UserRows

__all__ = ["Latency", "MethodProfile", "Profile", "profile"]

_WARM_UP_RUNS = 2
_LEAST_RUNS = 5
_TRACED_RUNS = 5


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one run: median, 95th and 99th percentile."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class MethodProfile:
    """One program.

    Attributes:
        method: `encode`, `recommend` or `finetune`.
        latency_ms: over `runs` runs after a warm-up.
        runs: how many were timed.
        size: what one run works on, such as `1 user` or `2048 triples`.
        operators_ms: milliseconds of each operator in a run, its calls added up; median of a few more runs.
    """

    method: str
    latency_ms: Latency
    runs: int
    size: str
    operators_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """What `profile` has found.

    Attributes:
        methods: one entry per program.
        planned_bytes: the most that the plan allows for any phase of this work.
        allocated_bytes: the most that was taken from the budget.
        peak_rss_bytes: most that was resident since the process began.
        baseline_rss_bytes: resident when the bundle was about to be opened.
        build: of the native module: ExecuTorch's version, instruction set, threads.
    """

    methods: tuple[MethodProfile, ...]
    planned_bytes: int
    allocated_bytes: int
    peak_rss_bytes: int
    baseline_rss_bytes: int
    build: dict[str, Any]


def profile(
    bundle: OpenBundle,
    *,
    baseline_rss_bytes: int,
    k: int,
    runs: int,
    seconds: float,
    on_progress: Callable[[int, int], object] | None = None,
) -> Profile:
    """Time each program; weights and interactions stay as they are.

    Args:
        bundle: an open bundle; its tables are dropped if no call is on them.
        baseline_rss_bytes: resident memory before it was opened.
        k: items asked for in `recommend`, for one user.
        runs: timed runs of a program at most.
        seconds: after which a program is timed no more, once it ran a few times.
        on_progress: called with programs done and programs in all.

    Raises:
        BudgetError: a program does not fit the budget.
        LergRuntimeError: somebody learns or profiles.
    """
    with bundle.desk.turn("profiled"):
        return _profile(
            bundle,
            baseline_rss_bytes=baseline_rss_bytes,
            k=k,
            runs=runs,
            seconds=seconds,
            on_progress=on_progress,
        )


def _profile(
    bundle: OpenBundle,
    *,
    baseline_rss_bytes: int,
    k: int,
    runs: int,
    seconds: float,
    on_progress: Callable[[int, int], object] | None,
) -> Profile:
    phases = plan_profile(bundle.manifest, bundle.plan(bundle.workload(users_at_once=1)))
    for phase in phases:
        check_phase(phase, bundle.budget_bytes, doing="profiling")
    planned = max(phase.total_bytes for phase in phases)
    bundle.make_room(planned, doing="profiled")
    work: list[tuple[str, Callable[[OpenBundle], _Call], str]] = [
        ("encode", _encode_inputs, "both tables"),
        ("recommend", lambda of: _recommend_inputs(of, k), f"1 user, {k} items"),
        ("finetune", _finetune_inputs, f"{bundle.manifest.finetune.batch} triples"),
    ]
    methods = []
    for method, make, size in work:
        methods.append(_time(bundle, method, make, size, runs=runs, seconds=seconds))
        if on_progress is not None:
            on_progress(len(methods), len(work))
    return Profile(
        methods=tuple(methods),
        planned_bytes=planned,
        allocated_bytes=int(bundle.engine.budget.peak),
        peak_rss_bytes=peak_resident_bytes(),
        baseline_rss_bytes=baseline_rss_bytes,
        build=dict(native().build_info()),
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """Arguments of a program: inputs, outputs, and parameters if it has any."""

    inputs: tuple[np.ndarray, ...]
    outputs: list[np.ndarray | None] | None
    parameters: dict[str, np.ndarray]


def _time(
    bundle: OpenBundle,
    method: str,
    make: Callable[[OpenBundle], _Call],
    size: str,
    *,
    runs: int,
    seconds: float,
) -> MethodProfile:
    call = make(bundle)
    loaded = bundle.engine.load(method, parameters=call.parameters)
    for _ in range(_WARM_UP_RUNS):
        loaded.execute(*call.inputs, outputs=call.outputs)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < runs and (len(times) < _LEAST_RUNS or time.perf_counter() - began < seconds):
        start = time.perf_counter()
        loaded.execute(*call.inputs, outputs=call.outputs)
        times.append((time.perf_counter() - start) * 1e3)
    del loaded
    traced = bundle.engine.load(method, parameters=call.parameters, trace=True)
    totals: dict[str, list[float]] = {}
    for _ in range(_TRACED_RUNS):
        traced.execute(*call.inputs, outputs=call.outputs)
        once: dict[str, float] = {}
        for name, milliseconds in traced.events():
            once[name] = once.get(name, 0.0) + float(milliseconds)
        for name, total in once.items():
            totals.setdefault(name, []).append(total)
    operators = {name: float(quantiles(of_runs, (0.5,))[0]) for name, of_runs in totals.items()}
    p50, p95, p99 = (float(value) for value in quantiles(times, (0.5, 0.95, 0.99)))
    return MethodProfile(method, Latency(p50, p95, p99), len(times), size, operators)


def _encode_inputs(bundle: OpenBundle) -> _Call:
    return _Call(
        (bundle.engine.packed_codebook(bundle.state.codebook), bundle.state.step), [*_tables(bundle)], {}
    )


def _recommend_inputs(bundle: OpenBundle, k: int) -> _Call:
    shape, empty = bundle.manifest.model, bundle.engine.budget.empty
    encode = bundle.engine.load("encode")
    user_table, *item_arrays = _tables(bundle)
    codes = bundle.engine.packed_codebook(bundle.state.codebook)
    encode.execute(codes, bundle.state.step, outputs=[user_table, *item_arrays])
    del encode  # its arenas must be free before those of recommend are taken
    ways, slots = bundle.manifest.ways, bundle.entities.item_slots
    metrics = make_metrics(ways.ridges, shape, tuple(item_arrays), slots, allocate=empty)
    row = empty((1, shape.dim), "float32")
    rows = UserRows(
        shape,
        bundle.entities,
        bundle.interactions,
        user_table=user_table,
        item_arrays=tuple(item_arrays),
        ways=ways,
        metrics=metrics,
        allocate=empty,
    )
    gathered = empty(gathered_shape(shape), str(item_arrays[0].dtype))
    rows.of_users(np.zeros(1, np.int64), row, gathered=gathered)
    seen = bundle.engine.empty_seen(1)
    seen[:] = False
    seen[0, bundle.interactions.of_user(0)] = True
    ranks = np.arange(min(k, shape.max_k), dtype=np.int64)
    return _Call((row, *item_arrays, bundle.entities.item_slots, seen, ranks), None, {})


def _finetune_inputs(bundle: OpenBundle) -> _Call:
    manifest, empty = bundle.manifest, bundle.engine.budget.empty
    shape, batch = manifest.model, manifest.finetune.batch
    latent, step = empty((shape.codebook_rows, shape.dim), "float32"), empty((shape.step_count,), "float32")
    native().dequantise(bundle.state.codebook, bundle.state.step, shape.bits, latent)
    step[:] = bundle.state.step
    random = np.random.default_rng(0)
    inputs = tuple(empty((batch,), "int64") for _ in range(3))
    for indices, slots in zip(inputs, (shape.user_slots, shape.item_slots, shape.item_slots), strict=True):
        indices[:] = random.integers(slots, size=batch)
    gradients = [empty(latent.shape, "float32"), empty(step.shape, "float32")]
    return _Call(inputs, [empty((), "float32"), *gradients, None, None], {"codebook": latent, "step": step})


def _tables(bundle: OpenBundle) -> list[np.ndarray]:
    shape, empty = bundle.manifest.model, bundle.engine.budget.empty
    arrays = (("float32", (shape.user_slots, shape.dim)), *shape.item_arrays)
    return [empty(size, dtype) for dtype, size in arrays]
