"""Pretraining: epochs against plain PyTorch doing the same, their memory, and the time to a stated quality.

Both sides start from the same codebook and see the same batches, epoch by epoch in turn; their losses and
their validation scores must agree. The time to quality counts from the file, partitioning and validation
included; training stops by validation alone, and the test file is looked at afterwards.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Row
from benchmarks.model import gowalla_or_generated
from benchmarks.plain_training import PlainTrainer
from benchmarks.time_to_quality import gowalla_folder, time_to_quality
from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.codes.quantiser import initial_step
from lerg_edge.codes.widths import packed_bytes, unsigned_bytes
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.storage import REFERENCE_DIM
from lerg_edge.training._model import training_loss
from lerg_edge.training.losses import TripleBatch
from lerg_edge.training.objectives import objective
from lerg_edge.training.options import EpochReport, TrainingOptions, default_batch
from lerg_edge.training.pretraining import assign, pretrain, validation_cut
from lerg_edge.training.sampling import Triples, epoch_batches
from lerg_edge.training.spectral import spectral_codebook

OPTIONS = TrainingOptions()
EPOCHS, MEMORY_STEPS = 5, 3
WANTED_NDCG, LIMIT_S, LARGEST_STORAGE = 0.120, 240.0, 0.023


def run() -> list[Row]:
    """Compare epochs, then train to the end and look when the quality was reached."""
    name, train = gowalla_or_generated()
    split = validation_cut(train.matrix(), OPTIONS)
    assignment = assign(train, OPTIONS)
    print(
        f"{name}: {train.pair_count} pairs, {assignment.codebook_rows} codes of d = {OPTIONS.dim}, 3 layers"
    )
    rows = [_epochs(train, split, assignment)]
    if name == "gowalla":
        rows.append(_time_to_quality())
    return rows


def _epochs(train, split: ValidationSplit, assignment: Assignment) -> Row:  # type: ignore[no-untyped-def]
    codebook, step = _start(split, assignment)
    peer = PlainTrainer(split.train, assignment, OPTIONS, codebook, step)
    ours_ms: list[float] = []
    peer_ms: list[float] = []
    scores: list[tuple[float, float]] = []

    def peer_epoch(report: EpochReport) -> None:
        began = time.perf_counter()
        total = triples = 0.0
        for batch in _batches(split, report.epoch - 1):
            total += peer.train_on(batch) * len(batch)
            triples += len(batch)
        peer_ms.append((time.perf_counter() - began) * 1e3)
        ours_ms.append(report.seconds * 1e3)
        loss = total / triples
        if not np.isclose(report.loss, loss, rtol=1e-2):
            raise SystemExit(f"the losses of epoch {report.epoch} differ: {report.loss} and {loss}")
        scores.append((float(report.ndcg or 0.0), _validated(peer, split)))

    pretrain(train, assignment, replace(OPTIONS, epochs=EPOCHS), on_epoch=peer_epoch)
    if not np.isclose(*scores[-1], rtol=2e-2):
        raise SystemExit(f"the validation scores differ: {scores[-1]}")
    ours_mb, peer_mb = (_working_memory(side, split, assignment) for side in (_our_steps, _peer_steps))
    ratio = float(np.median(np.array(peer_ms) / np.array(ours_ms)))
    note = (
        f"validation NDCG@20 {scores[-1][0]:.4f} and {scores[-1][1]:.4f} after {EPOCHS} epochs; "
        f"working memory {ours_mb:.0f} and {peer_mb:.0f} MB"
    )
    return Row("epoch, alternating", float(np.median(ours_ms)), float(np.median(peer_ms)), ratio, note)


def _time_to_quality() -> Row:
    found = time_to_quality(
        gowalla_folder(),
        WANTED_NDCG,
        options=lambda _: OPTIONS,
        assigned=lambda train, options: assign(train, options),
    )
    share = _storage(found.model.assignment)
    if share > LARGEST_STORAGE:
        raise SystemExit(f"embedding storage is {share:.2%} of the full table")
    note = (
        f"limit as peer; read {found.read_seconds:.1f} s, assigned at {found.assigned_seconds:.1f} s, epoch "
        f"{found.model.best_epoch}; to the end {found.whole_seconds:.0f} s and {found.last_ndcg:.4f}; "
        f"storage {share:.2%}"
    )
    took = found.seconds
    return Row(f"file to test NDCG@20 {WANTED_NDCG}", took * 1e3, LIMIT_S * 1e3, LIMIT_S / took, note)


def _storage(assignment: Assignment) -> float:
    """Codebook, step and assignment of all entities, against the full table."""
    size = packed_bytes(assignment.codebook_rows, OPTIONS.dim, bits=OPTIONS.bits) + 4
    size += assignment.codes.size * unsigned_bytes(assignment.codebook_rows)
    return size / (assignment.entity_count * REFERENCE_DIM * 4)


def _start(split: ValidationSplit, assignment: Assignment) -> tuple[torch.Tensor, torch.Tensor]:
    """Where `pretrain` starts."""
    codebook = spectral_codebook(
        BipartiteGraph.from_interactions(split.train),
        CompositionalEmbedding.from_assignment(assignment),
        codebook_rows=assignment.codebook_rows,
        dim=OPTIONS.dim,
        scale=OPTIONS.start_scale,
        seed=OPTIONS.seed,
    )
    return codebook, initial_step(codebook, bits=OPTIONS.bits)


def _batches(split: ValidationSplit, epoch: int) -> list[Triples]:
    """The batches of an epoch of `pretrain`."""
    rng = np.random.default_rng([OPTIONS.seed, 3, epoch])
    batch = default_batch(split.train.nnz)
    return list(epoch_batches(split.train, batch=batch, rng=rng, per_positive=OPTIONS.negatives))


def _validated(peer: PlainTrainer, split: ValidationSplit) -> float:
    with torch.no_grad():
        rows = peer.propagated()[1]
    users = peer.user_count
    return evaluate_embeddings(
        rows[:users], rows[users:], split.train, split.held_out, users=split.users
    ).ndcg


Steps = Callable[[ValidationSplit, Assignment, torch.Tensor, torch.Tensor, list[Triples]], None]


def _working_memory(steps: Steps, split: ValidationSplit, assignment: Assignment) -> float:
    """MB that some steps add to a process of their own that holds the data, at the peak."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, steps, split, assignment).result()


