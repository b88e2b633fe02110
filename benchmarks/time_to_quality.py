"""How long training takes from the file to a stated accuracy.

Training knows validation alone; the test file is looked at afterwards, at what validation would have kept
by then.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

from lerg_edge import Dataset, Interactions, read_dataset
from lerg_edge.codes.assignment import Assignment
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions
from lerg_edge.training.pretraining import pretrain, propagated

__all__ = ["Reached", "gowalla_folder", "time_to_quality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """When a model was good enough.

    Attributes:
        seconds: from opening the file to the end of the epoch that made it.
        read_seconds, assigned_seconds: of them until the file was read, and codes assigned.
        model: what validation would have kept by then.
        whole_seconds: until the training ended.
        last_ndcg: NDCG@20 on the test file of what it kept.
    """

    seconds: float
    read_seconds: float
    assigned_seconds: float
    model: Pretrained
    whole_seconds: float
    last_ndcg: float


def gowalla_folder() -> Path:
    """`LERG_DATA`/gowalla, or the data beside the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("LERG_DATA", beside)) / "gowalla"


def time_to_quality(
    folder: Path,
    wanted: float,
    *,
    options: Callable[[Interactions], TrainingOptions],
    assigned: Callable[[Interactions, TrainingOptions], Assignment],
) -> Reached:
    """Train on a folder's training file for as long as the options say.

    Args:
        folder: of ``train.txt`` and ``test.txt``.
        wanted: NDCG@20 on the test file.
        options, assigned: how a model is trained, and by which codes.

    Raises:
        SystemExit: it was never as good, or there is no test file.
    """
    began = time.perf_counter()
    dataset = read_dataset(folder)
    read_s = time.perf_counter() - began
    training = options(dataset.train)
    assignment = assigned(dataset.train, training)
    assigned_s = time.perf_counter() - began
    kept: list[tuple[float, Pretrained]] = []
    aside = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / "run"

        def keep(report: EpochReport) -> None:
            nonlocal aside
            now = time.perf_counter()
            if report.best:
                kept.append((now - began - aside, _stored(checkpoint, assignment, training, report.epoch)))
            aside += time.perf_counter() - now

        pretrain(dataset.train, assignment, training, checkpoint=checkpoint, on_epoch=keep)
    whole_s = time.perf_counter() - began - aside
    found = next(((at, model) for at, model in kept if _tested(model, dataset) >= wanted), None)
    last = _tested(kept[-1][1], dataset)
    if found is None:
        raise SystemExit(f"the wanted NDCG@20 of {wanted} was not reached: {last:.4f}")
    return Reached(
        seconds=found[0],
        read_seconds=read_s,
        assigned_seconds=assigned_s,
        model=found[1],
        whole_seconds=whole_s,
        last_ndcg=last,
    )


def _stored(checkpoint: Path, assignment: Assignment, options: TrainingOptions, epoch: int) -> Pretrained:
    newest = max(checkpoint.parent.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    stored = load_file(newest)
    return Pretrained(
        assignment=assignment,
        codebook=stored["best_codebook"],
        step=stored["best_step"],
        bits=options.bits,
        layers=options.layers,
        history=(),
        best_epoch=epoch,
    )


def _tested(model: Pretrained, dataset: Dataset) -> float:
    if dataset.test is None:
        raise SystemExit("the data has no test file")
    matrix = dataset.train.matrix()
    rows = propagated(model, matrix)
    users = dataset.train.user_count
    return evaluate_embeddings(rows[:users], rows[users:], matrix, dataset.test.matrix()).ndcg
