"""Many users and a large k: what is taken beside the answer does not grow with them."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _shell import Shell
from _tiny import raw_ids, tiny_model, write_tiny

from lerg_runtime import Recommender

ITEM_COUNT = 1500


@pytest.fixture(params=["text", "integer"])
def wide(request: pytest.FixtureRequest, tmp_path: Path, fake_native: None) -> Path:
    model = tiny_model(users=200, items=ITEM_COUNT)
    return write_tiny(tmp_path / "b", model, ids=request.param, max_users=16, max_k=100)


def taken(work: Callable[[], object]) -> tuple[int, object]:
    """The most bytes of Python and numpy at a time, and what came."""
    tracemalloc.start()
    try:
        found = work()
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def answer_bytes(items: np.ndarray, scores: np.ndarray) -> int:
    texts = {id(item): item for item in items.reshape(-1).tolist()} if items.dtype == object else {}
    return items.nbytes + scores.nbytes + sum(len(str(item)) + 80 for item in texts.values())


def test_beside_the_answer_nothing_grows(wide: Path) -> None:
    rec = Recommender.open(wide, memory_budget="64MiB")
    users = list(rec.user_ids)
    rec.recommend(users[:2], k=ITEM_COUNT)
    beside = []
    for count in (20, 200):
        peak, found = taken(lambda count=count: rec.recommend(users[:count], k=ITEM_COUNT))  # type: ignore[misc]
        assert isinstance(found, tuple)
        beside.append(peak - answer_bytes(*found))
    # Ten times the answer, 3.6 MB of it: what is beside it stays below a tenth of that.
    assert beside[1] - beside[0] < 360_000
    assert rec.memory[1] <= 64 << 20


def test_parts_are_put_together_as_one_user_at_a_time_has_them(wide: Path) -> None:
    rec = Recommender.open(wide)
    users = list(rec.user_ids)[:37]
    items, scores = rec.recommend(users, k=ITEM_COUNT)
    for row in (0, 15, 16, 36):
        single, points = rec.recommend(users[row], k=ITEM_COUNT)
        there = scores[row] > -np.inf
        assert items[row][there].tolist() == single.tolist()
        assert np.allclose(scores[row][there], points, rtol=1e-6)


def test_the_command_writes_as_it_goes(wide: Path, shell: Shell, tmp_path: Path) -> None:
    output, few = tmp_path / "top.csv", tmp_path / "few.csv"
    options = ("--all-users", "--memory-budget", "64MiB", "--output")
    small, _ = taken(lambda: shell.json("recommend", wide, "-k", 20, *options, few))
    large, told = taken(lambda: shell.json("recommend", wide, "-k", 400, *options, output))
    # The file is 20 times as long, more than ten megabytes of Python objects if they all were there at once.
    assert output.stat().st_size > 1_500_000
    assert large < small + 3_000_000
    with open(output, encoding="utf-8", newline="") as stream:
        rows = sum(1 for _ in csv.reader(stream)) - 1
    assert isinstance(told, dict)
    assert rows == told["rows"]


def test_evaluation_holds_a_few_rankings_at_a_time(wide: Path) -> None:
    rec = Recommender.open(wide)
    users = list(rec.user_ids)
    unseen = [(user, rec.recommend(user, k=1)[0][0]) for user in users]
    few, _ = taken(lambda: rec.evaluate(unseen[:20], k=ITEM_COUNT))
    many, _ = taken(lambda: rec.evaluate(unseen, k=ITEM_COUNT))
    assert many - few < 360_000


def test_the_names_are_those_of_the_catalogue(wide: Path) -> None:
    rec = Recommender.open(wide)
    items, _ = rec.recommend(list(rec.user_ids)[:5], k=ITEM_COUNT, include_seen=True)
    kind = "text" if items.dtype == object else "integer"
    assert all(sorted(row.tolist()) == sorted(raw_ids(kind, ITEM_COUNT, prefix="item")) for row in items)
