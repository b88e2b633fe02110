"""Propagation over the rewired graph, its adjoint, and the fine-tune step that they serve, against PyTorch.

The peer's propagation is three products of torch's sparse CSR matrix, both sides in one, and the sum of the
layers; ours composes the rows from the codebook, or adds the adjoint's up to it, besides.

Two figures say how near to the memory's speed ours is, both as a share of the bandwidth that a copy reaches
on as many threads in the same run: `gathered` counts every row that an edge asks for, from whichever cache it
comes, and every index and row of a table; `compulsory` counts each table and each index once for every layer,
the least that must pass if no table stayed in a cache from one layer to the next.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.eager import symmetric_adjacency
from benchmarks.harness import Row, compare
from benchmarks.model import gowalla_or_generated, random_model
from benchmarks.step import BATCH, L2, finetune_step
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.graph_constants import GraphConstants
from lerg_exporter.programs.limits import LAYER_STORAGES, ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.native.graph import ITEMS, USERS
from lerg_exporter.programs.trace import trace
from lerg_runtime import _native

CODES, RETENTION, RUNS = 8000, 0.7, 9
TOLERANCE = {"float32": 2e-5, "float16": 2e-3}  # of the largest value
BLOCK = 32  # columns that a pass over the indices serves


class _Tables(torch.nn.Module):
    """Propagated rows of both sides, pruned entities left out."""

    def __init__(self, constants: GraphConstants, layer_bits: int) -> None:
        super().__init__()
        self.layer_bits, self.layers, self.anchor = layer_bits, constants.layers, constants.anchor_weight
        self.codebook_rows, self.dim = constants.codebook_rows, constants.dim
        for name in ("user_codes", "item_codes", "indptr", "indices"):
            self.register_buffer(name, getattr(constants, name))

    def graph(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.user_codes, self.item_codes, self.indptr, self.indices  # type: ignore[return-value]

    def forward(self, codebook: Tensor) -> tuple[Tensor, Tensor]:
        nothing = torch.zeros(0, self.dim)
        users, items = (
            torch.ops.lerg.propagate_table(
                codebook, *self.graph(), nothing, side, self.layers, self.anchor, self.layer_bits
            )
            for side in (USERS, ITEMS)
        )
        return users, items


class _Adjoint(_Tables):
    """What gradients of both sides' rows make of the codebook, side by side."""

    def forward(  # type: ignore[override]
        self, users: Tensor, user_slots: Tensor, items: Tensor, item_slots: Tensor
    ) -> tuple[Tensor, Tensor]:
        first, second = (
            torch.ops.lerg.propagate_rows_grad(
                grad,
                *self.graph(),
                slots,
                side,
                self.layers,
                self.anchor,
                self.codebook_rows,
                self.layer_bits,
            )
            for side, (grad, slots) in enumerate(((users, user_slots), (items, item_slots)))
        )
        return first, second


def run() -> list[Row]:
    """Trace and time both widths and both storages of the layers."""
    name, interactions = gowalla_or_generated()
    rows: list[Row] = []
    for dim in (64, 128):
        model = random_model(interactions, dim=dim, codebook_rows=CODES, retention=RETENTION)
        users, items = model.graph.shape
        print(
            f"{name}, d = {dim}: {users} + {items} retained, {model.graph.nnz} edges, {model.layers} layers"
        )
        for storage in LAYER_STORAGES:
            rows += _propagations(model, storage)
    rows += [_step(model, storage) for storage in LAYER_STORAGES]
    return rows


