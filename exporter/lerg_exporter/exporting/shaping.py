"""The stage that makes the model that ships of the pretrained one: whom to keep, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from lerg_edge.pruning.model import CompressedModel
from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.selection import SELECTORS, Selection
from lerg_edge.training.options import Pretrained
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.exporting.budget import Plan
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.kinds.selectors import AUTO
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.selecting import choose, selected, selection_settings, validated

__all__ = ["Given", "Shaped", "Shaping", "shaped"]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a model is shaped from.

    Attributes:
        cut: training pairs, and what validation leaves of them.
        model: the pretrained one.
        embeddings: float32 [N, d], propagated over all training pairs.
        options, plan: as asked for, and what was chosen.
    """

    cut: Cut
    model: Pretrained
    embeddings: np.ndarray
    options: ExportOptions
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class Shaped:
    """A model of the retained entities, and the same one as seen without the validation pairs.

    Attributes:
        model: over all training interactions.
        twin: over those that validation leaves; its weights and its selection are the model's.
        summary: how the selection and what followed came out, for people.
    """

    model: CompressedModel
    twin: CompressedModel
    summary: dict[str, Any]


class Shaping(Protocol):
    """How the models of one propagation are made; made from a :class:`Given`."""

    def settings(self) -> Mapping[str, object]:
        """All but graph, selection and bits that a model depends on, for a fingerprint."""

    def rows(self, selection: Selection, placeholders: Placeholders) -> tuple[np.ndarray, np.ndarray]:
        """Rows by user and by item that a selection would give, had nobody seen the validation pairs."""

    def shape(self, selection: Selection, placeholders: Placeholders) -> Shaped:
        """The model and its twin; the summary tells of all but the selection."""

    def restored(self, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> CompressedModel:
        """A model that its `to_stage` took apart."""


def shaped(given: Given, make: Callable[[Given], Shaping], *, work: WorkDir) -> Shaped:
    """Select whom to keep, give the others placeholders, and make the model of those who stay.

    What a selector of one's own chose is never taken from the folder: no fingerprint knows its code.

    Args:
        make: of the propagation, from `lerg_exporter.exporting.shapings`.

    Raises:
        InputError: constraints that contradict each other, a selector that cannot be used, or a propagation
            that cannot do with those who stay.
        BudgetError: an edge budget that no choice meets.
    """
    options, train = given.options, given.cut.train
    name, shaping = options.propagation_kind.model, make(given)
    settings = {**selection_settings(train, options, plan=given.plan), **shaping.settings()}
    key = fingerprint(
        name,
        graph=given.cut.matrix,
        codebook=given.model.codebook,
        step=given.model.step,
        **settings,
    )
    known = options.selector in (AUTO, *SELECTORS)
    found = work.load(name, key) if known else None
    if found is not None:
        tensors, numbers = found
        twin = {name.removeprefix("twin_"): tensors[name] for name in tensors if name.startswith("twin_")}
        model = shaping.restored(tensors, numbers["model"])
        return Shaped(model, shaping.restored({**tensors, **twin}, numbers["model"]), numbers["summary"])

    def score(selection: Selection, placeholders: Placeholders) -> float:
        return validated(
            *shaping.rows(selection, placeholders),
            given.cut.split,
            pruned=~selection.retained[: train.user_count],
            by_history=options.pruned_users != "placeholder",
        )

    (selection, placeholders), scores = choose(
        options.selector, partial(selected, given.cut, given.embeddings, options, plan=given.plan), score
    )
    made = shaping.shape(selection, placeholders)
    chosen = asdict(selection.report) | ({"validation_ndcg@20": scores} if scores else {})
    result = Shaped(made.model, made.twin, {"selection": chosen, **made.summary})
    tensors, numbers = result.model.to_stage()
    others = {name: array for name, array in result.twin.to_stage()[0].items() if array is not tensors[name]}
    work.store(
        name,
        key,
        tensors={**tensors, **{f"twin_{name}": array for name, array in others.items()}},
        result={"model": numbers, "summary": result.summary},
    )
    return result