def _measured(steps: Steps, split: ValidationSplit, assignment: Assignment) -> float:
    codebook, step = _start(split, assignment)
    batches = _batches(split, 0)[:MEMORY_STEPS]
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _peak_kb()
    steps(split, assignment, codebook, step, batches)
    return (_peak_kb() - before) / 1e3


def _peak_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def _our_steps(
    split: ValidationSplit,
    assignment: Assignment,
    codebook: torch.Tensor,
    step: torch.Tensor,
    batches: list[Triples],
) -> None:
    graph = BipartiteGraph.from_interactions(split.train)
    embedding = CompositionalEmbedding.from_assignment(assignment)
    parameters = [codebook.requires_grad_(), step.requires_grad_()]
    adam = torch.optim.Adam(parameters, lr=OPTIONS.learning_rate, fused=True)
    users, items = split.train.shape
    chosen = objective(OPTIONS)
    for triples in batches:
        batch = TripleBatch.from_triples(triples, user_count=users, item_count=items)
        loss = training_loss(
            codebook,
            step,
            embedding,
            graph,
            batch,
            objective=chosen,
            bits=OPTIONS.bits,
            layers=OPTIONS.layers,
            l2=OPTIONS.l2,
        )
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()


def _peer_steps(
    split: ValidationSplit,
    assignment: Assignment,
    codebook: torch.Tensor,
    step: torch.Tensor,
    batches: list[Triples],
) -> None:
    peer = PlainTrainer(split.train, assignment, OPTIONS, codebook, step)
    for triples in batches:
        peer.train_on(triples)
