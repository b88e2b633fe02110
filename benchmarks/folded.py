"""Suite `folded`: a fine-tune step of folded propagation against graph propagation's and eager PyTorch's.

2,048 triples, c = 2,000, d = 128, k = 32, 8 bits, optimiser included, on gowalla's graph where it is there,
and on ten times as many entities. The weights are random; time does not depend on them. Losses are compared
with eager PyTorch before anything is timed. Short steps are timed several at a time, as a training loop takes
them: a long step of the peer in between would leave them a cold cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.eager import EagerFineTune
from benchmarks.harness import Row, compare
from benchmarks.model import gowalla_or_generated, random_model
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.trace import trace
from lerg_runtime import _native

__all__ = ["random_folded", "run"]

BATCH, CODES, DIM, ENTRIES, BITS = 2048, 2000, 128, 32, 8
LEARNING_RATE, L2 = 0.01, 1e-4
RUNS = 21
TOGETHER = 8


def run() -> list[Row]:
    """Against our graph step, eager's graph and folded steps, and with ten times the entities."""
    name, interactions = gowalla_or_generated()
    graph = random_model(interactions, dim=DIM, codebook_rows=CODES, retention=0.7)
    folded, large = (random_folded(graph, times=times) for times in (1, 10))
    triples = _triples(graph.graph.shape)
    with tempfile.TemporaryDirectory() as folder:
        steps = {
            kind: _Step(model, Path(folder) / f"{kind}.pte", triples)
            for kind, model in (("graph", graph), ("folded", folded), ("large", large))
        }
        eager_graph, eager_folded = (
            _Eager(EagerFineTune(graph, l2=L2), triples),
            _EagerFolded.of(folded, triples),
        )
        for kind, peer in (("graph", eager_graph), ("folded", eager_folded)):
            losses = steps[kind](), peer()
            if not np.isclose(*losses, rtol=1e-4):
                raise SystemExit(f"the two losses of the {kind} step differ: {losses}")
        steps["large"]()
        ours, large = steps["folded"], steps["large"]
        edges = f"{name}, {graph.graph.nnz} edges"
        return [
            _timed("our graph step", ours, steps["graph"], f"{edges}, planned {_megabytes(steps['graph'])}"),
            _timed("eager graph step", ours, eager_graph, edges, runs=7),
            _timed(
                "eager folded step", ours, eager_folded, f"planned {_megabytes(ours)}", at_a_time=TOGETHER
            ),
            _timed("at ten times the size", ours, large, f"planned {_megabytes(large)}", at_a_time=TOGETHER),
        ]


def _timed(
    name: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    note: str,
    *,
    at_a_time: int = 1,
    runs: int = RUNS,
) -> Row:
    """Our step against a peer's; `at_a_time` of the peer's steps are timed together too."""

    def several() -> None:
        for _ in range(TOGETHER):
            ours()

    def peers() -> None:
        for _ in range(at_a_time):
            peer()

    row = compare(f"folded against {name}", several, peers, runs=runs, note=note)
    return replace(
        row,
        ours_ms=row.ours_ms / TOGETHER,
        peer_ms=row.peer_ms / at_a_time,
        ratio=row.ratio * TOGETHER / at_a_time,
    )


def _megabytes(step: _Step) -> str:
    return f"{step.planned / 1e6:.1f} MB"


