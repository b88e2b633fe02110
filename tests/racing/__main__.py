"""`python -m racing --folders BUNDLE... --threads N...`: threads ask and compare while one learns.

Needs nothing but the runtime, and runs under the thread sanitizer in seconds. Exits with 1 where an answer is
neither the one of before nor the one of afterwards; the sanitizer has an exit status of its own.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime import Recommender, _native

_K = 10


def race(folder: Path, *, threads: int, epochs: int) -> tuple[int, int]:
    """Answers given while a fine-tune went on, and how many of them were wrong."""
    after = _opened(folder, threads)
    users, items = list(after.user_ids)[:40], list(after.item_ids)
    new = [(user, items[at % len(items)]) for at, user in enumerate(users)]
    before = [after.recommend(user, k=_K) for user in users]
    after.finetune(new, epochs=epochs)
    then = [after.recommend(user, k=_K) for user in users]
    rec = _opened(folder, threads)
    start, done = threading.Barrier(threads + 1), threading.Event()
    answers, wrong = [0] * threads, [0] * threads

    def ask(number: int) -> None:
        start.wait()
        at, last = number, False
        while not last:
            last = done.is_set()
            at = (at + 1) % len(users)
            found = rec.recommend(users[at], k=_K)
            answers[number] += 1
            wrong[number] += not (_same(found, before[at]) or _same(found, then[at]))
            if number == 0:
                rec.similar_items(items[0], k=5)
            if number == 1:
                rec.recommend_from_history(items[:3], k=_K)

    def learn() -> None:
        start.wait()
        try:
            rec.finetune(new, epochs=epochs)
        finally:
            done.set()

    work = [threading.Thread(target=ask, args=(number,)) for number in range(threads)]
    work.append(threading.Thread(target=learn))
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    last = [rec.recommend(user, k=_K) for user in users]
    wrong.append(sum(not _same(one, other) for one, other in zip(last, then, strict=True)))
    return sum(answers), sum(wrong)


def _opened(folder: Path, threads: int) -> Recommender:
    rec = Recommender.open(folder, threads=threads)
    _native.set_threads(
        1
    )  # lanes stay as many; the pool is ExecuTorch's, which the sanitizer does not see into
    return rec


def _same(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    return bool(np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1]))


def main(arguments: list[str] | None = None) -> int:
    """Race on every bundle with every number of threads; 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(prog="racing")
    parser.add_argument("--folders", type=Path, nargs="+", required=True)
    parser.add_argument("--threads", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--epochs", type=int, default=2)
    given: Any = parser.parse_args(arguments)
    failed = 0
    for folder in given.folders:
        for threads in given.threads:
            answers, wrong = race(folder, threads=threads, epochs=given.epochs)
            failed += wrong
            print(f"{folder.name}, {threads} threads beside a fine-tune: {answers} answers, {wrong} wrong")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
