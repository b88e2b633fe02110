"""Many pairs at once: what grows with them is counted in the budget, and the plan knows it beforehand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _tiny import tiny_model, write_tiny

from lerg_runtime import InteractionsFile, Recommender
from lerg_runtime.errors import BudgetError
from lerg_runtime.learning import _finetune
from lerg_runtime.learning._training import TrainingRun

USERS, ITEMS, PAIRS = 600, 500, 120_000
LEEWAY = 512 * 1024


@pytest.fixture
def bundle(tmp_path: Path, fake_native: None) -> Path:
    model = tiny_model(users=USERS, items=ITEMS)
    return write_tiny(tmp_path / "bundle", model, ids="integer", max_users=16)


@pytest.fixture
def nothing_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*arguments: Any, **options: Any) -> TrainingRun:
        return TrainingRun((), 0, False)

    monkeypatch.setattr(_finetune, "train", train)


def unseen(bundle: Path, count: int) -> list[tuple[Any, Any]]:
    """Pairs that the bundle does not have, in disorder."""
    with Recommender.open(bundle) as rec:
        there = rec._open.interactions
        free = np.ones((USERS, ITEMS), dtype=bool)
        free[there.users_of(np.arange(len(there))), there.items] = False
        users, items = np.nonzero(free)
        chosen = np.random.default_rng(0).choice(len(users), count, replace=False)
        ids = rec.user_ids.take(users[chosen]).tolist(), rec.item_ids.take(items[chosen]).tolist()
    return list(zip(*ids, strict=True))


def beside(work: Callable[[], object]) -> int:
    """The most bytes of Python and numpy at a time, which no budget counts."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("known", [0, 1_000])
def test_fine_tuning_takes_what_was_planned_and_little_beside(
    bundle: Path, nothing_trained: None, known: int
) -> None:
    pairs = unseen(bundle, PAIRS)
    with Recommender.open(bundle) as rec:
        if known:
            rec.finetune(pairs[:known], epochs=1)
        local = len(rec.state.users)
        workload = rec._open.workload(
            new_interactions=PAIRS, repeated=known, replayed=max(4 * PAIRS, rec.manifest.finetune.batch)
        )
        plan = rec._open.plan(workload).phase("finetune")
        taken = beside(lambda: rec.finetune(pairs, epochs=1))
        assert taken < 2 * LEEWAY, taken
        assert rec.memory[1] <= max(plan.total_bytes, 27 * PAIRS + rec.memory[0])
        assert len(rec.state.users) == PAIRS
        assert local == known
        keys = rec.state.users.astype(np.int64) * ITEMS + rec.state.items
        assert bool(np.all(np.diff(keys) > 0))


def test_measuring_takes_little_beside_what_is_counted(bundle: Path) -> None:
    pairs = unseen(bundle, PAIRS)
    with Recommender.open(bundle) as rec:
        rec.recommend(pairs[0][0])
        few = beside(lambda: rec.evaluate(pairs[:2_000], k=5))
        many = beside(lambda: rec.evaluate(pairs, k=5))
        assert many - few < LEEWAY, (few, many)


@pytest.mark.parametrize("work", ["finetune", "evaluate"])
def test_a_refusal_of_a_file_says_what_is_enough(
    bundle: Path, tmp_path: Path, nothing_trained: None, work: str
) -> None:
    rows = "".join(f"{user},{item}\n" for user, item in unseen(bundle, 30_000))
    (tmp_path / "new.csv").write_text("user,item\n" + rows)
    given = InteractionsFile(tmp_path / "new.csv")
    with Recommender.open(bundle) as free:
        budget = free.plan().phase("recommend").total_bytes
    refusals: list[BudgetError] = []
    for _ in range(4):
        try:
            with Recommender.open(bundle, memory_budget=budget) as rec:
                done = rec.finetune(given, epochs=1) if work == "finetune" else rec.evaluate(given, k=5)
                assert done
                assert rec.memory[1] <= budget
                break
        except BudgetError as error:
            refusals.append(error)
            budget = error.needed_bytes
    else:
        pytest.fail(f"what was said to be enough was not: {refusals}")
    assert "interactions while they are read" in str(refusals[0])
    for error in refusals:
        assert f"give at least {error.needed_bytes} bytes" in str(error)
        assert sum(size for _, size in error.items) == error.needed_bytes > error.budget_bytes


def test_tables_that_nobody_is_on_make_room(bundle: Path) -> None:
    pairs = unseen(bundle, 5_000)
    with Recommender.open(bundle) as free:
        free.evaluate(pairs, k=5)
        expected = free.evaluate(pairs, k=5)
        needed = free.plan().phase("recommend").total_bytes + 40 * len(pairs)
    with Recommender.open(bundle, memory_budget=needed) as rec:
        rec.recommend(pairs[0][0])  # lanes as wide as the budget holds
        assert rec.evaluate(pairs, k=5) == expected
