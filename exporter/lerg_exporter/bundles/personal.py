"""Filling a personal bundle: items, two programs, and nothing of the people that they were learned from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from lerg_edge.codes.quantiser import dequantise
from lerg_edge.data.interactions import IdMap
from lerg_edge.personal.model import PersonalModel
from lerg_edge.storage import REFERENCE_DIM
from lerg_exporter.bundles.golden import personal_examples
from lerg_exporter.bundles.measure import Footprint, footprints
from lerg_exporter.bundles.stock_android import check_android
from lerg_exporter.bundles.write import one_thread, program_entry
from lerg_exporter.programs.choice import LOWERINGS, personal_methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.quiet_imports import quiet_imports
from lerg_runtime.bundle import FeatureMap, PersonalManifest, pack, write_personal_bundle

if TYPE_CHECKING:
    from lerg_exporter.programs.trace import Program

__all__ = ["PersonalDraft", "draft_personal", "write_personal"]

_GOLDEN_SEED = 20
_BATCH = 128  # items that are learned from at a time: with weights of a thousand others each, half a megabyte
_LEARNING_RATE = 3e-4  # of 1e-4 to 1e-2 the largest that did no harm on generated interests
_FLOAT_BYTES = 4
_CODE_CONSTANTS = ("codes", "weights", "scales", "scale_table")


@dataclass(frozen=True, slots=True, eq=False)
class PersonalDraft:
    """A personal model with its programs: all of a bundle but what is measured once it runs.

    Attributes:
        model: items and the rule.
        lowering: how the programs compute.
        max_history, max_k: largest inputs of `recommend`.
        max_batch: of `finetune`; 0 without it.
        program: as traced.
        footprints: what each method takes beside its arenas.
        golden: arrays of golden examples.
    """

    model: PersonalModel
    lowering: str
    max_history: int
    max_k: int
    max_batch: int
    program: Program
    footprints: Mapping[str, Footprint]
    golden: Mapping[str, np.ndarray]


def draft_personal(
    model: PersonalModel,
    limits: ProgramLimits,
    *,
    lowering: str = "native",
    max_history: int,
    learns: bool = False,
) -> PersonalDraft:
    """Trace the programs of a personal model, answer their golden examples, and measure what they take.

    Args:
        learns: with the program `finetune`.

    Raises:
        InputError: the lowering is not available, or the model has no item.
        LergError: a portable program could not be run by stock ExecuTorch on Android.
    """
    with quiet_imports():
        from lerg_exporter.programs.trace import trace
    max_batch = _BATCH if learns else 0
    methods = personal_methods_of(
        model, limits, lowering=lowering, max_history=max_history, max_batch=max_batch
    )
    with one_thread():
        golden = personal_examples(methods, bits=model.items.bits, seed=_GOLDEN_SEED)
    program = trace(methods)
    if LOWERINGS[lowering].stock:
        check_android(program.plans)
    return PersonalDraft(
        model,
        lowering,
        max_history,
        min(limits.max_k, model.item_count),
        max_batch,
        program,
        footprints(program, slots=(0, model.items.item_count)),
        golden,
    )


def write_personal(
    draft: PersonalDraft,
    folder: str | os.PathLike[str],
    *,
    item_ids: IdMap,
    entities: int,
    item_titles: Sequence[str | None] | None = None,
    item_features: FeatureMap | None = None,
    data: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> PersonalManifest:
    """Write a personal bundle, whole or not at all.

    Args:
        draft: the model and its programs.
        folder: where.
        item_ids: of the I items, in index order.
        entities: users and items that a full table would have rows for, to compare sizes with.
        item_titles: by index; None for a bundle without titles.
        item_features: the map from features of items to rows; None for a bundle without.
        data, training: what was read and how the model was made, for people; nothing of any one user.
        metrics: by stage.
        overwrite: replace a bundle that is there.

    Raises:
        lerg_runtime.errors.InputError: `folder` is in the way.
    """
    model, items = draft.model, draft.model.items
    own_count = items.item_count - len(model.counts)
    own = model.slots < own_count
    return write_personal_bundle(
        folder,
        manifest={
            "created_with": {name: version(name) for name in ("lerg-edge", "executorch", "torch")},
            "requires": {"executorch": ".".join(version("executorch").split(".")[:2])},
            "lowering": draft.lowering,
            "serving": {"unknown": model.rule.described()},
            "model": {
                "items": model.item_count,
                "dim": items.dim,
                "bits": items.bits,
                "codebook_rows": len(items.codebook),
                "step_shape": list(items.step.shape),
                "coding": items.kind,
                "width": items.width,
                "own_rows": own_count,
                "placeholders": len(model.counts),
                "max_history": draft.max_history,
                "max_k": draft.max_k,
                **({"max_batch": draft.max_batch} if draft.max_batch else {}),
            },
            **({"finetune": {"learning_rate": _LEARNING_RATE}} if draft.max_batch else {}),
            "methods": [program_entry(plan, draft.footprints[plan.method]) for plan in draft.program.plans],
            "storage": _storage(draft, entities=entities),
            "metrics": {name: dict(values) for name, values in (metrics or {}).items()},
            "data": dict(data or {}),
            "training": dict(training or {}),
        },
        program=draft.program.data,
        item_ids=item_ids.values,
        own_rows=own,
        item_placeholder=model.slots[~own] - own_count,
        degrees=model.degree_codes,
        codebook=pack(items.integers(), bits=items.bits),
        step=items.step,
        golden=draft.golden,
        item_titles=item_titles,
        item_features=item_features,
        parameters=_parameters(draft),
        overwrite=overwrite,
    )


def _parameters(draft: PersonalDraft) -> bytes | None:
    """`model.ptd`, for stock ExecuTorch: the weights for a runtime that does not read the state."""
    if not LOWERINGS[draft.lowering].stock or draft.program.parameter_data is None:
        return None
    with quiet_imports():
        from lerg_exporter.programs.trace import with_parameters
    items = draft.model.items
    values = dequantise(items.integers(), items.step)
    return with_parameters(draft.program.parameter_data, {"codebook": values, "step": items.step.reshape(-1)})


def _storage(draft: PersonalDraft, *, entities: int) -> dict[str, Any]:
    items = draft.model.items
    stored = {
        "codebook": len(items.codebook) * items.dim * items.bits // 8,
        "codebook_steps": _FLOAT_BYTES * len(items.step),
        "item_codes": sum(draft.program.constants.get(name, 0) for name in _CODE_CONSTANTS),
        "degrees": draft.model.item_count,
    }
    return {
        "embedding_bytes": sum(stored.values()),
        "baseline_bytes": entities * REFERENCE_DIM * _FLOAT_BYTES,
        "reference_dim": REFERENCE_DIM,
        "items": stored,
        "constants": dict(draft.program.constants),
    }
