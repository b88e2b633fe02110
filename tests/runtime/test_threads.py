"""Many threads on one open Recommender: each gets its own answers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _real import RealBundle, write_real
from _tiny import raw_ids, tiny_model, write_tiny
from _together import TIMEOUT, everyone, everything, same, together, unseen

from lerg_runtime import LergRuntimeError, Recommender, _native

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


def hammer(folder: Path, *, threads: int, rounds: int) -> None:
    """Every kind of call from many threads, each answer compared with that of a quiet object."""
    quiet, rec = Recommender.open(folder, threads=threads), Recommender.open(folder, threads=threads)
    users, items = everyone(quiet), everything(quiet)
    k = min(12, len(items))
    alone = {user: quiet.recommend(user, k=k) for user in users}
    batch = quiet.recommend(users, k=len(items))
    histories = [items[at : at + 3] for at in range(0, len(items) - 3, 7)]
    by_history = [quiet.recommend_from_history(history, k=k) for history in histories]
    like = {item: quiet.similar_items(item, k=5) for item in items[::9]}
    shop, rented = items[1::3], {user: items[at::5] for at, user in enumerate(users[:5])}
    filtered = quiet.recommend(users, k=k, items=shop, exclude=rented)
    scores, near = quiet.score(users[::3], items[::4]), quiet.similar_users(users[::7], k=3)
    why = [quiet.explain(user, items[2]) for user in users[:6]]
    test = unseen(folder, len(users))
    quality = quiet.evaluate(test, k=k)
    wrong: list[Any] = []

    def ask(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(rounds):
            user = users[random.integers(len(users))]
            if not same(rec.recommend(user, k=k), alone[user]):
                wrong.append(user)
            at = int(random.integers(len(histories)))
            if not same(rec.recommend_from_history(histories[at], k=k), by_history[at]):
                wrong.append(histories[at])

    def ask_for_all() -> None:
        for _ in range(3):
            if not same(rec.recommend(users, k=len(items)), batch) or rec.evaluate(test, k=k) != quality:
                wrong.append("all")
            for item, expected in like.items():
                if not same(rec.similar_items(item, k=5), expected):
                    wrong.append(item)

    def ask_the_rest() -> None:
        for _ in range(3):
            if not same(rec.recommend(users, k=k, items=shop, exclude=rented), filtered):
                wrong.append("filtered")
            if not np.array_equal(rec.score(users[::3], items[::4]), scores):
                wrong.append("scores")
            if not same(rec.similar_users(users[::7], k=3), near):
                wrong.append("near")
            for user, expected in zip(users[:6], why, strict=True):
                found = rec.explain(user, items[2])
                if found.score != expected.score or not np.array_equal(found.shares, expected.shares):
                    wrong.append(("why", user))

    together(
        *(lambda seed=seed: ask(seed) for seed in range(threads)), ask_for_all, ask_for_all, ask_the_rest
    )
    assert wrong == []


@pytest.mark.parametrize("threads", [1, 4, 8])
def test_answers_are_those_of_one_thread(bundle: Path, threads: int) -> None:
    hammer(bundle, threads=threads, rounds=60)


def test_answers_from_an_int8_table(int8: RealBundle) -> None:
    hammer(int8.folder, threads=4, rounds=60)


def test_pruned_users_from_their_history(tmp_path: Path, fake_native: None) -> None:
    hammer(write_tiny(tmp_path / "b", tiny_model(), pruned_users="history"), threads=4, rounds=60)


@pytest.mark.parametrize("spare_lanes", [0, 1])
def test_a_budget_bounds_the_lanes(bundle: Path, spare_lanes: int) -> None:
    plan = Recommender.open(bundle).plan
    inner = Recommender.open(bundle)._open
    workload = inner.workload(users_at_once=1)
    least = max(inner.plan(workload).phase(name).total_bytes for name in ("open", "encode", "recommend"))
    budget = least + spare_lanes * inner.plan(workload).lane_bytes
    rec = Recommender.open(bundle, memory_budget=budget, threads=4)
    users = everyone(rec)
    alone = {user: rec.recommend(user, k=9) for user in users}

    def ask() -> None:
        for user in users:
            assert same(rec.recommend(user, k=9), alone[user])

    together(*[ask] * 6)
    assert 1 <= rec.threads <= 4
    assert rec.memory[1] <= budget
    assert plan(threads=3).phase("recommend").total_bytes == (
        plan().phase("recommend").total_bytes + 2 * plan().lane_bytes
    )


def until_it_is_closed(rec: Recommender, answers: list[Any]) -> None:
    try:
        while True:
            answers.append(rec.recommend(USERS, k=20))
    except LergRuntimeError as error:
        answers.append(str(error))


def test_closing_lets_calls_end(tiny_bundle: Path) -> None:
    for _ in range(10):
        rec = Recommender.open(tiny_bundle, threads=2)
        expected, found = rec.recommend(USERS, k=20), [[], [], []]  # type: ignore[var-annotated]
        together(rec.close, *(partial(until_it_is_closed, rec, answers) for answers in found))
        for *answers, last in found:
            assert last == "this Recommender is closed; open the bundle again"
            assert all(same(answer, expected) for answer in answers)


def test_closing_ends_fine_tuning_without_a_change(tiny_bundle: Path) -> None:
    stored = (tiny_bundle / "state.bin").read_bytes()
    rec = Recommender.open(tiny_bundle, threads=2)
    with pytest.raises(LergRuntimeError, match="is closed"):
        rec.finetune(unseen(tiny_bundle, 5), epochs=50, on_progress=lambda _: rec.close())
    assert (tiny_bundle / "state.bin").read_bytes() == stored


def _in_a_child(rec: Recommender, folder: Path, queue: Any) -> None:
    try:
        rec.recommend(rec.user_ids.take(np.arange(1))[0])
        queue.put("answered")
    except LergRuntimeError as error:
        queue.put(str(error))
    own = Recommender.open(folder)
    queue.put(own.recommend(everyone(own), k=5)[1].tolist())
    own.finetune(unseen(folder, 3), epochs=1)
    queue.put(_native.build_info()["threads"])


def test_a_forked_process_opens_the_bundle_itself(real: RealBundle) -> None:
    rec = Recommender.open(real.folder, threads=2)
    expected = rec.recommend(everyone(rec), k=5)[1].tolist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(rec, real.folder, queue), daemon=True)
    child.start()
    told = [queue.get(timeout=TIMEOUT) for _ in range(3)]
    child.join(TIMEOUT)
    assert child.exitcode == 0
    assert told == [
        "this Recommender was opened before the process was forked; open the bundle here",
        expected,
        1,
    ]
    assert rec.recommend(everyone(rec), k=5)[1].tolist() == expected
