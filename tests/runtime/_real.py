"""A bundle with a traced program, of a small model that was not trained."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _tiny import raw_ids
from traced import traced

CODES, DIM, PLACES = 60, 16, 6


@dataclass(frozen=True)
class RealBundle:
    """A folder, the model that it was made from, and the training pairs."""

    folder: Path
    model: Any
    users: np.ndarray
    items: np.ndarray


def untrained_model(*, bits: int, per_row: bool, blocks: int, seed: int = 0) -> tuple[Any, Any]:
    """A rewired model of generated interactions, and these; four fifths of each side are retained.

    Rows are sums of two codes or, unless `blocks` is 0, so many blocks.
    """
    from lerg_edge.data.synthetic import generate
    from lerg_edge.pruning.placeholders import Placeholders
    from lerg_edge.pruning.rewired_model import RewiredModel

    random = np.random.default_rng(seed)
    interactions = generate(120, 90, 1_500, communities=6, seed=7)
    users, items = interactions.user_count, interactions.item_count
    retained = np.arange(users + items) % 5 != 4
    anchors = np.concatenate([np.arange(users), np.arange(items)]) % CODES
    assignment = np.stack([anchors, (anchors + 1 + np.arange(users + items) % 7) % CODES], axis=1)
    if blocks:
        assignment = (anchors[:, None] * np.arange(1, blocks + 1)) % CODES
    half = 1 if bits == 32 else 1 << (bits - 1)
    kind = {16: np.int16, 32: np.float32}.get(bits, np.int8)
    steps = 0.2 / half * (1 + random.random(CODES if per_row else 1))
    index = np.where(retained, -1, random.integers(0, PLACES // 2, users + items))
    model = RewiredModel(
        user_count=users,
        item_count=items,
        assignment=assignment.astype(np.int32),
        anchor_weight=0.9,
        codebook_rows=CODES,
        codebook=random.normal(scale=0.1, size=(CODES, DIM)).astype(np.float32),
        step=np.ones(1, np.float32) if bits == 32 else steps.astype(np.float32),
        bits=bits,
        layers=2,
        retained=retained,
        graph=interactions.matrix()[retained[:users]][:, retained[users:]].tocsr(),
        placeholders=Placeholders(
            codes=random.integers(-half, half, size=(PLACES, DIM)).astype(kind),
            step=np.array([1.0 if bits == 32 else 0.1 / half], np.float32),
            user_count=PLACES // 2,
            bits=bits,
            index=index.astype(np.int32),
        ),
        composition="blocks" if blocks else "sum",
    )
    return model, interactions


def folded_model(model: Any, interactions: Any, *, entries: int) -> Any:
    """The same model with the largest entries of its P in place of assignment and graph."""
    from lerg_edge.codes.assignment import Assignment
    from lerg_edge.folding.folded_model import FoldedModel
    from lerg_edge.folding.matrix import largest_entries

    assignment = Assignment(model.assignment, model.codebook_rows, model.anchor_weight)
    rows = largest_entries(interactions.matrix(), assignment, layers=model.layers, entries=entries)
    return FoldedModel(
        model.user_count,
        model.item_count,
        rows.take(model.retained),
        model.codebook,
        model.step,
        model.bits,
        model.layers,
        model.retained,
        model.placeholders,
    )


def write_real(
    folder: Path,
    *,
    bits: int = 8,
    per_row: bool = False,
    blocks: int = 0,
    entries: int | None = None,
    lowering: str = "native",
    **limits: Any,
) -> RealBundle:
    """Trace the model's programs, unless a test has already, and write the bundle, user ids being text.

    With `entries` the model is folded to so many entries a row; with `blocks` its rows are so many blocks.
    `limits` are more fields of `ProgramLimits`.
    """
    from lerg_edge.data.interactions import IdMap
    from lerg_exporter.bundles.write import draft_bundle, write
    from lerg_exporter.programs.limits import ProgramLimits

    model, interactions = untrained_model(bits=bits, per_row=per_row, blocks=blocks)
    if entries is not None:
        model = folded_model(model, interactions, entries=entries)
    named = replace(
        interactions,
        user_ids=IdMap.from_values(raw_ids("text", model.user_count, prefix="user")),
        item_ids=IdMap.from_values(raw_ids("integer", model.item_count, prefix="item")),
    )
    most = ProgramLimits(max_batch=256, max_users=16 if lowering == "native" else 1, max_k=32, **limits)

    def make(place: Path) -> None:
        draft = draft_bundle(model, most, lowering=lowering)
        write(draft, place, interactions=named, finetune={"learning_rate": 0.02, "batch": 128})

    kind = f"untrained {bits} {per_row} {blocks} {entries} {lowering} {most}"
    shutil.copytree(traced(kind, make), folder)
    return RealBundle(folder, model, interactions.users, interactions.items)
