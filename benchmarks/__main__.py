"""`make bench`: this project against eager PyTorch doing the same, in one process and one run.

Each pair is timed in turn, A B A B …, and the ratio is the median of the pairs' ratios: on a busy machine
the two slow down together. Answers are compared before anything is timed. The weights are random; time does
not depend on them. Results go to `benchmarks/results/bench.json`.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.eager import EagerFineTune, top_items
from benchmarks.model import gowalla_or_generated, random_model
from lerg_exporter.bundling import draft_bundle, write
from lerg_exporter.limits import ProgramLimits
from lerg_runtime import _native

BATCH, LEARNING_RATE, L2, K = 2048, 0.01, 1e-4, 20
RESULTS = Path(__file__).parent / "results" / "bench.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: medians in milliseconds, and peer / ours as the median over pairs of runs."""

    name: str
    ours_ms: float
    peer_ms: float
    ratio: float
    note: str


def main() -> None:
    name, interactions = gowalla_or_generated()
    model = random_model(interactions, dim=64, codes=8000, retention=0.7)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        began = time.perf_counter()
        write(
            draft_bundle(model, ProgramLimits(max_batch=BATCH, l2=L2)),
            bundle,
            interactions=interactions,
            finetune={"learning_rate": LEARNING_RATE},
        )
        export_s = time.perf_counter() - began
        program = _native.Program(str(bundle / "model.pte"), _native.Budget(0))
        rows = [_step(program, model), _recommend(program, model)]
    build = _native.build_info()
    header = (
        f"{name}: {model.graph.shape[0]} + {model.graph.shape[1]} retained, {model.graph.nnz} edges, d = 64, "
        f"3 layers; {platform.machine()}, {build['isa']}, {build['threads']} threads; "
        f"copy bandwidth {_copy_gb_per_s():.1f} GB/s; from trained model to bundle {export_s:.1f} s"
    )
    print(header)
    print(f"{'':28}{'ours ms':>10}{'torch ms':>10}{'ratio':>8}  note")
    for row in rows:
        print(f"{row.name:28}{row.ours_ms:10.2f}{row.peer_ms:10.2f}{row.ratio:8.1f}  {row.note}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"header": header, "export_s": export_s, "rows": [asdict(r) for r in rows]}, indent=1)
    )


def _step(program: _native.Program, model) -> Row:  # type: ignore[no-untyped-def]
    """A whole fine-tune step, optimiser included, batch 2,048."""
    users, items = model.graph.shape
    random = np.random.default_rng(0)
    triples = [random.integers(0, side, BATCH) for side in (users, items, items)]
    budget = _native.Budget(0)
    weights = {name: budget.empty(value.shape, "float32") for name, value in _parameters(model).items()}
    for name, value in _parameters(model).items():
        weights[name][:] = value
    outputs = [budget.empty((), "float32"), *(budget.empty(w.shape, "float32") for w in weights.values())]
    moments = {name: [np.zeros_like(w), np.zeros_like(w)] for name, w in weights.items()}
    method = program.load("finetune", weights)
    count = 0

    def ours() -> float:
        nonlocal count
        count += 1
        method.execute(*triples, outputs=[*outputs, None, None])
        for (name, weight), gradient in zip(weights.items(), outputs[1:], strict=True):
            _native.adam_step(
                weight, gradient, *moments[name], step=count, learning_rate=LEARNING_RATE, beta1=0.9,
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
    note = f"planned {planned / 1e6:.1f} MB, {planned / (table * 64 * 4):.2f} of m*d*4"
    return _compare("fine-tune step, batch 2,048", ours, peer, runs=15, note=note)


def _recommend(program: _native.Program, model) -> Row:  # type: ignore[no-untyped-def]
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
    return _compare("recommend, 1 user, K = 20", ours, peer, runs=100, note=f"{model.item_count} items")


def _parameters(model) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    return {"codebook": model.codebook, "step": model.step}


def _compare(
    name: str, ours: Callable[[], object], peer: Callable[[], object], *, runs: int, note: str
) -> Row:
    pairs = []
    for _ in range(runs):
        began = time.perf_counter()
        ours()
        between = time.perf_counter()
        peer()
        pairs.append(((between - began) * 1e3, (time.perf_counter() - between) * 1e3))
    mine, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(b / a for a, b in pairs)
    return Row(name, statistics.median(mine), statistics.median(theirs), ratio, note)


def _copy_gb_per_s() -> float:
    """Bytes read and written by a copy of 256 MB, a second."""
    source = np.ones(1 << 25)
    target = np.empty_like(source)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - began)
    return 2 * source.nbytes / min(times) / 1e9


if __name__ == "__main__":
    main()
