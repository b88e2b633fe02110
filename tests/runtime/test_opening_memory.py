"""What opening takes is what the plan says: the budget's own count, and Python's memory beside it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _tiny import tiny_model, write_tiny

from lerg_runtime import _native
from lerg_runtime.bundle import BundleFolder, InteractionRows, State, save_state
from lerg_runtime.errors import BudgetError
from lerg_runtime.serving import _core

LEEWAY = 512 * 1024


class WithoutProgram:
    """An engine that holds the program's bytes and runs nothing."""

    def __init__(self, folder: BundleFolder, *, budget_bytes: int | None) -> None:
        self.budget: Any = _native.Budget(budget_bytes or 0)
        self.folder = folder

    def open_program(self, entities: Any, interactions: Any) -> None:
        self.data = self.folder.read_program(allocate=self.budget.empty)


def with_local(folder: BundleFolder, seen: np.ndarray, count: int) -> None:
    """Save `count` interactions of the device, sorted, none of them in the bundle."""
    state = folder.read_state()
    users, items = (part[:count].astype(np.int32) for part in np.nonzero(~seen))
    assert len(users) == count
    save_state(folder.path, State(state.codebook, state.step, users, items), digest=folder.digest)


@pytest.mark.parametrize("ids", ["text", "integer"])
@pytest.mark.parametrize(("users", "items", "local"), [(2_000, 1_500, 1_000_000), (9_000, 60, 1_000)])
def test_opening_takes_what_was_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: str, users: int, items: int, local: int
) -> None:
    model = tiny_model(users=users, items=items)
    folder = BundleFolder.open(write_tiny(tmp_path / "bundle", model, ids=ids))
    with_local(folder, model.seen(), local)
    monkeypatch.setattr(_core, "Engine", WithoutProgram)
    tracemalloc.start()
    try:
        opened = _core.OpenBundle(folder, budget_bytes=None)
        beside = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    plan = opened.plan(opened.workload(users_at_once=1)).phase("open")
    measured = opened.engine.budget.peak + beside
    assert abs(measured - plan.total_bytes) <= max(LEEWAY, plan.total_bytes // 50), (measured, plan)
    seen = model.seen()
    seen[opened.state.users, opened.state.items] = True
    assert np.array_equal(opened.interactions.items, np.nonzero(seen)[1])
    assert np.array_equal(np.diff(opened.interactions.indptr), seen.sum(axis=1))
    with pytest.raises(BudgetError, match="local interactions"):
        _core.OpenBundle(folder, budget_bytes=plan.total_bytes - 1)


def test_a_small_state_takes_little_to_read(tmp_path: Path) -> None:
    folder = BundleFolder.open(write_tiny(tmp_path / "bundle", tiny_model()))
    tracemalloc.start()
    try:
        folder.read_state()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LEEWAY


@pytest.mark.parametrize("seed", range(6))
def test_merging_is_sorting(seed: int) -> None:
    random = np.random.default_rng(seed)
    users, items = int(random.integers(1, 60)), int(random.integers(1, 9_000))
    density = random.choice([0.0, 0.001, 0.3, 1.0])
    seen = random.random((users, items)) < density
    new = ~seen & (random.random((users, items)) < random.choice([0.0005, 0.2, 1.0]))
    pairs = [part.astype(np.int32) for part in np.nonzero(new)]
    indptr = np.concatenate(([0], np.cumsum(seen.sum(axis=1)))).astype(np.int32)
    stored = InteractionRows(indptr, np.nonzero(seen)[1].astype(np.uint16), items)
    assert not stored.has_any(*pairs)
    merged = stored.with_pairs(*pairs)
    assert np.array_equal(merged.items, np.nonzero(seen | new)[1])
    assert np.array_equal(np.diff(merged.indptr), (seen | new).sum(axis=1))
    assert np.array_equal(merged.find(*pairs), np.flatnonzero(new[seen | new]))
    old = [part.astype(np.int32) for part in np.nonzero(seen)]
    if len(old[0]):
        assert stored.has_any(*(part[-1:] for part in old))
