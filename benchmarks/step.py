"""One fine-tune step and one ranking, through the programs of a bundle, against eager PyTorch.

The weights are random: time does not depend on them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.eager import EagerFineTune, top_items
from benchmarks.harness import Row, compare
from benchmarks.model import gowalla_or_generated, random_model
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.bundles.write import draft_bundle, write
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime import _native
from lerg_runtime.bundle import BundleFolder

BATCH, LEARNING_RATE, L2, K = 2048, 0.01, 1e-4, 20


def run() -> list[Row]:
    """Write a bundle, then time its programs."""
    name, interactions = gowalla_or_generated()
    model = random_model(interactions, dim=64, codebook_rows=8000, retention=0.7)
    print(
        f"{name}: {model.graph.shape[0]} + {model.graph.shape[1]} retained, {model.graph.nnz} edges, d = 64, "
        "3 layers"
    )
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        began = time.perf_counter()
        write(
            draft_bundle(model, ProgramLimits(max_batch=BATCH, l2=L2)),
            bundle,
            interactions=interactions,
            finetune={"learning_rate": LEARNING_RATE},
        )
        print(f"from trained model to bundle {time.perf_counter() - began:.1f} s")
        program = _native.Program("model.pte", _native.Budget(0), BundleFolder.open(bundle).read_program())
        name = "fine-tune step, batch 2,048"
        return [finetune_step(program, model, name=name), _recommend(program, model)]


def finetune_step(program: _native.Program, model: RewiredModel, *, name: str) -> Row:
    """A whole fine-tune step, optimiser included, batch 2,048."""
    users, items = model.graph.shape
    random = np.random.default_rng(0)
    triples = [random.integers(0, side, BATCH) for side in (users, items, items)]
    budget = _native.Budget(0)
    weights = {key: budget.empty(value.shape, "float32") for key, value in _parameters(model).items()}
    for key, value in _parameters(model).items():
        weights[key][:] = value
    outputs = [budget.empty((), "float32"), *(budget.empty(w.shape, "float32") for w in weights.values())]
    moments = {key: [np.zeros_like(w), np.zeros_like(w)] for key, w in weights.items()}
    method = program.load("finetune", weights)
    count = 0

    def ours() -> float:
        nonlocal count
        count += 1
        method.execute(*triples, outputs=[*outputs, None, None])
        for (key, weight), gradient in zip(weights.items(), outputs[1:], strict=True):
            _native.adam_step(
                weight, gradient, *moments[key], step=count, learning_rate=LEARNING_RATE, beta1=0.9,
                beta2=0.999, eps=1e-8,
            )  # fmt: skip
        return float(outputs[0])

    eager = EagerFineTune(model, l2=L2)
    adam = torch.optim.Adam(eager.parameters(), lr=LEARNING_RATE, foreach=True)
    tensors = [torch.from_numpy(column) for column in triples]

    def peer() -> float:
        adam.zero_grad()
        loss = eager(*tensors)
        loss.backward()
        adam.step()
        return float(loss)

    first = (ours(), peer())
    if not np.isclose(*first, rtol=1e-4):
        raise SystemExit(f"the two losses differ: {first}")
    planned = sum(program.arena_bytes("finetune")) + method.scratch_peak
    table = model.graph.shape[0] + model.graph.shape[1]
    whole = table * model.codebook.shape[1] * 4
    note = f"planned {planned / 1e6:.1f} MB, {planned / whole:.2f} of m*d*4"
    return compare(name, ours, peer, runs=15, note=note)


def _recommend(program: _native.Program, model: RewiredModel) -> Row:
    """Top 20 of all items for one user, seen ones masked."""
    random = np.random.default_rng(1)
    _, item_slots = model.slots()
    rows = len(model.retained_items) + int(model.placeholders.item_count)
    table = random.standard_normal((rows, 64), dtype=np.float32)
    user = random.standard_normal((1, 64), dtype=np.float32)
    seen = random.random((1, model.item_count)) < 0.001
    ranks = np.arange(K, dtype=np.int64)
    slots32 = np.ascontiguousarray(item_slots, dtype=np.int32)
    method = program.load("recommend")
    whole = torch.from_numpy(table[item_slots])
    one, mask = torch.from_numpy(user), torch.from_numpy(seen)

    def ours() -> np.ndarray:
        return method.execute(user, table, slots32, seen, ranks)[0]

    def peer() -> np.ndarray:
        return top_items(one, whole, mask, K).numpy()

    # Pruned items share rows, so ties are many and torch breaks them as it likes: compare the scores.
    scores = [(user @ table[item_slots[found[0]]].T)[0] for found in (ours(), peer())]
    if not np.allclose(scores[0], scores[1], rtol=1e-4):
        raise SystemExit("the two rankings differ")
    return compare("recommend, 1 user, K = 20", ours, peer, runs=100, note=f"{model.item_count} items")


def _parameters(model: RewiredModel) -> dict[str, np.ndarray]:
    return {"codebook": model.codebook, "step": model.step}
