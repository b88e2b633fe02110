"""Threads that start at one moment, and what they compare."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime import Recommender

TIMEOUT = 120.0  # of what would be a deadlock


def together(*work: Callable[[], object]) -> None:
    """Run each on a thread of its own, all from the same moment; what one raises is raised here."""
    start, errors = threading.Barrier(len(work)), []

    def run(one: Callable[[], object]) -> None:
        try:
            start.wait(TIMEOUT)
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


def same(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    return one[0].tolist() == other[0].tolist() and np.array_equal(one[1], other[1])


def everyone(rec: Recommender) -> list[Any]:
    return list(rec.user_ids.take(np.arange(len(rec.user_ids))).tolist())


def everything(rec: Recommender) -> list[Any]:
    return list(rec.item_ids.take(np.arange(len(rec.item_ids))).tolist())


def unseen(folder: Path, count: int) -> list[tuple[Any, Any]]:
    inner = Recommender.open(folder)
    users, items = everyone(inner), everything(inner)
    pairs = []
    for at, user in enumerate(users):
        seen = set(inner._open.interactions.of_user(at).tolist())
        pairs.append((user, next(items[i] for i in range(at % 7, len(items)) if i not in seen)))
    return pairs[:count]
