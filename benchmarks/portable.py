"""The fine-tune step by stock operators: against the native one, and against the naive lowering.

A row's ratio is native / portable, or naive / portable, time; the notes hold the planned memory. The naive
lowering plans gigabytes for gowalla, so it runs over the busiest part of it, and the portable one beside it.
The folded step has the sizes of suite `folded`; stock operators run on one thread, so it is compared on one
too.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import folded
from benchmarks.harness import Row, compare, native_threads
from benchmarks.model import gowalla_or_generated, random_model
from benchmarks.naive import naive_finetune
from lerg_edge import Interactions
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.trace import trace
from lerg_runtime import _native

BATCH, L2, CODES = 2048, 1e-4, 8000
LIMITS = ProgramLimits(max_batch=BATCH, max_users=1, l2=L2)
PART_PAIRS = 60_000


def run() -> list[Row]:
    """Trace each program and time its step."""
    name, interactions = gowalla_or_generated()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for dim in (64, 128):
            model = random_model(interactions, dim=dim, codebook_rows=CODES, retention=0.7)
            print(f"{name}: {_size(model)}, d = {dim}")
            steps = [
                _Step(Path(folder), model, methods_of(model, LIMITS, lowering=lowering)["finetune"], lowering)
                for lowering in ("native", "portable")
            ]
            rows.append(_compared(f"step against native, d = {dim}", steps[1], steps[0], runs=15))
        rows.extend(_folded(interactions, Path(folder)))
        part = _part(interactions, PART_PAIRS)
        model = random_model(part, dim=64, codebook_rows=2000, retention=0.7)
        print(f"part of {name}: {_size(model)}, d = 64")
        portable = _Step(
            Path(folder), model, methods_of(model, LIMITS, lowering="portable")["finetune"], "portable"
        )
        naive = _Step(Path(folder), model, naive_finetune(model, LIMITS), "naive")
        rows.append(_compared("step against naive, d = 64, part", portable, naive, runs=3))
    return rows


def _folded(interactions: Interactions, folder: Path) -> list[Row]:
    graph = random_model(interactions, dim=folded.DIM, codebook_rows=folded.CODES, retention=0.7)
    model = folded.random_folded(graph)
    print(f"folded: {len(model.rows.codes)} rows of {folded.ENTRIES} codes, d = {folded.DIM}")
    steps = [
        _Step(
            folder,
            model,
            methods_of(model, LIMITS, lowering=lowering)["finetune"],
            f"folded {lowering}",
        )
        for lowering in ("native", "portable")
    ]
    name = f"folded step against native, d = {folded.DIM}"
    with native_threads(1):
        alone = _compared(f"{name}, one thread", steps[1], steps[0], runs=25)
    return [alone, _compared(name, steps[1], steps[0], runs=25)]


class _Step:
    """A loaded fine-tune program, its inputs and outputs."""

    def __init__(self, folder: Path, model: RewiredModel | FoldedModel, method: Method, name: str) -> None:
        began = time.perf_counter()
        program = trace({"finetune": method})
        seconds = time.perf_counter() - began
        path = folder / f"{name.replace(' ', '-')}-{len(list(folder.iterdir()))}.pte"
        path.write_bytes(program.data)
        print(f"  {name}: traced in {seconds:.0f} s, {len(program.data) / 1e6:.2f} MB")
        self._budget = _native.Budget(0)
        loaded = _native.Program(str(path), self._budget)
        parameters = {"codebook": model.codebook.copy(), "step": model.step.copy()}
        self._method = loaded.load("finetune", parameters)
        shapes = [(), model.codebook.shape, model.step.shape]
        self.outputs = [self._budget.empty(shape, "float32") for shape in shapes]
        users, items = len(model.retained_users), len(model.retained_items)
        random = np.random.default_rng(0)
        self._inputs = [random.integers(0, side, BATCH) for side in (users, items, items)]
        self()
        self.planned_bytes = sum(loaded.arena_bytes("finetune")) + self._method.scratch_peak

    def __call__(self) -> Any:
        return self._method.execute(*self._inputs, outputs=[*self.outputs, None, None])


def _compared(name: str, ours: _Step, peer: _Step, *, runs: int) -> Row:
    loss, codebook, _ = (
        (np.copy(mine), np.copy(theirs)) for mine, theirs in zip(ours.outputs, peer.outputs, strict=True)
    )
    if not np.isclose(*loss, rtol=1e-5):
        raise SystemExit(f"{name}: the losses differ: {loss}")
    # One weight that lies between two integers and is rounded the other way moves a whole column a little.
    if np.linalg.norm(codebook[0] - codebook[1]) > 1e-3 * np.linalg.norm(codebook[1]):
        raise SystemExit(f"{name}: the gradients differ")
    note = (
        f"planned {ours.planned_bytes / 1e6:.1f} MB, {ours.planned_bytes / peer.planned_bytes:.2f} of "
        f"{peer.planned_bytes / 1e6:.1f} MB"
    )
    return compare(name, ours, peer, runs=runs, note=note)


def _part(interactions: Interactions, pairs: int) -> Interactions:
    """The pairs of the first users whose pairs are so many."""
    users = int(interactions.users[min(pairs, interactions.pair_count) - 1])
    return interactions.subset(interactions.users <= users)


def _size(model: RewiredModel) -> str:
    return f"{model.graph.shape[0]} + {model.graph.shape[1]} retained, {model.graph.nnz} edges, 3 layers"
