"""What a report tells, gathered from an export and the bundle that it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lerg_edge.data.interactions import Dataset
from lerg_exporter.bundles.inspection import inspect_bundle
from lerg_exporter.exporting.personal import PersonalReport
from lerg_exporter.exporting.pipeline import ExportReport
from lerg_exporter.reporting.people import Person, some_people
from lerg_exporter.reporting.pictures import Curve
from lerg_runtime import Recommender
from lerg_runtime.planning import MemoryPlan

__all__ = ["Found", "gathered"]


@dataclass(frozen=True, slots=True)
class Found:
    """All that the page shows.

    Attributes:
        name: of the bundle's folder.
        dataset: what it was made from.
        bundle: what `inspect_bundle` tells.
        plan: memory on a device.
        curves: by epoch, of pretraining and of fine-tuning.
        codings: of a personal bundle, each that was tried: its name, bytes, and NDCG@20, None where too few
            people could be asked.
        coding: the one that was taken.
        people: some, with recommendations.
    """

    name: str
    dataset: Dataset
    bundle: Mapping[str, Any]
    plan: MemoryPlan
    curves: tuple[Curve, ...]
    codings: tuple[tuple[str, int, float | None], ...]
    coding: str | None
    people: tuple[Person, ...]

    @property
    def is_personal(self) -> bool:
        """Whether the bundle knows no user."""
        return self.bundle["form"] == "personal"


def gathered(report: ExportReport | PersonalReport, dataset: Dataset) -> Found:
    """Open the bundle of an export and ask it.

    Raises:
        lerg_runtime.errors.BundleError: it is not there any more, or was changed.
    """
    with Recommender.open(report.path) as recommender:
        plan, people = recommender.plan(), some_people(recommender, dataset)
    curves: tuple[Curve, ...] = ()
    codings: tuple[tuple[str, int, float | None], ...] = ()
    coding = None
    if isinstance(report, PersonalReport):
        codings = tuple(
            (str(trial.coding), trial.stored_bytes, trial.score if trial.choice.scores else None)
            for trial in report.tried
        )
        coding = str(report.chosen.coding)
    else:
        curves = tuple(_curves(report))
    return Found(
        report.path.resolve().name,
        dataset,
        inspect_bundle(report.path),
        plan,
        curves,
        codings,
        coding,
        people,
    )


def _curves(report: ExportReport) -> list[Curve]:
    """Validation where there was any, else the loss."""
    curves = []
    history = report.history
    if history:
        scores = tuple(epoch.ndcg for epoch in history if epoch.ndcg is not None)
        asked = len(scores) == len(history)
        values = scores if asked else tuple(epoch.loss for epoch in history)
        kept = report.best_epoch if asked else None
        curves.append(Curve("Pretraining", _axis(asked), history[0].epoch, values, kept))
    tuned = report.tuned
    if tuned is not None and tuned.scores:
        curves.append(Curve("Fine-tuning", _axis(True), 0, tuned.scores, tuned.best_epoch))
    elif tuned is not None and tuned.losses:
        curves.append(Curve("Fine-tuning", _axis(False), 1, tuned.losses, None))
    return curves


def _axis(asked: bool) -> str:
    return "validation NDCG@20" if asked else "loss"
