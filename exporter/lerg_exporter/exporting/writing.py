"""What the bundles of one export have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.own import without_folder
from lerg_edge.training.options import Pretrained
from lerg_exporter.bundles.write import Draft, write
from lerg_exporter.exporting.budget import Plan, over_budget
from lerg_exporter.exporting.data_report import described_data, seen_beside
from lerg_exporter.exporting.item_features import MappedFeatures, map_features
from lerg_exporter.exporting.learning import Learning
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.serving import Ways
from lerg_exporter.exporting.tuning import Tuned
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime.bundle import Manifest

__all__ = ["ExportRun"]

# Of SGD without momentum: of 0.3 to 1,000 the best on held-out pairs of lastfm, and better than Adam on those
# of the generator (docs/accuracy.md).
_SGD_LEARNING_RATE = 100.0
_PLAIN = Learning()


@dataclass(frozen=True, slots=True, eq=False)
class ExportRun:
    """What every bundle of one export has in common.

    Attributes:
        dataset: what is trained on, and what counts as seen.
        options, plan: as asked for, and what was chosen.
        l2: of training.
        pretrained: the model before pruning.
        summary: how selecting and what followed came out.
        ways: how everybody is served.
        config: every setting, defaults resolved, for the manifest.
        learning: how a device learns.
        refitted: the model was trained again on everything, after it had been measured.
    """

    dataset: Dataset
    options: ExportOptions
    plan: Plan
    l2: float
    pretrained: Pretrained
    summary: Mapping[str, Any]
    ways: Ways
    config: Mapping[str, Any]
    learning: Learning = _PLAIN
    refitted: bool = False

    @property
    def limits(self) -> ProgramLimits:
        options = self.options
        return ProgramLimits(
            max_batch=self.plan.batch,
            max_users=options.resolved_max_users,
            max_k=options.max_k,
            item_table=options.item_table,
            layer_storage=options.layer_storage,
            l2=self.l2,
        )

    def write(
        self,
        draft: Draft,
        folder: str | os.PathLike[str],
        *,
        interactions: Interactions | None = None,
        tuned: Tuned | None = None,
        mapped: MappedFeatures | None = None,
        metrics: Mapping[str, Mapping[str, float]] | None = None,
        intervals: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
        overwrite: bool = False,
    ) -> Manifest:
        """Write a bundle.

        Args:
            interactions: None for the training pairs; others stand for a part of them, and then nothing of
                what was held out counts as seen.
            mapped: what became of the items' features.

        Raises:
            lerg_runtime.errors.InputError: something is in the way.
        """
        whole = self.dataset.whole() if self.refitted else self.dataset
        seen_only = seen_beside(whole)
        if interactions is not None:
            seen_only.pop("held_out", None)
        return write(
            draft,
            folder,
            interactions=whole.train if interactions is None else interactions,
            seen_only=seen_only,
            item_titles=None if whole.titles is None else whole.titles.texts,
            item_features=None if mapped is None else mapped.found,
            data=described_data(self.dataset, refitted=self.refitted),
            state=None if tuned is None else tuned.state(),
            metrics=metrics,
            intervals=intervals,
            training=self._training(tuned, mapped),
            finetune={
                "learning_rate": self.options.finetune_learning_rate,
                "sgd_learning_rate": _SGD_LEARNING_RATE,
                "batch": self.plan.batch,
                "negative_candidates": self._candidates(tuned),
                "replay": self.learning.replay,
            },
            serving={
                **self.ways.document(),
                **({"local_counts": self.learning.local_counts} if self.learning.local_counts else {}),
            },
            overwrite=overwrite,
        )

    def mapped(
        self, draft: Draft, folder: Path, *, tuned: Tuned | None, tell: Progress
    ) -> MappedFeatures | None:
        """The map of the items' features that goes with a draft; None where the data has no features.

        Args:
            folder: where a bundle is written on the way.

        Raises:
            lerg_edge.errors.InputError: the features cannot be encoded.
            lerg_edge.errors.BudgetError: the bundle and the map are larger than the storage budget.
        """
        if self.dataset.features is None:
            return None
        self.write(draft, folder, tuned=tuned)
        whole = self.dataset.whole() if self.refitted else self.dataset
        found = map_features(whole, folder, seed=self.options.seed, tell=tell)
        more = 0 if found is None else found.stored_bytes
        fault = over_budget(
            folder, self.options, found="the bundle came out at", remedy="retention", more_bytes=more
        )
        if fault is not None:
            raise fault
        return found

    def _candidates(self, tuned: Tuned | None) -> int:
        """Items drawn for a negative: what validation chose, else what was asked for."""
        return tuned.negative_candidates if tuned else self.options.finetune_candidates or 1

    def _training(self, tuned: Tuned | None, mapped: MappedFeatures | None) -> dict[str, Any]:
        options = self.options
        train = self.dataset.whole().train if self.refitted else self.dataset.train
        described: dict[str, Any] = {
            "seed": options.seed,
            "threads": torch.get_num_threads(),
            "pairs": train.pair_count,
            "users_without": train.report.users_without,
            "items_without": train.report.items_without,
            "retention": self.plan.retention,
            "epochs": len(self.pretrained.history),
            "best_epoch": self.pretrained.best_epoch,
            **_kinds(options),
            "serving": dict(self.ways.validation),
            "learning": dict(self.learning.validation),
            **self.summary,
            "config": dict(self.config),
        }
        if mapped is not None:
            described["features"] = mapped.described
        if tuned is not None:
            described["finetune"] = {
                "epochs": len(tuned.losses),
                "best_epoch": tuned.best_epoch,
                "validation_ndcg@20": list(tuned.scores),
            }
        return described


def _kinds(options: ExportOptions) -> dict[str, Any]:
    """What of the method was asked for otherwise than by default, for people."""
    defaults = ExportOptions()
    names = ("assignment", "auxiliaries", "recommender", "quantisation")
    asked = {name: value for name in names if (value := getattr(options, name)) != getattr(defaults, name)}
    return {name: without_folder(value) for name, value in asked.items()}
