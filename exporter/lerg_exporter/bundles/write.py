"""Filling a bundle: programs, their plans and golden examples, the weights, and what was measured."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lerg_edge.codes.quantiser import dequantise, quantise
from lerg_edge.data.interactions import Interactions
from lerg_edge.pruning.model import CompressedModel, retained_items, retained_users
from lerg_edge.storage import embedding_storage, propagation_cost
from lerg_exporter.bundles.golden import golden_examples
from lerg_exporter.bundles.measure import Footprint, footprints
from lerg_exporter.bundles.stock_android import check_android
from lerg_exporter.programs.choice import LOWERINGS, methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.quiet_imports import quiet_imports
from lerg_runtime.bundle import FeatureMap, Manifest, State, pack, unpack, write_bundle

if TYPE_CHECKING:
    from lerg_exporter.programs.trace import MethodPlan, Program

__all__ = ["Draft", "draft_bundle", "one_thread", "program_entry", "write"]

PROGRAM_FILE = "model.pte"
_GOLDEN_SEED = 20


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A model with its programs: all of a bundle but what is measured once it runs.

    Attributes:
        model: the rewired or folded model.
        limits: largest inputs of the programs.
        lowering: by which operators the programs compute.
        program: as traced.
        footprints: what each method takes beside its arenas.
        golden: arrays of `golden.arrays`.
    """

    model: CompressedModel
    limits: ProgramLimits
    lowering: str
    program: Program
    footprints: Mapping[str, Footprint]
    golden: Mapping[str, Any]


def draft_bundle(
    model: CompressedModel,
    limits: ProgramLimits,
    *,
    lowering: str = "native",
    with_golden: bool = True,
) -> Draft:
    """Trace the programs of `model`, answer their golden examples, and measure what they take.

    Args:
        with_golden: False leaves the examples out, for a bundle that nobody will verify.

    Raises:
        InputError: the lowering is not available for such a model, or the model has an empty side.
        LergError: a portable program could not be run by stock ExecuTorch on Android.
    """
    with quiet_imports():
        from lerg_exporter.programs.trace import trace
    methods = methods_of(model, limits, lowering=lowering)
    golden: Mapping[str, Any] = {}
    if with_golden:
        with one_thread():
            golden = golden_examples(methods, bits=model.bits, seed=_GOLDEN_SEED)
    program = trace(methods)
    if LOWERINGS[lowering].stock:
        check_android(program.plans)
    slots = (
        len(retained_users(model)) + model.placeholders.user_count,
        len(retained_items(model)) + model.placeholders.item_count,
    )
    return Draft(model, limits, lowering, program, footprints(program, slots=slots), golden)


def write(
    draft: Draft,
    folder: str | os.PathLike[str],
    *,
    interactions: Interactions,
    seen_only: Mapping[str, Interactions] | None = None,
    item_titles: Sequence[str | None] | None = None,
    item_features: FeatureMap | None = None,
    data: Mapping[str, Any] | None = None,
    state: State | None = None,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    intervals: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    training: Mapping[str, Any] | None = None,
    finetune: Mapping[str, Any],
    serving: Mapping[str, Any] | None = None,
    full_edges: int | None = None,
    packed: bool = True,
    overwrite: bool = False,
) -> Manifest:
    """Write a bundle, whole or not at all.

    Args:
        draft: the model and its programs.
        folder: where.
        interactions: what was trained on, and what fine-tuning replays.
        seen_only: by `held_out` and `disliked`, what users have seen beside it.
        item_titles: by index; None for a bundle without titles.
        item_features: the map from features of items to rows; None for a bundle without.
        data: what was read and how it was split, for people.
        state: weights to ship in place of the draft's own.
        metrics: by stage.
        intervals: by stage and metric, the bounds of a 95 % interval.
        training: how the model was made, for people.
        finetune: defaults of fine-tuning on the device.
        serving: how everybody is served, as the manifest says it; None for placeholders and tables.
        full_edges: interactions that the full graph has; None for those of `interactions`.
        packed: False stores a native program as it is, `model.pte`, for whoever looks into it.
        overwrite: replace a bundle that is there.

    Raises:
        lerg_runtime.errors.InputError: `folder` is in the way.
    """
    model = draft.model
    edges = interactions.pair_count if full_edges is None else full_edges
    codebook, step = pack(quantise(model.codebook, model.step, bits=model.bits), bits=model.bits), model.step
    if state is not None:
        codebook, step = state.codebook, state.step
    users = slice(0, model.user_count)
    items = slice(model.user_count, None)
    index = model.placeholders.index
    return write_bundle(
        Path(folder),
        manifest={
            "created_with": {name: version(name) for name in ("lerg-edge", "executorch", "torch")},
            "requires": {"executorch": ".".join(version("executorch").split(".")[:2])},
            "lowering": draft.lowering,
            "propagation": model.propagation,
            "serving": dict(serving or {}),
            "model": _sizes(draft),
            "form": "shared",
            "methods": [program_entry(plan, draft.footprints[plan.method]) for plan in draft.program.plans],
            "storage": {**_storage(model), "constants": dict(draft.program.constants)},
            "metrics": {name: dict(values) for name, values in (metrics or {}).items()},
            **_intervals(intervals),
            "macs": propagation_cost(model, full_edges=edges),
            "data": dict(data or {}),
            "training": dict(training or {}),
            "finetune": dict(finetune),
        },
        program=draft.program.data,
        user_ids=interactions.user_ids.values,
        item_ids=interactions.item_ids.values,
        retained_users=model.retained[users],
        retained_items=model.retained[items],
        user_placeholder=index[users][~model.retained[users]],
        item_placeholder=index[items][~model.retained[items]],
        interactions=(interactions.users, interactions.items),
        seen_only={name: (pairs.users, pairs.items) for name, pairs in (seen_only or {}).items()},
        codebook=codebook,
        step=step,
        golden=draft.golden,
        item_titles=item_titles,
        item_features=item_features,
        cuts=_cuts(draft) if packed else None,
        parameters=_parameters(draft, codebook, step),
        overwrite=overwrite,
    )


