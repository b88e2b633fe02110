"""How a device learns from what happens on it, tried on pairs later than all that the trial knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Interactions
from lerg_edge.data.later import Later, split_later
from lerg_edge.histories.choosing import better
from lerg_edge.training.options import TrainingOptions
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.bundles.write import Draft, draft_bundle
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.learning import Learning
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.refitting import remade
from lerg_exporter.exporting.tuning import RANKING, Tuned, raw_pairs, retune
from lerg_exporter.exporting.writing import ExportRun
from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder, save_state

__all__ = ["LEAST_PEOPLE", "REPLAYS", "choose_learning"]

LEAST_PEOPLE = 100
"""Fewer of them could not tell one amount from another, and nothing is trained for them."""
REPLAYS = (4.0, 1.0, 0.0)
"""Earlier interactions for each new one; what a device takes where nothing was found better comes first."""
_NOTHING = "nothing learned"


def choose_learning(
    run: ExportRun,
    cut: Cut,
    training: TrainingOptions,
    tuned: Tuned | None,
    *,
    codebook_rows: int,
    work: WorkDir,
    scratch: Path,
    progress: Progress,
) -> Learning:
    """Train once more without the latest pairs, learn half of these as a device does, and rank for the other.

    Without timestamps, without enough people, or where the options leave nothing open, nothing is trained.

    Args:
        run: what has been chosen so far.
        cut: the training pairs of the run.
        training: its trainer's settings.
        tuned: its fine-tuning, or None.
        codebook_rows: of the codebook that is pretrained.
        scratch: a folder for bundles in between.
    """
    options = run.options
    if options.replay is not None:
        return run.learning
    later = split_later(cut.train, seed=options.seed, least=LEAST_PEOPLE)
    if later is None:
        return replace(run.learning, validation=_unmeasured(cut.train))
    progress.note(f"trying on {later.people} people how a device learns; time is cut by {later.by}")
    _, made = remade(
        run, later.known, cut, training, codebook_rows=codebook_rows, work=work, progress=progress
    )
    tensors, numbers = made.model.to_stage()
    key = fingerprint(
        "learning",
        made_from=[tensors, numbers, run.limits, options.finetune_learning_rate, run.ways.document()],
        local=later.local.matrix(),
        wanted=later.wanted.matrix(),
        tuned=None if tuned is None else [tuned.best_epoch, tuned.negative_candidates],
        candidates=REPLAYS,
        seed=options.seed,
    )
    found = work.load("learning", key)
    if found is None:
        draft = draft_bundle(made.model, run.limits, lowering=options.lowering, with_golden=False)
        trial = _Trial(run, draft, later, scratch / "later")
        scores = trial.scores(trial.tuned(tuned))
        work.store("learning", key, tensors=scores, result={})
    else:
        scores = found[0]
    return _chosen(scores, later, progress=progress)


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Bundles that know the earlier pairs alone.

    Attributes:
        run, draft: what they are written from.
        later: pairs by time.
        folder: where they are written, one after the other.
    """

    run: ExportRun
    draft: Draft
    later: Later
    folder: Path

    def tuned(self, tuned: Tuned | None) -> Tuned | None:
        """The weights after what fine-tuned those of the run."""
        if tuned is None:
            return None
        self._write(Learning(), None)
        options = self.run.options
        return retune(self.folder, tuned, epochs=options.resolved_finetune_epochs, seed=options.seed)

    def scores(self, tuned: Tuned | None) -> dict[str, np.ndarray]:
        """NDCG@20 of each person, float64 [B], by the amount of replay, and by weights that learn nothing."""
        found: dict[str, np.ndarray] = {}
        for replay in REPLAYS:
            self._write(Learning(replay), tuned)
            with Recommender.open(self.folder) as recommender:
                before = recommender.state
                recommender.finetune(raw_pairs(self.later.local), seed=self.run.options.seed, force=True)
                learned = recommender.state
                found[_named(replay)] = self._ndcg(recommender)
            if _NOTHING not in found:
                self._write(Learning(), tuned)
                unlearned = replace(
                    learned, codebook=before.codebook, step=before.step, remainder=before.remainder
                )
                opened = BundleFolder.open(self.folder)
                save_state(opened.path, unlearned, digest=opened.digest)
                with Recommender.open(self.folder) as recommender:
                    found[_NOTHING] = self._ndcg(recommender)
        return found

    def _write(self, learning: Learning, tuned: Tuned | None) -> None:
        run = replace(self.run, learning=learning)
        run.write(
            self.draft,
            self.folder,
            interactions=self.later.known,
            tuned=tuned,
            overwrite=self.folder.exists(),
        )

    def _ndcg(self, recommender: Recommender) -> np.ndarray:
        wanted = self.later.wanted
        found = recommender.evaluate(raw_pairs(wanted), k=min(RANKING, wanted.item_count), per_user=True)
        assert found.per_user is not None
        figures = found.per_user
        return np.zeros(0) if figures is None else figures.at_longest("ndcg").astype(np.float64)


def _chosen(scores: Mapping[str, np.ndarray], later: Later, *, progress: Progress) -> Learning:
    """The usual amount unless another is better beyond noise."""
    usual, *others = REPLAYS
    best = usual
    for replay in sorted(others, key=lambda replay: -scores[_named(replay)].mean()):
        if better(scores[_named(replay)], scores[_named(best)]):
            best = replay
    told = {name: round(float(score.mean()), 5) for name, score in scores.items()}
    for name, score in told.items():
        progress.note(f"later NDCG@{RANKING} with {name} is {score:.4f}")
    return Learning(
        best,
        {
            "measured": True,
            "people": later.people,
            "cut_by": later.by,
            f"replay_ndcg@{RANKING}": told,
        },
    )


def _unmeasured(train: Interactions) -> dict[str, Any]:
    if train.timestamps is None:
        return {"measured": False, "reason": "there are no timestamps"}
    return {"measured": False, "reason": f"fewer than {LEAST_PEOPLE} people have later pairs to be asked for"}


def _named(replay: float) -> str:
    return f"replay {replay:g}"