class _Step:
    """A program's fine-tune step with Adam, called once a step; returns the loss."""

    def __init__(self, model: RewiredModel | FoldedModel, path: Path, triples: list[np.ndarray]) -> None:
        methods = methods_of(model, ProgramLimits(max_batch=BATCH, l2=L2))
        path.write_bytes(trace({"finetune": methods["finetune"]}).data)
        program = _native.Program(str(path), _native.Budget(0))
        empty = _native.Budget(0).empty
        self._weights = {}
        for name, value in (("codebook", model.codebook), ("step", model.step)):
            self._weights[name] = empty(value.shape, "float32")
            self._weights[name][...] = value
        self._gradients = [empty(weight.shape, "float32") for weight in self._weights.values()]
        self._moments = [[np.zeros_like(weight) for _ in range(2)] for weight in self._weights.values()]
        self._loss = empty((), "float32")
        self._triples, self._count = triples, 0
        outputs = [self._loss, *self._gradients, None, None]
        first = program.load("finetune", self._weights)
        first.execute(*triples, outputs=outputs)
        # As a device does: memory that the kernels work in is taken once, and not mapped anew by every step.
        scratch = int(first.scratch_peak)
        self._method = program.load("finetune", self._weights, scratch)
        self._planned = sum(program.arena_bytes("finetune")) + scratch

    @property
    def planned(self) -> int:
        """Bytes of arenas and scratch."""
        return self._planned

    def __call__(self) -> float:
        self._count += 1
        self._method.execute(*self._triples, outputs=[self._loss, *self._gradients, None, None])
        loss = float(self._loss)
        for weight, gradient, moments in zip(
            self._weights.values(), self._gradients, self._moments, strict=True
        ):
            _native.adam_step(
                weight, gradient, *moments, step=self._count, learning_rate=LEARNING_RATE, beta1=0.9,
                beta2=0.999, eps=1e-8,
            )  # fmt: skip
        return loss


class _Eager:
    """A torch module's step with its fused Adam."""

    def __init__(self, module: torch.nn.Module, triples: list[np.ndarray]) -> None:
        self._module = module
        self._triples = [torch.from_numpy(column) for column in triples]
        self._adam = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, fused=True)

    def __call__(self) -> float:
        self._adam.zero_grad()
        loss = self._module(*self._triples)
        loss.backward()
        self._adam.step()
        return float(loss.detach())


class _EagerFolded(torch.nn.Module):
    """The folded step as a PyTorch user would write it: an embedding bag over the quantised codebook."""

    @classmethod
    def of(cls, model: FoldedModel, triples: list[np.ndarray]) -> Callable[[], float]:
        """Its step."""
        return _Eager(cls(model), triples)

    def __init__(self, model: FoldedModel) -> None:
        super().__init__()
        self.codebook = torch.nn.Parameter(torch.from_numpy(model.codebook.copy()))
        self.step = torch.nn.Parameter(torch.from_numpy(model.step.copy()))
        self.codes = torch.from_numpy(model.rows.codes)
        self.weights = torch.from_numpy(model.rows.values())
        self.users = len(model.retained_users)

    def forward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """BPR loss with L2 on the batch's rows; slots int64 [B] of retained entities."""
        high = 2 ** (BITS - 1) - 1
        scaled = torch.clamp(self.codebook / self.step, -high - 1, high)
        codebook = (scaled + (scaled.round() - scaled).detach()) * self.step
        picked = torch.cat([users, positives + self.users, negatives + self.users])
        rows = torch.nn.functional.embedding_bag(
            self.codes[picked], codebook, per_sample_weights=self.weights[picked], mode="sum"
        )
        user, positive, negative = rows.chunk(3)
        loss = torch.nn.functional.softplus((user * (negative - positive)).sum(1)).mean()
        return loss + L2 / 2 * rows.square().sum() / len(users)


def random_folded(graph: RewiredModel, *, times: int = 1) -> FoldedModel:
    """Random rows for the retained entities of a model, so many times over, with its codebook."""
    random = np.random.default_rng(times)
    users, items = graph.graph.shape
    kept = times * (users + items)
    codes = np.sort(random.integers(0, CODES, (kept, ENTRIES)), axis=1)
    weights = random.standard_normal((kept, ENTRIES), dtype=np.float32) / ENTRIES**0.5
    count = graph.placeholders.user_count
    return FoldedModel(
        user_count=times * users,
        item_count=times * items,
        rows=FoldedRows.quantised(codes, weights, codebook_rows=CODES),
        codebook=graph.codebook,
        step=graph.step,
        bits=BITS,
        layers=graph.layers,
        retained=np.ones(kept, bool),
        placeholders=Placeholders(
            graph.placeholders.codes, graph.placeholders.step, count, graph.placeholders.bits,
            np.full(kept, -1, np.int32),
        ),
    )  # fmt: skip


def _triples(shape: tuple[int, int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    users, items = shape
    drawn: list[Any] = [random.integers(0, side, BATCH) for side in (users, items, items)]
    return drawn
