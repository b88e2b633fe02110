"""How a device learns from what happens on it, tried on pairs later than all that the trial knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from lerg_runtime.bundle import BundleFolder, State, save_state

__all__ = ["LEAST_PEOPLE", "LOCAL_COUNTS", "REPLAYS", "choose_learning"]

LEAST_PEOPLE = 100
"""Fewer of them could not tell one amount from another, and nothing is trained for them."""
REPLAYS = (4.0, 1.0, 0.0)
"""Earlier interactions for each new one; what a device takes where nothing was found better comes first."""
LOCAL_COUNTS = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Weights by which items are raised; none comes first."""
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
    replays = REPLAYS if options.replay is None else (options.replay,)
    weights = LOCAL_COUNTS if options.local_counts is None else (options.local_counts,)
    if len(replays) == len(weights) == 1:
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
        candidates=[replays, weights],
        seed=options.seed,
    )
    found = work.load("learning", key)
    if found is None:
        draft = draft_bundle(made.model, run.limits, lowering=options.lowering, with_golden=False)
        trial = _Trial(run, draft, later, scratch / "later")
        scores = trial.scores(trial.tuned(tuned), replays, weights)
        work.store("learning", key, tensors=scores, result={})
    else:
        scores = found[0]
    for name, score in scores.items():
        progress.note(f"later NDCG@{RANKING} with {name} is {score.mean():.4f}")
    return _chosen(scores, later, replays, weights)


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

    def scores(
        self, tuned: Tuned | None, replays: Sequence[float], weights: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """NDCG@20 of each person, float64 [B], by what was tried.

        Items are raised after learning with the amount of replay that is best by then. Where none is given,
        weights that learn nothing are measured beside the others.
        """
        usual = weights[0]
        states: dict[float, State] = {}
        found: dict[str, np.ndarray] = {}
        for replay in replays:
            self._write(Learning(replay, usual), tuned)
            with Recommender.open(self.folder) as recommender:
                before = recommender.state
                recommender.finetune(raw_pairs(self.later.local), seed=self.run.options.seed, force=True)
                states[replay] = recommender.state
                found[_replayed(replay)] = self._ndcg(recommender)
        unlearned = replace(
            states[replays[0]], codebook=before.codebook, step=before.step, remainder=before.remainder
        )
        found[_NOTHING] = self._with_state(unlearned, Learning(local_counts=usual), tuned)
        learned = states[_best(found, replays, _replayed)]
        for weight in weights[1:]:
            found[_raised(weight)] = self._with_state(learned, Learning(local_counts=weight), tuned)
        return found

    def _with_state(self, state: State, learning: Learning, tuned: Tuned | None) -> np.ndarray:
        self._write(learning, tuned)
        opened = BundleFolder.open(self.folder)
        save_state(opened.path, state, digest=opened.digest)
        with Recommender.open(self.folder) as recommender:
            return self._ndcg(recommender)

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


def _chosen(
    scores: Mapping[str, np.ndarray], later: Later, replays: Sequence[float], weights: Sequence[float]
) -> Learning:
    """What the device does as it is unless something else is better beyond noise."""
    replay = _best(scores, replays, _replayed)
    unraised = scores[_replayed(replay)]
    weight = _best({**scores, _raised(weights[0]): unraised}, weights, _raised)
    return Learning(
        replay,
        weight,
        {
            "measured": True,
            "people": later.people,
            "cut_by": later.by,
            f"ndcg@{RANKING}": {name: round(float(score.mean()), 5) for name, score in scores.items()},
        },
    )


def _best(
    scores: Mapping[str, np.ndarray], candidates: Sequence[float], named: Callable[[float], str]
) -> float:
    """The first candidate, or the best of the others if that is better beyond noise."""
    usual, *others = candidates
    best = max(others, key=lambda candidate: scores[named(candidate)].mean(), default=usual)
    return best if better(scores[named(best)], scores[named(usual)]) else usual


def _unmeasured(train: Interactions) -> dict[str, Any]:
    if train.timestamps is None:
        return {"measured": False, "reason": "there are no timestamps"}
    return {"measured": False, "reason": f"fewer than {LEAST_PEOPLE} people have later pairs to be asked for"}


def _replayed(replay: float) -> str:
    return f"replay {replay:g}"


def _raised(weight: float) -> str:
    return f"local counts {weight:g}"
