"""Many pairs that are rated low: merging and saving them takes what was planned, and little beside."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _tiny import TinyModel, tiny_model, write_tiny

from lerg_runtime import BudgetError, InteractionsFile, Recommender
from lerg_runtime.bundle import BundleFolder, State, copy_bundle, save_state

USERS, ITEMS, PAIRS = 600, 500, 120_000
LEEWAY = 512 * 1024


@pytest.fixture
def model() -> TinyModel:
    return tiny_model(users=USERS, items=ITEMS)


@pytest.fixture
def bundle(tmp_path: Path, model: TinyModel, fake_native: None) -> Path:
    return write_tiny(tmp_path / "bundle", model, ids="integer", max_users=16)


@pytest.fixture
def pairs(bundle: Path, model: TinyModel) -> list[tuple[int, int]]:
    """Raw ids of pairs that the bundle does not have, in disorder."""
    users, items = np.nonzero(~model.seen())
    chosen = np.random.default_rng(0).choice(len(users), PAIRS, replace=False)
    with Recommender.open(bundle) as rec:
        ids = rec.user_ids.take(users[chosen]).tolist(), rec.item_ids.take(items[chosen]).tolist()
    return list(zip(*ids, strict=True))


def rated(path: Path, low: list[tuple[int, int]], high: list[tuple[int, int]]) -> InteractionsFile:
    rows = [f"{user},{item},{rating}" for rating, some in ((1, low), (5, high)) for user, item in some]
    path.write_text("user,item,rating\n" + "\n".join(rows) + "\n")
    return InteractionsFile(path, rating_threshold=4)


def beside(work: Callable[[], object]) -> int:
    """The most bytes of Python and numpy at a time, which no budget counts."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def disliked(rec: Recommender) -> set[tuple[int, int]]:
    state = rec.state
    keys = state.disliked_users.astype(np.int64) * ITEMS + state.disliked_items
    assert bool(np.all(np.diff(keys) > 0))
    ids = rec.user_ids.take(state.disliked_users), rec.item_ids.take(state.disliked_items)
    return set(zip(*(part.tolist() for part in ids), strict=True))


def test_merging_takes_what_was_planned(bundle: Path, tmp_path: Path, pairs: list[tuple[int, int]]) -> None:
    half, tenth = PAIRS // 2, PAIRS // 10
    files = [
        rated(tmp_path / "first.csv", pairs[:half], []),
        rated(tmp_path / "more.csv", pairs[tenth:], []),
        rated(tmp_path / "back.csv", [], pairs[: 2 * tenth]),
    ]
    with Recommender.open(bundle) as rec:
        for file, (given, new, back), left in zip(
            files,
            [(half, half, 0), (PAIRS - tenth, half, 0), (0, 0, 2 * tenth)],
            [pairs[:half], pairs, pairs[2 * tenth :]],
            strict=True,
        ):
            work = rec._open.workload(
                new_interactions=back,
                replayed=max(4 * back, rec.manifest.finetune.batch),
                given_disliked=given,
                new_disliked=new,
                liked_again=back,
            )
            plan = rec._open.plan(work)
            reading = rec.memory[0] + 27 * (given + back)
            taken = beside(lambda file=file: rec.finetune(file, epochs=1, force=True))  # type: ignore[misc]
            assert taken < 2 * LEEWAY, taken
            assert disliked(rec) == set(left)
            largest = max(plan.phase(name).total_bytes for name in ("dislike", "finetune"))
            assert rec.memory[1] <= max(largest, reading)


def test_a_refusal_says_what_is_enough(bundle: Path, tmp_path: Path, pairs: list[tuple[int, int]]) -> None:
    with Recommender.open(bundle) as rec:
        rec.finetune(rated(tmp_path / "first.csv", pairs[: PAIRS // 2], []))
        rec.save()
        budget = rec.plan().peak_bytes
    # Few are new, so that merging takes more than reading; what was rated low before is in both.
    file = rated(tmp_path / "more.csv", [*pairs[: PAIRS // 20], *pairs[-10:]], [])
    refusals: list[BudgetError] = []
    for _ in range(4):
        try:
            with Recommender.open(bundle, memory_budget=budget) as rec:
                assert rec.finetune(file).disliked == 10
                assert rec.memory[1] <= budget
                break
        except BudgetError as error:
            refusals.append(error)
            budget = error.needed_bytes
    else:
        pytest.fail(f"what was said to be enough was not: {refusals}")
    assert any("storing what is rated low" in str(error) for error in refusals)
    for error in refusals:
        assert f"give at least {error.needed_bytes} bytes" in str(error)
        assert sum(size for _, size in error.items) == error.needed_bytes > error.budget_bytes


@pytest.mark.parametrize("copy", [False, True])
def test_saving_takes_no_memory_of_the_state(bundle: Path, tmp_path: Path, copy: bool) -> None:
    folder = BundleFolder.open(bundle)
    old = folder.read_state()
    users, items = (part.astype(np.int32) for part in np.divmod(np.arange(USERS * ITEMS), ITEMS))
    state = State(old.codebook, old.step, users, items)
    if copy:
        taken = beside(lambda: copy_bundle(folder, tmp_path / "other", state))
    else:
        taken = beside(lambda: save_state(bundle, state, digest=folder.digest))
    assert taken < 2 * LEEWAY < 8 * len(users)
    stored = BundleFolder.open(tmp_path / "other" if copy else bundle).read_state()
    assert np.array_equal(stored.users, users)
    assert np.array_equal(stored.items, items)
