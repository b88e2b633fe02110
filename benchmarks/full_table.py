"""The full table that codes are learned from: its training step beside others, and from the file to 0.155.

The peer is the step of BSL's published code (arXiv 2312.12882), as a PyTorch user would write it: propagation
of the whole graph, cosines of all pairs of a batch at once, autograd, Adam. Where `LERG_BSL` names a folder
with that code, it is timed itself as well. Every side starts from the same rows, sees the same batches, and
its losses must agree.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

from benchmarks.eager import symmetric_adjacency
from benchmarks.harness import Row
from benchmarks.model import gowalla_or_generated
from benchmarks.time_to_quality import gowalla_folder, time_to_quality
from lerg_edge.assigning.teacher import teacher_options
from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.training._model import training_loss
from lerg_edge.training.in_batch import InBatchSoftmax, PairBatch
from lerg_edge.training.objectives import objective
from lerg_edge.training.options import TrainingOptions

DIM, STEPS, EPOCHS = 64, 30, 30
WANTED_NDCG, LIMIT_S = 0.155, 480.0
Step = Callable[[np.ndarray, np.ndarray], float]


def run() -> list[Row]:
    """Compare steps, then train for half of an export's epochs and look when the quality was reached."""
    name, train = gowalla_or_generated()
    matrix = train.matrix()
    options = _options(train.pair_count)
    print(f"{name}: {train.pair_count} pairs, full table of d = {DIM}, {options.layers} layer")
    rows = _start(matrix, options)
    # The same loss on both sides: all pairs of a batch are one group.
    same = replace(options, loss_settings={**options.loss_settings, "group": options.batch or 0})
    peers = {"plain PyTorch": _plain_step(matrix, rows, same)}
    published = os.environ.get("LERG_BSL")
    if published:
        peers["published code"] = _published_step(Path(published), matrix, rows, same)
    else:
        print("LERG_BSL names no folder: the published code itself is left out")
    compared = [_compared(peer, step, matrix, rows, same) for peer, step in peers.items()]
    compared.append(_compared("plain PyTorch, default groups", peers["plain PyTorch"], matrix, rows, options))
    return [*compared, *([_to_quality()] if name == "gowalla" else [])]


def _options(pairs: int) -> TrainingOptions:
    return teacher_options(TrainingOptions(dim=DIM, layers=1), pairs=pairs)


def _to_quality() -> Row:
    found = time_to_quality(
        gowalla_folder(),
        WANTED_NDCG,
        options=lambda train: replace(_options(train.pair_count), stop_after=EPOCHS),
        assigned=lambda train, _: identity_assignment(train.user_count + train.item_count),
    )
    note = (
        f"limit as peer; epoch {found.model.best_epoch}; {EPOCHS} epochs took {found.whole_seconds:.0f} s "
        f"and have {found.last_ndcg:.4f}"
    )
    took = found.seconds
    return Row(f"file to test NDCG@20 {WANTED_NDCG}", took * 1e3, LIMIT_S * 1e3, LIMIT_S / took, note)


def _compared(
    name: str, peer: Step, matrix: sparse.csr_matrix, rows: torch.Tensor, options: TrainingOptions
) -> Row:
    """Steps in turn, over the same pairs."""
    ours = _our_step(matrix, rows, options)
    groups_agree = options.loss_settings["group"] == options.batch
    pairs = matrix.tocoo()
    order = np.random.default_rng(0).permutation(matrix.nnz)
    timed: list[tuple[float, float]] = []
    for number in range(STEPS + 2):
        chosen = order[number * (options.batch or 0) : (number + 1) * (options.batch or 0)]
        users, items = pairs.row[chosen], pairs.col[chosen]
        began = time.perf_counter()
        mine = ours(users, items)
        between = time.perf_counter()
        theirs = peer(users, items)
        timed.append((between - began, time.perf_counter() - between))
        # The published code counts other items that a user has touched among the negatives.
        if groups_agree and number == 0 and not np.isclose(mine, theirs, rtol=5e-3):
            raise SystemExit(f"the losses of the first step differ: {mine} and {theirs}")
    mine_s, theirs_s = np.median(timed[2:], axis=0)
    steps = -(-matrix.nnz // (options.batch or 1))
    note = f"an epoch of {steps} steps: {mine_s * steps:.0f} and {theirs_s * steps:.0f} s"
    ratio = float(np.median([theirs / mine for mine, theirs in timed[2:]]))
    return Row(f"step, {name}", mine_s * 1e3, theirs_s * 1e3, ratio, note)


def _start(matrix: sparse.csr_matrix, options: TrainingOptions) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(matrix.shape), DIM, generator=generator) * options.start_scale


