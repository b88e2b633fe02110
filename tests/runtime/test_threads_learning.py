"""One thread learns while others ask: one state a call, one learner, no deadlock."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _real import RealBundle, write_real
from _tiny import TinyModel, raw_ids, write_tiny
from _together import TIMEOUT, everyone, same, together, unseen

from lerg_runtime import BudgetError, LergRuntimeError, Recommender, _native

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture(autouse=True)
def pool() -> Iterator[None]:
    """The pool is one for the process: other tests get it back as it was."""
    before = _native.build_info()["threads"]
    yield
    _native.set_threads(before)


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> RealBundle:
    return write_real(tmp_path_factory.mktemp("int8") / "bundle", item_table="int8")


def old_or_new(folder: Path, new: list[tuple[Any, Any]], **options: Any) -> None:
    """Threads ask while another learns: each answer is wholly that of before or wholly that of afterwards."""
    after = Recommender.open(folder, threads=1)
    users = everyone(after)
    before = after.recommend(users, k=15)
    after.finetune(new, **options)
    expected = after.recommend(users, k=15)
    assert not same(before, expected), "there is nothing to tell apart"
    rec, done = Recommender.open(folder, threads=4), threading.Event()
    found: list[tuple[bool, bool]] = []
    wrong: list[Any] = []

    def learn() -> None:
        try:
            rec.finetune(new, **options)
        finally:
            done.set()

    def ask_for_all() -> None:
        last = False
        while not last:
            last = done.is_set()
            got = rec.recommend(users, k=15)
            found.append((same(got, before), same(got, expected)))

    def ask_for_one(step: int) -> None:
        at, last = 0, False
        while not last:
            last = done.is_set()
            at = (at + step) % len(users)
            items, scores = rec.recommend(users[at], k=15)
            fits = False
            for state in (before, expected):
                there = state[1][at] > -np.inf
                fits |= same((items, scores), (state[0][at][there], state[1][at][there]))
            if not fits:
                wrong.append(users[at])

    together(learn, ask_for_all, lambda: ask_for_one(1), lambda: ask_for_one(7))
    assert wrong == []
    assert all(old or new for old, new in found)
    assert found[-1] == (False, True), "what is asked for after fine-tuning has returned is new"
    assert same(rec.recommend(users, k=15), expected)


def test_fine_tuning_is_seen_whole_or_not_at_all(bundle: Path) -> None:
    old_or_new(bundle, unseen(bundle, 40), epochs=3, seed=2)


def test_an_int8_table_is_seen_whole_or_not_at_all(int8: RealBundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(int8.folder, tmp_path / "bundle"))
    old_or_new(folder, unseen(folder, 40), epochs=3, seed=2, negative_candidates=4)


def test_fine_tuning_within_a_budget_that_holds_both(
    tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    folder = write_tiny(tmp_path / "b", model)
    new = unseen(folder, 8)
    inner = Recommender.open(folder)
    plan = inner.plan(new_interactions=8)
    both = plan.phase("finetune").total_bytes + plan.phase("recommend").total_bytes
    rec, asked = Recommender.open(folder, memory_budget=both, threads=4), threading.Event()
    before, inside = rec.recommend(USERS, k=9), []

    def on_progress(_: object) -> None:
        helper = threading.Thread(target=lambda: inside.append(rec.recommend(USERS, k=9)))
        helper.start()
        helper.join(TIMEOUT)
        asked.set()

    rec.finetune(new, epochs=2, on_progress=on_progress)
    assert asked.is_set()
    assert inside
    assert all(same(one, before) for one in inside)
    assert rec.memory[1] <= both


def test_a_budget_that_holds_one_of_them_refuses_in_words(
    tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    folder = write_tiny(tmp_path / "b", model)
    new = unseen(folder, 8)
    enough = max(phase.total_bytes for phase in Recommender.open(folder).plan(new_interactions=8).phases)
    rec = Recommender.open(folder, memory_budget=enough, threads=4)
    alone = {user: rec.recommend(user, k=9) for user in USERS}
    errors: list[Exception] = []
    own: list[Any] = []

    def elsewhere() -> None:
        try:
            rec.recommend(USERS[0], k=9)
        except BudgetError as error:
            errors.append(error)

    def on_epoch(_: object) -> None:
        helper = threading.Thread(target=elsewhere)
        helper.start()
        helper.join(TIMEOUT)
        assert not helper.is_alive(), "a callback that waits for another thread must not hang"
        try:
            own.append(rec.recommend(USERS[0], k=9))
        except BudgetError as error:
            own.append(error)

    rec.finetune(new, epochs=2, on_epoch=on_epoch)
    assert len(errors) == len(own) == 2
    assert "is being fine-tuned and its memory budget of" in str(errors[0])
    needed = errors[0].needed_bytes  # type: ignore[attr-defined]
    assert str(needed) in str(errors[0])
    roomy = Recommender.open(folder, memory_budget=needed)
    roomy.finetune(new, epochs=1, on_epoch=lambda _: bool(roomy.recommend(USERS[0], k=9)))
    assert rec.recommend(USERS[0], k=9)[0].tolist() != []
    assert rec.memory[1] <= enough
    assert alone


def test_calls_under_way_end_before_their_memory_is_taken(
    tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    """An evaluation has begun when fine-tuning begins under a budget that does not hold both."""
    folder = write_tiny(tmp_path / "b", model, max_users=1)
    new = unseen(folder, 8)
    enough = max(phase.total_bytes for phase in Recommender.open(folder).plan(new_interactions=8).phases)
    rec = Recommender.open(folder, memory_budget=enough, threads=2)
    test = unseen(folder, 30)
    quality, begun = rec.evaluate(test, k=9), threading.Event()
    found = []

    def evaluate() -> None:
        found.append(rec.evaluate(test, k=9, on_progress=lambda done, _: begun.set()))

    def learn() -> None:
        begun.wait(TIMEOUT)
        rec.finetune(new, epochs=1)

    together(evaluate, learn)
    assert found == [quality]
    assert rec.memory[1] <= enough


def learners(rec: Recommender, new: list[tuple[Any, Any]], count: int) -> list[str]:
    """What so many get who start at the same moment; the first goes on when all others have been refused."""
    told: list[str] = []
    met = threading.Barrier(count)

    def on_epoch(_: object) -> None:
        met.wait(TIMEOUT)

    def learn() -> None:
        try:
            rec.finetune(new, epochs=1, on_epoch=on_epoch)
            told.append("learned")
        except LergRuntimeError as error:
            told.append(str(error))
            met.wait(TIMEOUT)

    together(*[learn] * count)
    return sorted(told)


def test_of_several_learners_one_learns(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle, threads=4)
    new = unseen(tiny_bundle, 6)
    for _ in range(20):
        refused = "this Recommender is being fine-tuned; wait until that has returned"
        assert learners(rec, new, 3) == ["learned", refused, refused]


def test_profiling_and_learning_take_turns(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle, threads=2)
    with pytest.raises(LergRuntimeError, match="is being fine-tuned; wait"):
        rec.finetune(epochs=1, on_epoch=lambda _: bool(rec.profile(k=1, runs=1)))
    with pytest.raises(LergRuntimeError, match="is being profiled; wait"):
        rec.profile(k=1, runs=1, on_progress=lambda *_: rec.finetune(epochs=1))
    rec.finetune(epochs=1)
    rec.profile(k=1, runs=1)


def test_what_callbacks_of_an_evaluation_may_do(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle, threads=1)
    test = unseen(tiny_bundle, 30)
    expected, answers = rec.recommend(USERS[1], k=7), []
    rec.evaluate(test, k=9, on_progress=lambda *_: answers.append(rec.recommend(USERS[1], k=7)))
    assert answers
    assert all(same(answer, expected) for answer in answers)
    with pytest.raises(LergRuntimeError, match="from a callback of another of its calls"):
        rec.evaluate(test, k=9, on_progress=lambda *_: rec.finetune(epochs=1))
    rec.finetune(epochs=1)


def test_saving_beside_learning_stores_one_state(tiny_bundle: Path, tmp_path: Path) -> None:
    rec = Recommender.open(tiny_bundle, threads=2)
    before = rec.state

    def on_epoch(report: Any) -> None:
        rec.save(tmp_path / f"mine{report.epoch}")
        helper = threading.Thread(target=lambda: rec.save(tmp_path / f"other{report.epoch}"))
        helper.start()
        helper.join(TIMEOUT)

    rec.finetune(unseen(tiny_bundle, 5), epochs=2, on_epoch=on_epoch, learning_rate=0.05)
    for epoch in (1, 2):
        other = Recommender.open(tmp_path / f"other{epoch}").state
        assert np.array_equal(other.codebook, before.codebook)
        assert len(other.users) == 0
        mine = Recommender.open(tmp_path / f"mine{epoch}").state
        assert not np.array_equal(mine.codebook, before.codebook)
        assert len(mine.users) == 5
    assert np.array_equal(mine.codebook, rec.state.codebook)


def test_saves_follow_one_another(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle, threads=2)
    together(*[rec.save] * 8)
    assert rec.state.generation == Recommender.open(tiny_bundle).state.generation == 8