def _cuts(draft: Draft) -> dict[str, tuple[int, int]] | None:
    """The constants by which a program is packed; None for one that stock ExecuTorch reads."""
    if LOWERINGS[draft.lowering].stock:
        return None
    program = draft.program
    return {name: (program.places[name], size) for name, size in program.constants.items()}


def _intervals(intervals: Mapping[str, Mapping[str, Sequence[float]]] | None) -> dict[str, Any]:
    """What the manifest says of them; nothing where nothing was measured."""
    found = {
        stage: {name: list(bounds) for name, bounds in named.items()}
        for stage, named in (intervals or {}).items()
        if named
    }
    return {"intervals": found} if found else {}


def _sizes(draft: Draft) -> dict[str, Any]:
    model, limits = draft.model, draft.limits
    return {
        "users": model.user_count,
        "items": model.item_count,
        "dim": int(model.codebook.shape[1]),
        "bits": model.bits,
        "codebook_rows": model.codebook_rows,
        "layers": model.layers,
        "retained_users": len(retained_users(model)),
        "retained_items": len(retained_items(model)),
        **model.sizes(),
        "user_placeholders": model.placeholders.user_count,
        "item_placeholders": model.placeholders.item_count,
        "step_shape": list(model.step.shape),
        "max_batch": limits.max_batch,
        "max_users": limits.max_users,
        "max_k": min(limits.max_k, model.item_count),
        "item_table": limits.item_table,
        "layer_storage": limits.layer_storage,
        "l2": limits.l2,
    }


def _parameters(draft: Draft, codebook: np.ndarray, step: np.ndarray) -> bytes | None:
    """`model.ptd` for stock ExecuTorch: the weights for a runtime that does not read the state."""
    if not LOWERINGS[draft.lowering].stock or draft.program.parameter_data is None:
        return None
    with quiet_imports():
        from lerg_exporter.programs.trace import with_parameters
    values = dequantise(unpack(codebook, bits=draft.model.bits), step)
    return with_parameters(draft.program.parameter_data, {"codebook": values, "step": step})


def program_entry(plan: MethodPlan, footprint: Footprint) -> dict[str, Any]:
    """What a manifest says of one method."""
    return {
        "method": plan.method,
        "file": PROGRAM_FILE,
        "planned_bytes": sum(plan.arena_bytes) + footprint.scratch_bytes,
        "arena_bytes": list(plan.arena_bytes),
        "scratch_bytes": footprint.scratch_bytes,
        "structure_bytes": footprint.structure_bytes,
        "operators": list(plan.operators),
        "inputs": [asdict(spec) for spec in plan.inputs],
        "outputs": [asdict(spec) for spec in plan.outputs],
    }


def _storage(model: CompressedModel) -> dict[str, Any]:
    report = embedding_storage(model)
    return {
        "embedding_bytes": report.embedding_bytes,
        "baseline_bytes": report.baseline_bytes,
        "reference_dim": report.reference_dim,
        "items": asdict(report.items),
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums over several threads may differ in their last bits, and golden examples must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