def _propagations(model: RewiredModel, storage: str) -> Iterator[Row]:
    dim = model.codebook.shape[1]
    constants = GraphConstants.from_model(model)
    sides = [
        torch.randn(count, dim, generator=torch.Generator().manual_seed(0)) for count in model.graph.shape
    ]
    slots = [torch.arange(len(side)) for side in sides]
    codebook = torch.from_numpy(model.codebook)
    bits = 16 if storage == "float16" else 32
    methods = {
        "tables": Method(_Tables(constants, bits), {"codebook": codebook}, {}, ("users", "items")),
        "adjoint": Method(
            _Adjoint(constants, bits),
            {"users": sides[0], "user_slots": slots[0], "items": sides[1], "item_slots": slots[1]},
            {},
            ("first", "second"),
        ),
    }
    adjacency = symmetric_adjacency(model.graph)

    def layers_of(first: Tensor) -> Tensor:
        layer, total = first, first
        for _ in range(model.layers):
            layer = adjacency @ layer
            total = total + layer
        return total / (model.layers + 1)

    assignment = torch.from_numpy(model.assignment[model.retained].astype(np.int64))
    weights = torch.tensor([model.anchor_weight, 1 - model.anchor_weight])
    composed = (codebook[assignment] * weights[None, :, None]).sum(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pte"
        path.write_bytes(trace(methods).data)
        program = _native.Program(str(path), _native.Budget(0))
        ours, scratch = _runner(program, "tables", [model.codebook])
        error = _error(np.concatenate(ours()), layers_of(composed).numpy(), storage)
        note = f"error {error:.1e} of the largest, scratch {scratch / 1e6:.1f} MB"
        row = compare(f"forward, {storage}, d = {dim}", ours, lambda: layers_of(composed), runs=RUNS)
        yield _with_bandwidth(row, model, storage, note)
        inputs = [array.numpy() for pair in zip(sides, slots, strict=True) for array in pair]
        ours, scratch = _runner(program, "adjoint", inputs)
        stacked = torch.cat(sides)
        expected = torch.zeros_like(codebook)
        spread = layers_of(stacked)
        for column, weight in enumerate(weights):
            expected.index_add_(0, assignment[:, column], weight * spread)
        error = _error(sum(ours()), expected.numpy(), storage)
        note = f"error {error:.1e} of the largest, scratch {scratch / 1e6:.1f} MB"
        row = compare(f"adjoint, {storage}, d = {dim}", ours, lambda: layers_of(stacked), runs=RUNS)
        yield _with_bandwidth(row, model, storage, note)


def _step(model: RewiredModel, storage: str) -> Row:
    """The whole fine-tune step."""
    limits = ProgramLimits(max_batch=BATCH, l2=L2, layer_storage=storage)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pte"
        path.write_bytes(trace({"finetune": methods_of(model, limits)["finetune"]}).data)
        program = _native.Program(str(path), _native.Budget(0))
        dim = model.codebook.shape[1]
        return finetune_step(program, model, name=f"fine-tune step, {storage}, d = {dim}, batch {BATCH:,}")


def _runner(
    program: _native.Program, method: str, inputs: list[np.ndarray]
) -> tuple[Callable[[], list[np.ndarray]], int]:
    """A call with memory taken before, and the scratch that it takes."""
    budget = _native.Budget(0)
    first = program.load(method)
    outputs = [budget.empty(shape, dtype) for dtype, shape in first.output_specs]
    first.execute(*inputs, outputs=outputs)
    loaded = program.load(method, {}, first.scratch_peak)
    return lambda: loaded.execute(*inputs, outputs=outputs), first.scratch_peak


def _error(found: np.ndarray, expected: np.ndarray, storage: str) -> float:
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    if error > TOLERANCE[storage]:
        raise SystemExit(f"propagation with {storage} layers is off by {error:.1e} of the largest value")
    return error


def _with_bandwidth(row: Row, model: RewiredModel, storage: str, note: str) -> Row:
    (users, items), dim = model.graph.shape, model.codebook.shape[1]
    cell = 2 if storage == "float16" else 4
    indices = model.graph.nnz * 2 * -(-dim // BLOCK)  # uint16, once for each block of columns
    tables = (users + items) * dim * cell  # one side's read and the other's written, and the other way round
    gathered = model.layers * 2 * (model.graph.nnz * dim * cell + indices) + model.layers * tables
    compulsory = model.layers * 2 * (tables + indices)
    copy = _copy_bytes_per_ms()
    shares = [f"{100 * size / row.ours_ms / copy:.0f} %" for size in (gathered, compulsory)]
    shown = f"{note}; of copy's {copy / 1e6:.1f} GB/s: gathered {shares[0]}, compulsory {shares[1]}"
    return Row(row.name, row.ours_ms, row.peer_ms, row.ratio, shown)


def _copy_bytes_per_ms() -> float:
    """Read and written by a copy of 256 MB on torch's threads."""
    source = torch.ones(1 << 26)
    target = torch.empty_like(source)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - began)
    return 2 * source.nbytes / min(times) / 1e3
