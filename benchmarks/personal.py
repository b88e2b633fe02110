"""One person on a device: an answer right after an observation, against faiss with the rows in full.

Ours is `observe` and `recommend` of a personal bundle with gowalla's number of items, from raw id to raw ids:
the history's row, the metric, and the whole catalogue but for what the person has touched. The peer sums rows
of a float32 table and searches it, on integers and without a metric. The notes have what opening and a first
answer took of memory, over a process that has loaded the runtime.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import faiss
import numpy as np

from benchmarks.harness import Row, compare, native_threads
from lerg_edge.data.interactions import IdMap
from lerg_edge.histories.rule import HistoryRule
from lerg_edge.personal.coding import Coding, code_items
from lerg_edge.personal.model import PersonalModel
from lerg_edge.personal.sheltering import degree_codes
from lerg_exporter.bundles.personal import draft_personal, write_personal
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime import Recommender

ITEMS, HISTORY, K = 40_981, 27, 20  # gowalla's catalogue and a usual history
CASES = ((56, Coding("rows", 4)), (56, Coding("product", 8, 14, 256)), (112, Coding("product", 8, 28, 256)))

_CHILD = """
import json, sys
from pathlib import Path
import lerg_runtime.cli._main
from lerg_runtime import Recommender
from lerg_runtime.engine._threads import use_threads
from lerg_runtime._native_module import native

def kilobytes(name):
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name)))

native().build_info()
use_threads(1)
base = kilobytes("VmRSS")
with Recommender.open(sys.argv[1]) as recommender:
    for item in range(27):
        recommender.observe(item)
    recommender.recommend(k=20)
    print(json.dumps({"over": (kilobytes("VmHWM") - base) / 1024}))
"""


def run() -> list[Row]:
    """Generated rows, in which a few directions count most, coded in three ways, in both lowerings."""
    rng = np.random.default_rng(0)
    print(f"{ITEMS} items, a history of {HISTORY}, K = {K}")
    rows = []
    for dim, coding in CASES:
        table = (rng.normal(size=(ITEMS, dim)) * np.linspace(2, 0.2, dim)).astype(np.float32)
        history = rng.choice(ITEMS, HISTORY, replace=False).tolist()
        model = _model(table, coding)
        rows.extend(_rows(model, table, history, name=f"{coding}, d = {dim}"))
    return rows


def _model(table: np.ndarray, coding: Coding) -> PersonalModel:
    return PersonalModel(
        code_items(table, coding, seed=0),
        np.arange(ITEMS, dtype=np.int32),
        np.zeros(0, np.int64),
        degree_codes(np.full(ITEMS, 20), least=5),
        HistoryRule(ridge=3.0),
    )


def _rows(model: PersonalModel, table: np.ndarray, history: list[int], *, name: str) -> Iterator[Row]:
    index = faiss.IndexFlatIP(table.shape[1])
    index.add(table)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    for lowering in ("native", "portable"):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "bundle"
            draft = draft_personal(model, ProgramLimits(max_k=K), lowering=lowering, max_history=1000)
            write_personal(draft, folder, item_ids=IdMap.from_values(range(ITEMS)), entities=2 * ITEMS)
            taken = subprocess.run(
                [sys.executable, "-c", _CHILD, str(folder)], check=True, capture_output=True, text=True
            )
            over = json.loads(taken.stdout)["over"]
            with Recommender.open(folder) as recommender, native_threads(1):
                yield _timed(recommender, index, table, history, name=f"{name}, {lowering}", over=over)
    faiss.omp_set_num_threads(threads)


def _timed(
    recommender: Recommender,
    index: faiss.IndexFlatIP,
    table: np.ndarray,
    history: list[int],
    *,
    name: str,
    over: float,
) -> Row:
    for item in history:
        recommender.observe(item)
    turns = cycle(history)

    def ours() -> list[int]:
        recommender.observe(next(turns))
        found: list[int] = recommender.recommend(k=K)[0].tolist()
        return found

    def peer() -> np.ndarray:
        places: np.ndarray = index.search(table[history].sum(axis=0, keepdims=True), K + HISTORY)[1]
        return places

    answer = ours()
    if len(set(answer)) != K or set(answer) & set(history):
        raise SystemExit("an answer has an item twice, or one that was touched")
    peer()
    return compare(name, ours, peer, runs=60, note=f"{over:.1f} MB over the loaded runtime")
