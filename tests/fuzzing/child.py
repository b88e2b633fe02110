"""The process in which mutants are opened and run: it loads numpy and lerg_runtime, and may die of any of
them.

    python child.py BUDGET_BYTES [AS_BYTES]

For each folder named on a line of standard input it writes one JSON line: `{"outcome", "detail", "grown"}`.
A line `start` is written first. Everything that a device does with a bundle is done: open, recommend,
learn, profile, and the checks of `lerg-export verify`.
"""

from __future__ import annotations

import json
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

REFUSALS = {
    "BundleError": "refused",
    "InputError": "refused",
    "UnknownIdError": "refused",
    "BudgetError": "budget",
}
# Python, numpy and malloc keep some of what small objects took.
SLACK_BYTES = 6 << 20


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def use(folder: str, budget: int) -> None:
    """All that a device does, short."""
    from lerg_runtime import Recommender
    from lerg_runtime.golden import check_golden

    with Recommender.open(folder, memory_budget=budget) as rec:
        add_items(rec)
        if rec.is_personal:
            use_as_one_person(rec)
        else:
            use_as_users(rec)
        peak = rec.memory[1]
        if peak > budget:
            raise OverBudget(f"{peak} bytes were taken from a budget of {budget}")
    check_golden(folder)


def add_items(rec: Any) -> None:
    """Add an item by features, where there is a map of them, and rank those that are there already."""
    columns = rec._any.folder.contents.features
    if columns:
        numbers = {"category": "Drama", "number": 0.5}
        given = {column.name: numbers.get(column.kind, [0.5] * column.size) for column in columns}
        rec.add_item(987_654, features=given, on_unknown="skip")
    for item in rec.added_items:
        rec.similar_items(item, k=1)


def use_as_one_person(rec: Any) -> None:
    exported = len(rec.item_ids) - len(rec.added_items)
    items, k = first_ids(rec.item_ids, min(3, exported)), min(4, len(rec.item_ids))
    rec.observe(items)
    rec.recommend(k=k)
    rec.recommend(k=k, items=items, exclude=items[:1], include_seen=True)
    rec.recommend_from_history(items, k=min(2, k))
    if len(rec.item_ids) > 1:
        rec.similar_items(items[0], k=1)
    rec.forget(items[0])
    rec.history()


def use_as_users(rec: Any) -> None:
    exported = len(rec.item_ids) - len(rec.added_items)
    users, items = first_ids(rec.user_ids, 5), first_ids(rec.item_ids, min(3, exported))
    k = min(4, len(rec.item_ids))
    rec.recommend(users[0], k=k)
    rec.recommend(users, k=k, include_seen=True)
    rec.recommend_from_history(items, k=min(2, k))
    if len(rec.item_ids) > 1:
        rec.similar_items(items[0], k=1)
    rec.finetune([(users[0], item) for item in items], epochs=1, replay=4, batch=4)
    rec.profile(k=k, runs=1, seconds=1e-6)


class OverBudget(Exception):
    """More memory than was given."""


def first_ids(ids: Any, count: int) -> list[Any]:
    return list(ids.take(np.arange(min(count, len(ids)))))


def judged(folder: str, budget: int, *, watched: bool) -> dict[str, object]:
    from lerg_runtime.errors import LergRuntimeError

    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    try:
        use(folder, budget)
        outcome, detail = "fine", ""
    except LergRuntimeError as error:
        outcome, detail = REFUSALS.get(type(error).__name__, "failed"), str(error)
        if "\n" in detail or not detail or len(detail) > 1500:
            outcome = "unclear"
    except MemoryError as error:  # of a program that is run without a budget, as verify does
        detail = str(error)
        outcome = "failed" if detail.endswith(" bytes, which the system does not have") else "exception"
    except OverBudget as error:
        outcome, detail = "over budget", str(error)
    except Exception as error:
        outcome, detail = "exception", "".join(traceback.format_exception(error))[-2000:]
    grown = resident("VmHWM") - before
    if watched and grown > budget + SLACK_BYTES and outcome in ("fine", "refused", "budget", "failed"):
        outcome, detail = "over budget", f"resident memory grew by {grown} bytes, budget {budget}: {detail}"
    return {"outcome": outcome, "detail": detail, "grown": grown}


def main() -> None:
    budget = int(sys.argv[1])
    import lerg_runtime._native
    import lerg_runtime.golden  # noqa: F401

    watched = len(sys.argv) > 2  # a sanitizer's own memory is many times what it watches
    if watched:
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print('"start"', flush=True)
    for line in sys.stdin:
        print(json.dumps(judged(line.rstrip("\n"), budget, watched=watched)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
