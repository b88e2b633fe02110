"""One open Recommender asked by 1, 2 and 8 threads, a user at a time, against faiss's IndexFlatIP in as many.

Kernels run on one thread, so that what is measured is callers side by side. The first rows of a table compare
ours with faiss; the last ones compare N threads with one, the work being the same. Weights are random: time
does not depend on them. Answers are those of one thread, and of faiss where no seen item is left out.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np

from benchmarks.harness import Row, compare, native_threads
from benchmarks.model import gowalla_or_generated, random_model
from lerg_exporter.bundles.write import draft_bundle, write
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime import Recommender

K, DIM, CALLS, RUNS = 20, 64, 160, 9
THREADS = (1, 2, 8)
Ask = Callable[[int], object]


def run() -> list[Row]:
    """Write a bundle, open it once, and ask."""
    name, interactions = gowalla_or_generated()
    print(f"{name}: {interactions.item_count} items, d = {DIM}, K = {K}, {CALLS} calls for one user each")
    model = random_model(interactions, dim=DIM, codebook_rows=8000, retention=0.7)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write(
            draft_bundle(model, ProgramLimits(max_batch=512)),
            bundle,
            interactions=interactions,
            finetune={"learning_rate": 0.01},
        )
        with Recommender.open(bundle, threads=max(THREADS)) as rec, native_threads(1):
            return list(_rows(rec))


def _rows(rec: Recommender) -> Iterator[Row]:
    inner = rec._open
    with inner.serving() as serving:
        items = serving.item_arrays[0][inner.entities.item_slots]
        users = serving.user_table[inner.entities.user_slots]
    index = faiss.IndexFlatIP(DIM)
    index.add(items)
    faiss.omp_set_num_threads(1)
    asked = np.random.default_rng(0).permutation(len(users))[:CALLS]
    names = rec.user_ids.take(asked).tolist()
    alone = [rec.recommend(name, k=K) for name in names]
    _check_scores(rec, names, index.search(users[asked], K)[0])

    def ours(call: int) -> None:
        found = rec.recommend(names[call], k=K)
        if not all(np.array_equal(*pair) for pair in zip(found, alone[call], strict=True)):
            raise SystemExit("an answer differs from that of one thread")

    def theirs(call: int) -> None:
        index.search(users[asked[call]][None], K)

    for threads in THREADS:
        _in_threads(threads, ours)  # lanes are made
        yield compare(
            f"{threads} thread{'s' * (threads > 1)}, peer faiss in as many",
            lambda threads=threads: _in_threads(threads, ours),  # type: ignore[misc]
            lambda threads=threads: _in_threads(threads, theirs),  # type: ignore[misc]
            runs=RUNS,
        )
    for threads in THREADS[1:]:
        yield compare(
            f"{threads} threads, peer one thread",
            lambda threads=threads: _in_threads(threads, ours),  # type: ignore[misc]
            lambda: _in_threads(1, ours),
            runs=RUNS,
        )


def _check_scores(rec: Recommender, names: list[object], expected: np.ndarray) -> None:
    for name, row in zip(names, expected, strict=True):
        _, scores = rec.recommend(name, k=K, include_seen=True)  # type: ignore[arg-type]
        if not np.allclose(scores, row, rtol=1e-4, atol=1e-5):
            raise SystemExit("the scores of the best items differ from faiss's")


def _in_threads(count: int, ask: Ask) -> None:
    """Every call once, shared out among threads."""
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for call in range(first, CALLS, count):
                ask(call)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
