"""Epochs, early stopping and taking up again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from lerg_edge.codes.embedding import Composition, CompositionalEmbedding
from lerg_edge.codes.quantiser import initial_step
from lerg_edge.codes.widths import FLOAT_BITS
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.errors import InputError
from lerg_edge.metrics import Metrics, evaluate_embeddings
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.training._checkpoint import Checkpoint, Progress, run_fingerprint
from lerg_edge.training._model import propagated_rows, training_loss
from lerg_edge.training.objectives import objective
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions, default_batch
from lerg_edge.training.spectral import spectral_codebook

if TYPE_CHECKING:
    from lerg_edge.codes.assignment import Assignment

_SMALLEST_STEP = 1e-8
_LOWEST_RATE = 0.02


def fit(
    split: ValidationSplit,
    assignment: Composition,
    options: TrainingOptions,
    *,
    start: Pretrained | np.ndarray | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Pretrained:
    """Train on one part of a split and stop by the other; see ``training.pretraining.pretrain``.

    Args:
        start: codebook float32 [c, d] to start from in place of what ``options.start`` says, or a trained
            model, whose steps are taken over too.
    """
    total = sum(split.train.shape)
    if assignment.entity_count != total:
        raise InputError(
            f"the assignment has {assignment.entity_count} rows and the data {total} entities; "
            "make it from this data"
        )
    if not split.train.nnz:
        raise InputError("there are no interactions to train on; give a file that has some")
    if isinstance(start, np.ndarray) and start.shape != (assignment.codebook_rows, options.dim):
        raise InputError(
            f"the starting codebook is {start.shape}; the assignment and options want "
            f"{(assignment.codebook_rows, options.dim)}"
        )
    with _threads(options.threads):
        store = None
        if checkpoint is not None:
            store = Checkpoint(checkpoint, run_fingerprint(split, assignment, options, start=start))
        return _Run(split, assignment, options, start).train(store, on_epoch)


class _Run:
    """Everything that stays in place from the first epoch to the last."""

    def __init__(
        self,
        split: ValidationSplit,
        assignment: Composition,
        options: TrainingOptions,
        start: Pretrained | np.ndarray | None,
    ) -> None:
        self.split, self.assignment, self.options, self.start = split, assignment, options, start
        self.device = training_device(options.device)
        self.graph = BipartiteGraph.from_interactions(split.train, device=self.device)
        self.embedding = CompositionalEmbedding.from_assignment(assignment, device=self.device)
        self.batch = options.batch or default_batch(split.train.nnz)
        self.objective = objective(options)

    def train(self, store: Checkpoint | None, on_epoch: Callable[[EpochReport], None] | None) -> Pretrained:
        options = self.options
        progress = store.load(device=self.device) if store else None
        if progress is None:
            progress = self._start()
        optimiser = self._optimiser(progress)
        last = min(options.epochs, options.stop_after or options.epochs)
        while progress.epoch < last and not self._is_stale(progress):
            began = time.perf_counter()
            loss = self._epoch(progress, optimiser)
            seconds = time.perf_counter() - began
            measured = self._validate(progress)
            # Without validation each epoch counts as the best one so far.
            best = measured is None or measured.ndcg > progress.best_ndcg
            report = EpochReport(
                epoch=progress.epoch + 1,
                loss=loss,
                ndcg=measured.ndcg if measured else None,
                recall=measured.recall if measured else None,
                best=best,
                seconds=seconds,
            )
            progress.add(report)
            if store:
                store.save(progress)
            if on_epoch:
                on_epoch(report)
        return Pretrained(
            assignment=cast("Assignment", self.assignment),  # whoever trains folded rows takes only weights
            codebook=progress.best_codebook.cpu().numpy(),
            step=progress.best_step.reshape(-1).cpu().numpy(),
            bits=options.bits,
            layers=options.layers,
            history=tuple(progress.history),
            best_epoch=progress.best_epoch,
        )

    def _start(self) -> Progress:
        options, count = self.options, self.assignment.codebook_rows
        if isinstance(self.start, Pretrained):
            learned = torch.from_numpy(self.start.step.copy()).to(self.device)
            return Progress.start(
                torch.from_numpy(self.start.codebook.copy()).to(self.device),
                learned if learned.numel() == 1 else learned.unsqueeze(1),
            )
        if self.start is not None:
            codebook = torch.from_numpy(np.array(self.start, np.float32)).to(self.device)
        elif options.start == "spectral":
            codebook = spectral_codebook(
                self.graph,
                self.embedding,
                codebook_rows=count,
                dim=options.dim,
                scale=options.start_scale,
                seed=options.seed,
            )
        else:
            generator = torch.Generator().manual_seed(options.seed)
            codebook = (
                torch.randn(count, options.dim, generator=generator).to(self.device) * options.start_scale
            )
        step = torch.ones(1, device=self.device)
        if options.bits != FLOAT_BITS:
            step = initial_step(codebook, bits=options.bits, per_row=options.per_row_steps)
        return Progress.start(codebook, step)

    def _optimiser(self, progress: Progress) -> torch.optim.Adam:
        """Make Adam continue from the moments that progress holds, and keep them there."""
        options = self.options
        # Adam moves every element by about its rate a step; a quantiser step is orders smaller than a weight.
        relative = options.learning_rate * progress.initial_step
        optimiser = torch.optim.Adam(
            [
                {"params": [progress.codebook], "lr": options.learning_rate},
                {"params": [progress.step], "lr": relative},
            ],
            fused=True,
        )
        learned = [(progress.codebook, progress.codebook_moments)]
        if options.bits != FLOAT_BITS:
            learned.append((progress.step, progress.step_moments))
        for parameter, moments in learned:
            parameter.requires_grad_()
            optimiser.state[parameter] = {
                "step": moments.count,
                "exp_avg": moments.first,
                "exp_avg_sq": moments.second,
            }
        return optimiser

    def _epoch(self, progress: Progress, optimiser: torch.optim.Adam) -> float:
        """Visit every interaction once; returns the mean loss."""
        options, graph = self.options, self.graph
        # Derived from the epoch and not carried on: an interrupted run draws what it would have drawn.
        rng = np.random.default_rng([options.seed, 3, progress.epoch])
        noise = None
        if options.augment is not None:
            drawn_seed = np.random.default_rng([options.seed, 4, progress.epoch]).integers(2**63)
            noise = torch.Generator(self.device).manual_seed(int(drawn_seed))
        total, visited = 0.0, 0
        rates = [group["lr"] for group in optimiser.param_groups]
        steps = -(-self.split.train.nnz // self.batch)
        drawing = self.objective.batches(
            self.split.train, batch=self.batch, layers=options.layers, rng=rng, device=self.device
        )
        for number, batch in enumerate(drawing):
            part = _rate_share(options, (progress.epoch * steps + number) / (options.epochs * steps))
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * part
            loss = training_loss(
                progress.codebook,
                progress.step,
                self.embedding,
                graph,
                batch,
                objective=self.objective,
                bits=options.bits,
                layers=options.layers,
                l2=options.l2,
                noise=noise,
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                progress.step.clamp_(min=_SMALLEST_STEP)
            total += loss.item() * len(batch)
            visited += len(batch)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        return total / max(1, visited)

    def _validate(self, progress: Progress) -> Metrics | None:
        if not len(self.split.users):
            return None
        users, items = propagated_rows(
            progress.codebook.detach(),
            progress.step.detach(),
            self.embedding,
            self.graph,
            bits=self.options.bits,
            layers=self.options.layers,
        )
        return evaluate_embeddings(
            users, items, self.split.train, self.split.held_out, users=self.split.users
        )

    def _is_stale(self, progress: Progress) -> bool:
        return bool(len(self.split.users)) and progress.epoch - progress.best_epoch >= self.options.patience


def _rate_share(options: TrainingOptions, done: float) -> float:
    """Part of the learning rate after a part of all steps: half a cosine, down to its lowest share."""
    if options.schedule == "constant":
        return 1.0
    return _LOWEST_RATE + (1.0 - _LOWEST_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_device(name: str) -> torch.device:
    """The device that `TrainingOptions.device` names; `auto` is a GPU where there is one.

    Raises:
        InputError: it is cuda and there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError.naming("{device} is cuda and torch finds no GPU; choose auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
