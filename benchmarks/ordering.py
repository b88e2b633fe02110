"""Propagation and the fine-tune step with entities in the order of an export, against a random order of ids.

Both sides run the same model through the same kernels: only the order of rows differs. Kernels ask for rows
before they need them, so that time shows misses only where caches are small and memory is slow; where
valgrind is installed, the misses of a cache of 1 MB are counted, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.cache_misses import can_count, misses
from benchmarks.harness import Row, compare
from benchmarks.model import gowalla_or_generated, random_model
from lerg_edge.propagation.ordering import EntityOrder, order_entities
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.trace import trace
from lerg_runtime import _native

CODES, RETENTION, DIM, BATCH, RUNS = 8000, 0.7, 64, 2048, 25
TOLERANCE = 2e-5  # of the largest value


def run() -> list[Row]:
    """Time `encode` and `finetune` of one model in both orders, which must give the same rows."""
    name, interactions = gowalla_or_generated()
    rng = np.random.default_rng(1)
    shuffled = interactions.reordered(
        rng.permutation(interactions.user_count), rng.permutation(interactions.item_count)
    )
    model = random_model(shuffled, dim=DIM, codebook_rows=CODES, retention=RETENTION)
    order = order_entities(shuffled.matrix())
    ordered = in_other_order(model, order)
    print(f"{name} with shuffled ids, d = {DIM}: {model.graph.nnz} edges, {model.layers} layers")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sides = [
            _Programs(made, Path(folder) / f"{number}.pte") for number, made in enumerate((model, ordered))
        ]
        before, after = (side.encode() for side in sides)
        for old, new, (kept, moved) in zip(before, after, _retained(model, order), strict=True):
            error = np.abs(old[kept] - new[moved]).max() / np.abs(old).max()
            if error > TOLERANCE:
                raise SystemExit(f"the order changes a row by {error:.1e} of the largest value")
        encode, step = f"encode, d = {DIM}", f"fine-tune step, d = {DIM}, batch {BATCH:,}"
        rows.append(
            compare(encode, sides[1].encode, sides[0].encode, runs=RUNS, note=_misses("encode", sides))
        )
        rows.append(compare(step, sides[1].step, sides[0].step, runs=RUNS, note=_misses("finetune", sides)))
    return rows


def _misses(method: str, sides: list[_Programs]) -> str:
    """How many lines miss a cache of 1 MB in both orders, in words."""
    if not can_count():
        return "misses are not counted: apt-get install valgrind"
    before, after = (side.misses(method) for side in sides)
    return f"misses of 1 MB: {after:,} against {before:,}, {before / after:.1f} times as many"


def in_other_order(model: RewiredModel, order: EntityOrder) -> RewiredModel:
    """The same model with its entities under other indices."""
    entities = np.concatenate((order.users, model.user_count + order.items))
    retained = model.retained[entities]
    users, items = (
        _ranks(model.retained[part])[side][model.retained[part][side]]
        for part, side in (
            (slice(0, model.user_count), order.users),
            (slice(model.user_count, None), order.items),
        )
    )
    return replace(
        model,
        assignment=model.assignment[entities],
        retained=retained,
        graph=model.graph[users][:, items].sorted_indices(),
        placeholders=replace(model.placeholders, index=model.placeholders.index[entities]),
    )


def _ranks(retained: np.ndarray) -> np.ndarray:
    return np.cumsum(retained) - 1


def _retained(model: RewiredModel, order: EntityOrder) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each side the slots of retained entities in the old order and, beside, in the new one."""
    found = []
    for part, side in (
        (slice(0, model.user_count), order.users),
        (slice(model.user_count, None), order.items),
    ):
        kept = model.retained[part]
        old = _ranks(kept)[side][kept[side]]
        found.append((old, np.arange(len(old))))
    return found


class _Programs:
    """One order's `encode` and `finetune`, with memory taken before."""

    def __init__(self, model: RewiredModel, path: Path) -> None:
        self._path = path
        self._given: dict[str, tuple[dict[str, np.ndarray], list[np.ndarray]]] = {}
        methods = methods_of(model, ProgramLimits(max_batch=BATCH))
        path.write_bytes(trace({name: methods[name] for name in ("finetune", "encode")}).data)
        self._program = _native.Program(str(path), _native.Budget(0))
        rng = np.random.default_rng(2)
        codes = rng.integers(-127, 128, model.codebook.shape, dtype=np.int8)
        self.encode = self._runner("encode", {}, [codes, model.step])
        slots = [rng.integers(0, count, BATCH) for count in (*model.graph.shape, model.graph.shape[1])]
        parameters = {"codebook": model.codebook.copy(), "step": model.step.copy()}
        self.step = self._runner("finetune", parameters, slots)

    def _runner(
        self, method: str, parameters: dict[str, np.ndarray], inputs: list[np.ndarray]
    ) -> Callable[[], list[np.ndarray]]:
        self._given[method] = ({name: array.copy() for name, array in parameters.items()}, inputs)
        first = self._program.load(method, parameters)
        first.execute(*inputs)
        loaded = self._program.load(method, parameters, first.scratch_peak)
        outputs = None if parameters else [np.empty(shape, dtype) for dtype, shape in first.output_specs]
        return lambda: loaded.execute(*inputs, outputs=outputs)

    def misses(self, method: str) -> int:
        """Of a cache of 1 MB, in one call."""
        return misses(self._path, method, *self._given[method])
