"""The best 20 of all items by inner product, through the `recommend` programs, against faiss's IndexFlatIP.

The table is that of a model trained for two epochs from METIS and the spectral start: rows as a real model
has them, not random ones.  faiss gets its plain case, every item a row of its own and nothing masked; ours
carries its slots and its mask of seen items all the same, the identity and an empty one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from torch.export import Dim

from benchmarks.harness import Row, compare, native_threads
from benchmarks.model import gowalla_or_generated
from lerg_edge import Interactions
from lerg_edge.training.options import TrainingOptions
from lerg_edge.training.pretraining import assign, pretrain, propagated
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.native.recommend import Recommend, with_int8_items
from lerg_exporter.programs.trace import trace
from lerg_runtime import _native
from lerg_runtime.serving._barred import Barred, write_masks

__all__ = ["BATCH", "K", "Rank", "ranking_programs", "run"]

K, EPOCHS, CODES, BATCH = 20, 2, 8000, 256
DIMS = (64, 112, 128)  # 112 is what an export takes by default
ASKED = 2048  # users over whom the share of same items is taken
LEAST_SAME = 0.99
Rank = Callable[..., tuple[np.ndarray, np.ndarray]]
"""Item indices and scores [B, K] of user rows [B, d]; what each may not get, if anything, comes second."""


def run() -> list[Row]:
    """Train a table of each width, then rank from it both ways."""
    name, interactions = gowalla_or_generated()
    print(f"{name}: {interactions.item_count} items, K = {K}, trained for {EPOCHS} epochs, {CODES} codes")
    return [row for dim in DIMS for row in _rows(*_trained_tables(interactions, dim=dim))]


def _trained_tables(interactions: Interactions, *, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Propagated users [U, d] and items [I, d] of a model trained briefly."""
    options = TrainingOptions(dim=dim, epochs=EPOCHS, seed=0, device="cpu")
    model = pretrain(interactions, assign(interactions, options, codebook_rows=CODES), options)
    rows = propagated(model, interactions.matrix())
    return rows[: interactions.user_count], rows[interactions.user_count :]


def _rows(users: np.ndarray, items: np.ndarray) -> Iterator[Row]:
    dim = items.shape[1]
    index = faiss.IndexFlatIP(dim)
    index.add(items)
    asked = users[np.random.default_rng(0).permutation(len(users))[:ASKED]]
    with ranking_programs(items) as ranking:
        for table, rank in ranking.items():
            same = _same_items(rank, index, asked, exact=table == "float32")
            note = f"{100 * same:.2f} % of {ASKED} users' items the same"
            for count, runs, threads in ((1, 300, 1), (BATCH, 15, _native.build_info()["threads"])):
                called = f"{count} user{'s' * (count > 1)}, {threads} thread{'s' * (threads > 1)}"
                with _threads(threads):
                    yield compare(
                        f"{table}, d = {dim}, {called}",
                        lambda rank=rank, rows=asked[:count]: rank(rows),  # type: ignore[misc]
                        lambda rows=asked[:count]: index.search(rows, K),  # type: ignore[misc]
                        runs=runs,
                        note=note,
                    )


@contextmanager
def ranking_programs(items: np.ndarray) -> Iterator[dict[str, Rank]]:
    """Rankings of user rows by `recommend` from either table: item indices and scores [B, K]."""
    count, dim = items.shape
    users, ranks = Dim("users", min=1, max=BATCH), torch.arange(K)
    method = Method(
        module=Recommend(),
        inputs={
            "user_rows": torch.zeros(3, dim),
            "item_table": torch.zeros(count, dim),
            "item_slots": torch.zeros(count, dtype=torch.int32),
            "seen": torch.zeros(3, count, dtype=torch.bool),
            "ranks": ranks,
        },
        dynamic={"user_rows": {0: users}, "seen": {0: users}},
        outputs=("items", "scores"),
    )
    encode = Method(module=torch.nn.Identity(), inputs={}, dynamic={}, outputs=())
    int8 = with_int8_items({"encode": encode, "recommend": method})["recommend"]
    scales = np.abs(items).max(1) / np.float32(127)
    codes = np.rint(items / scales[:, None]).astype(np.int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pte"
        path.write_bytes(trace({"float32": method, "int8": int8}).data)
        program = _native.Program(str(path), _native.Budget(0))
        yield {
            "float32": _ranker(program, "float32", (items,)),
            "int8": _ranker(program, "int8", (codes, scales)),
        }


def _ranker(program: Any, method: str, tables: tuple[np.ndarray, ...]) -> Rank:
    """As the runtime does it: tables and results in the budget's memory, scratch taken once."""
    budget = _native.Budget(0)
    count = len(tables[0])
    slots = np.arange(count, dtype=np.int32)
    held = [_held(budget, array) for array in (*tables, slots)]
    seen, ranks = _held(budget, np.zeros((BATCH, count), bool)), np.arange(K)
    outputs = [budget.empty((BATCH, K), "int64"), budget.empty((BATCH, K), "float32")]
    first = program.load(method)
    rows = np.zeros((BATCH, tables[0].shape[1]), np.float32)
    for users in (1, 31, BATCH):
        first.execute(rows[:users], *held, seen[:users], ranks)
    loaded = program.load(method, {}, first.scratch_peak)

    def rank(user_rows: np.ndarray, barred: Sequence[Barred] = ()) -> tuple[np.ndarray, np.ndarray]:
        write_masks(barred, seen)
        found, scores = loaded.execute(user_rows, *held, seen[: len(user_rows)], ranks, outputs=outputs)
        return found, scores

    return rank


def _same_items(rank: Rank, index: Any, asked: np.ndarray, *, exact: bool) -> float:
    """Share of faiss's items that are among ours; ends the run when they are too few or badly ordered."""
    same = 0
    for start in range(0, len(asked), BATCH):
        rows = asked[start : start + BATCH]
        found, scores = rank(rows)
        expected, theirs = index.search(rows, K)
        if exact and not np.allclose(scores, expected, rtol=1e-4, atol=1e-5):
            raise SystemExit("the scores of the best items differ from faiss's")
        if not (np.diff(scores, axis=1) <= 0).all():
            raise SystemExit("items are not in the order of their scores")
        same += sum(len(np.intersect1d(*pair)) for pair in zip(found, theirs, strict=True))
    share = same / (len(asked) * K)
    if share < LEAST_SAME:
        raise SystemExit(f"only {share:.4f} of the items are those of faiss")
    return share


def _held(budget: Any, array: np.ndarray) -> np.ndarray:
    held: np.ndarray = budget.empty(array.shape, str(array.dtype))
    held[...] = array
    return held


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        with native_threads(count):
            yield
    finally:
        faiss.omp_set_num_threads(before)