def _our_step(matrix: sparse.csr_matrix, rows: torch.Tensor, options: TrainingOptions) -> Step:
    graph = BipartiteGraph.from_interactions(matrix)
    adjacency = full_adjacency(normalised_bipartite(matrix))
    embedding = CompositionalEmbedding.from_assignment(identity_assignment(sum(matrix.shape)))
    table = rows.clone().requires_grad_()
    unused = torch.ones(1)
    adam = torch.optim.Adam([table], lr=options.learning_rate, fused=True)
    chosen = objective(options)

    def step(users: np.ndarray, items: np.ndarray) -> float:
        batch = PairBatch.of(
            users,
            items,
            adjacency,
            user_count=matrix.shape[0],
            layers=options.layers,
            group=int(options.loss_settings["group"]),
        )
        loss = training_loss(
            table,
            unused,
            embedding,
            graph,
            batch,
            objective=chosen,
            bits=options.bits,
            layers=options.layers,
            l2=0.0,
        )
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return loss.item()

    return step


def _plain_step(matrix: sparse.csr_matrix, rows: torch.Tensor, options: TrainingOptions) -> Step:
    adjacency = symmetric_adjacency(matrix)
    table = rows.clone().requires_grad_()
    adam = torch.optim.Adam([table], lr=options.learning_rate)
    settings = InBatchSoftmax(**options.loss_settings)  # type: ignore[arg-type]

    def step(users: np.ndarray, items: np.ndarray) -> float:
        mean = (table + adjacency @ table) / 2
        unit_users = functional.normalize(mean[torch.from_numpy(users).long()], dim=1)
        unit_items = functional.normalize(mean[torch.from_numpy(items).long() + matrix.shape[0]], dim=1)
        scores = unit_users @ unit_items.T / settings.temperature
        own = scores.diagonal()
        known = torch.from_numpy(matrix[users][:, items].toarray() > 0)
        others = scores.masked_fill(known, -torch.inf)
        loss = (settings.power * torch.logsumexp(others, dim=1) - own).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return loss.item()

    return step


def _published_step(
    folder: Path, matrix: sparse.csr_matrix, rows: torch.Tensor, options: TrainingOptions
) -> Step:
    """The step of the model in a folder with BSL's published code."""
    sys.path.insert(0, str(folder))
    from modules.LGN_Frame import lgn_frame  # type: ignore[import-not-found]

    settings = InBatchSoftmax(**options.loss_settings)  # type: ignore[arg-type]
    asked = Namespace(
        l2=0.0,
        dim=DIM,
        context_hops=options.layers,
        mess_dropout=False,
        mess_dropout_rate=0.0,
        edge_dropout=False,
        edge_dropout_rate=0.0,
        pool="mean",
        n_negs=1,
        temperature=settings.temperature,
        temperature_2=settings.power,
        temperature_3=settings.temperature,
        beta=1.0,
        cuda=False,
        u_norm=True,
        i_norm=True,
        generate_mode="no_cosine",
        pos_mode="reweight",
        sampling_method="no_sample",
    )
    sizes = {"n_users": matrix.shape[0], "n_items": matrix.shape[1]}
    model: Any = lgn_frame(sizes, asked, full_adjacency(normalised_bipartite(matrix)))
    with torch.no_grad():
        model.user_embed.copy_(rows[: matrix.shape[0]])
        model.item_embed.copy_(rows[matrix.shape[0] :])
    adam = torch.optim.Adam(model.parameters(), lr=options.learning_rate)

    def step(users: np.ndarray, items: np.ndarray) -> float:
        pairs = {"users": torch.from_numpy(users).long(), "pos_items": torch.from_numpy(items).long()}
        loss = model(pairs)[0]
        adam.zero_grad()
        loss.backward()
        adam.step()
        return float(loss.item())

    return step
