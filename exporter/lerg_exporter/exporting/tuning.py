"""Fine-tuning through the exported program, as a device does it; validation picks negatives and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Interactions
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.exporting.progress import Progress
from lerg_runtime import EpochReport, FineTuneProgress, Metrics, Recommender
from lerg_runtime.bundle import State

__all__ = ["Tuned", "evaluate", "evaluate_surely", "retune", "tune"]

RANKING = 20
_DIGITS = 6  # of intervals: further ones may differ from machine to machine
_LEAST_GAIN = (
    0.005  # of the validation score, or the weights stay: less than that is noise on thousands of users
)


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """The weights of the best epoch.

    Attributes:
        codebook: packed integers; step: float32 [1] or [c].
        best_epoch: 0 when no epoch did better on validation, by half a percent at least, than the weights
            before fine-tuning.
        scores: validation NDCG@20 before fine-tuning and after each epoch; empty without validation.
        losses: of each epoch.
        negative_candidates: items drawn for each negative.
    """

    codebook: np.ndarray
    step: np.ndarray
    best_epoch: int
    scores: tuple[float, ...]
    losses: tuple[float, ...]
    negative_candidates: int

    def state(self) -> State:
        """The weights as a bundle stores them."""
        nothing = np.empty(0, np.int32)
        return State(self.codebook, self.step, nothing, nothing)


def tune(
    bundle: Path,
    held_out: Interactions,
    *,
    epochs: int,
    candidates: Sequence[int],
    seed: int,
    work: WorkDir,
    key: Sequence[object],
    progress: Progress,
) -> Tuned:
    """Fine-tune on all interactions of a bundle and keep the epoch that is best on held-out ones.

    Args:
        bundle: a bundle whose interactions and graph do not hold `held_out`; it is not written to.
        held_out: pairs to choose by; without any the last epoch is kept.
        epochs: how many; the learning rate falls to zero over them, so none is left out.
        candidates: numbers of items to draw for a negative; each is tried from the same weights and the best
            on `held_out` is kept, without those pairs the first.
        seed: of batches and negatives.
        key: what the bundle was made from, for the fingerprint.

    Raises:
        LergRuntimeError: the loss became no number.
    """
    tried = list(candidates) if held_out.pair_count else list(candidates)[:1]
    name = fingerprint(
        "finetuned",
        made_from=list(key),
        held_out=held_out.matrix(),
        epochs=epochs,
        candidates=tried,
        seed=seed,
    )
    found = work.load("finetuned", name)
    if found is not None:
        progress.note("fine-tuning is taken from the work folder")
        tensors, result = found
        return Tuned(
            tensors["codebook"],
            tensors["step"],
            result["best_epoch"],
            tuple(result["scores"]),
            tuple(result["losses"]),
            result["negative_candidates"],
        )
    runs = []
    for count in tried:
        progress.note("negatives are uniform" if count == 1 else f"negatives are the hardest of {count}")
        with Recommender.open(bundle) as recommender:
            runs.append(
                _run(recommender, held_out, epochs=epochs, candidates=count, seed=seed, progress=progress)
            )
    # Ties go to the earlier run, which is uniform and needs less memory.
    tuned = max(runs, key=lambda run: run.scores[run.best_epoch] if run.scores else 0.0)
    work.store(
        "finetuned",
        name,
        tensors={"codebook": tuned.codebook, "step": tuned.step},
        result={
            "best_epoch": tuned.best_epoch,
            "scores": tuned.scores,
            "losses": tuned.losses,
            "negative_candidates": tuned.negative_candidates,
        },
    )
    return tuned


def retune(bundle: Path, tuned: Tuned, *, epochs: int, seed: int) -> Tuned:
    """Fine-tune another bundle as `tuned` was, up to the epoch that was kept.

    Args:
        bundle: not yet fine-tuned; it is not written to.
        tuned: gives the epoch and the negatives, and the scores that chose them.
        epochs: over which the learning rate falls.
        seed: of batches and negatives.

    Raises:
        LergRuntimeError: the loss became no number.
    """
    with Recommender.open(bundle) as recommender:
        losses: tuple[float, ...] = ()
        if tuned.best_epoch:
            losses = recommender.finetune(
                None,
                epochs=epochs,
                negative_candidates=tuned.negative_candidates,
                seed=seed,
                force=True,
                on_epoch=lambda report: report.epoch < tuned.best_epoch,
            ).losses
        now = recommender.state
    return replace(tuned, codebook=now.codebook, step=now.step, losses=losses or tuned.losses)


def evaluate(recommender: Recommender, pairs: Interactions) -> dict[str, Any]:
    """`recall@20`, `ndcg@20` and `users` through the programs; the ranking is cut at the catalogue's size."""
    return _told(recommender.evaluate(raw_pairs(pairs), k=min(RANKING, pairs.item_count)))


def evaluate_surely(
    recommender: Recommender, pairs: Interactions
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """What `evaluate` tells, and 95 % bootstrap intervals of both metrics, as `[low, high]`."""
    k = min(RANKING, pairs.item_count)
    found = recommender.evaluate(raw_pairs(pairs), k=k, per_user=True)
    spans = found.intervals()
    named = {f"{name}@{RANKING}": spans[f"{name}@{k}"] for name in ("recall", "ndcg")}
    return _told(found), {
        name: [round(span.low, _DIGITS), round(span.high, _DIGITS)] for name, span in named.items()
    }


def raw_pairs(pairs: Interactions) -> Iterator[tuple[Any, Any]]:
    """Raw ids of users and items, as a device is given them."""
    users, items = pairs.user_ids.values[pairs.users], pairs.item_ids.values[pairs.items]
    return zip(users.tolist(), items.tolist(), strict=True)


def _told(found: Metrics) -> dict[str, Any]:
    return {f"recall@{RANKING}": found.recall, f"ndcg@{RANKING}": found.ndcg, "users": found.users}


def _run(
    recommender: Recommender,
    held_out: Interactions,
    *,
    epochs: int,
    candidates: int,
    seed: int,
    progress: Progress,
) -> Tuned:
    def score() -> float:
        return float(evaluate(recommender, held_out)[f"ndcg@{RANKING}"])

    best, best_epoch = recommender.state, 0
    scores = [score()] if held_out.pair_count else []

    def on_progress(event: FineTuneProgress) -> None:
        done = (event.epoch - 1) * event.steps + event.step
        last = f", validation NDCG@20 {scores[-1]:.4f}" if scores else ""
        progress.advance(
            done, event.epochs * event.steps, f"epoch {event.epoch}, loss {event.loss:.4f}{last}"
        )

    def on_epoch(report: EpochReport) -> None:
        nonlocal best, best_epoch
        if not scores:
            best, best_epoch = recommender.state, report.epoch
            return
        scores.append(score())
        # What moved without a gain has moved for nothing, so ties go to the earlier epoch, and to none of
        # them where the gain is so small that other pairs might see a loss.
        if scores[-1] > max(scores[best_epoch], (1.0 + _LEAST_GAIN) * scores[0]):
            best, best_epoch = recommender.state, report.epoch

    report = recommender.finetune(
        None,
        epochs=epochs,
        negative_candidates=candidates,
        seed=seed,
        force=True,  # validation says what is kept
        on_progress=on_progress,
        on_epoch=on_epoch,
    )
    return Tuned(best.codebook, best.step, best_epoch, tuple(scores), report.losses, candidates)
