"""A personal bundle: what it answers, what it keeps, and what it forgets."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from _person import ITEMS, MAX_HISTORY, MAX_K, PersonBundle, write_person

from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder, History, save_state
from lerg_runtime.errors import BudgetError, BundleError, InputError, UnknownIdError
from lerg_runtime.golden import check_golden

pytestmark = pytest.mark.native

KINDS = {
    "rows": ("rows", {}),
    "rows of 4 bits, portable": ("rows of 4 bits", {"lowering": "portable"}),
    "product, no metric": ("product", {"ridge": None, "half_life": None}),
    "product, portable": ("product", {"lowering": "portable"}),
    "folded": ("folded", {"ridge": 1.0}),
    "folded, portable, no metric": ("folded", {"lowering": "portable", "ridge": None}),
}


@pytest.fixture(scope="module", params=KINDS)
def every(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    """One of each kind, only read."""
    coding, options = KINDS[request.param]
    return write_person(tmp_path_factory.mktemp("person") / "bundle", coding, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    return write_person(tmp_path_factory.mktemp("person") / "bundle")


@pytest.fixture
def person(made: PersonBundle, tmp_path: Path) -> PersonBundle:
    """A bundle that the test may change."""
    shutil.copytree(made.folder, tmp_path / "bundle")
    return replace(made, folder=tmp_path / "bundle")


HISTORY = [3, 70, 12, 41, 66]


def test_an_answer_is_the_one_that_is_defined(every: PersonBundle) -> None:
    wanted, scores = every.wanted(HISTORY, barred=HISTORY, k=20)  # more than the program gives at once
    with Recommender.open(every.folder) as recommender:
        recommender.observe([every.ids[item] for item in HISTORY], when=1_000)
        found, points = recommender.recommend(k=20)
        again, _ = recommender.recommend_from_history([every.ids[item] for item in HISTORY], k=20)
    assert found.tolist() == wanted
    assert again.tolist() == wanted
    np.testing.assert_allclose(points, scores, rtol=1e-4, atol=1e-5)


def test_allowed_and_denied_items_are_held_to(every: PersonBundle) -> None:
    allowed, denied = [1, 3, 20, 21, 22, 23, 75], [22, 75]
    barred = [item for item in range(ITEMS) if item not in allowed] + denied + HISTORY
    wanted, _ = every.wanted(HISTORY, barred=barred, k=10)
    with Recommender.open(every.folder) as recommender:
        recommender.observe([every.ids[item] for item in HISTORY], when=1_000)
        found, _ = recommender.recommend(
            k=10, items=[every.ids[item] for item in allowed], exclude=[every.ids[item] for item in denied]
        )
        seen, _ = recommender.recommend(k=10, items=[every.ids[3]], include_seen=True)
    assert found.tolist() == wanted
    assert sorted(wanted) == [every.ids[item] for item in (1, 20, 21, 23)]
    assert seen.tolist() == [every.ids[3]]


def test_programs_answer_their_examples(every: PersonBundle) -> None:
    assert not any(check_golden(every.folder).values())


def test_a_budget_of_the_plan_is_enough_and_less_is_refused(every: PersonBundle) -> None:
    with Recommender.open(every.folder) as recommender:
        needed = recommender.plan().peak_bytes
    with Recommender.open(every.folder, memory_budget=needed) as recommender:
        recommender.observe([every.ids[item] for item in range(MAX_HISTORY)])
        recommender.recommend(k=MAX_K)
        recommender.similar_items(every.ids[5], k=3)
        assert recommender.memory[1] <= needed
    with pytest.raises(BudgetError, match="opening this bundle needs"):
        Recommender.open(every.folder, memory_budget=needed - 1)


def test_the_history_is_in_the_order_of_time_and_of_bounded_length(person: PersonBundle) -> None:
    ids = person.ids
    with Recommender.open(person.folder) as recommender:
        recommender.observe(ids[4], when=400)
        recommender.observe(ids[2], when=200)
        recommender.observe(ids[3], when=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
        recommender.observe([ids[7], ids[8]], when=200)
        assert recommender.history() == [
            (ids[2], 200),
            (ids[7], 200),
            (ids[8], 200),
            (ids[3], 300),
            (ids[4], 400),
        ]
        recommender.observe(ids[2], when=500)  # touched again: it moves
        recommender.forget(ids[8])
        recommender.forget([ids[8], ids[30]])  # neither is there
        assert [item for item, _ in recommender.history()] == [ids[7], ids[3], ids[4], ids[2]]
        recommender.observe(ids[20 : 20 + MAX_HISTORY], when=600)
        assert [item for item, _ in recommender.history()] == ids[20 : 20 + MAX_HISTORY]
        recommender.observe(ids[1], when=1)  # older than all that there is room for
        assert ids[1] not in [item for item, _ in recommender.history()]


def test_what_is_saved_is_there_at_the_next_start_and_nothing_else_is(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender:
        recommender.observe(person.ids[:3], when=77)
        recommender.save()
        recommender.observe(person.ids[9], when=78)
        before, _ = recommender.recommend(k=5)
        recommender.save(person.folder.parent / "other")
    with Recommender.open(person.folder) as recommender:
        assert recommender.history() == [(item, 77) for item in person.ids[:3]]
        assert recommender.state.generation == 1
    with Recommender.open(person.folder.parent / "other") as recommender:
        assert len(recommender.history()) == 4
        assert recommender.recommend(k=5)[0].tolist() == before.tolist()


def test_erasing_leaves_the_files_of_a_bundle_that_has_seen_nothing(person: PersonBundle) -> None:
    untouched = {path.name: path.read_bytes() for path in person.folder.iterdir()}
    with Recommender.open(person.folder) as recommender:
        recommender.observe(person.ids[:5])
        recommender.save()
        leftover = person.folder / ".state.bin.999999999-0011223344556677.new"
        leftover.write_bytes((person.folder / "state.bin").read_bytes())  # of a save that crashed
        recommender.erase()
        assert recommender.history() == []
    found = {path.name: path.read_bytes() for path in person.folder.iterdir()}
    assert found.keys() == untouched.keys()
    changed = [name for name in found if found[name] != untouched[name]]
    assert changed == ["state.bin"]
    fresh = BundleFolder.open(person.folder)
    state = fresh.read_state()
    # But for the number of saves it is the state that was shipped.
    save_state(person.folder, replace(state, generation=0), digest=fresh.digest)
    assert (person.folder / "state.bin").read_bytes() == untouched["state.bin"]


def test_a_history_that_cannot_be_saved_is_not_erased(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender, Recommender.open(person.folder) as other:
        recommender.observe(person.ids[:2])
        other.observe(person.ids[5])
        other.save()
        with pytest.raises(InputError, match="saved by somebody else"):
            recommender.erase()
        assert len(recommender.history()) == 2


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        (History(np.array([ITEMS], np.int32), np.array([1])), "does not exist"),
        (History(np.array([1, 1], np.int32), np.array([1, 2])), "twice"),
        (History(np.array([1, 2], np.int32), np.array([2, 1])), "order of time"),
        (History(np.arange(MAX_HISTORY + 1, dtype=np.int32), np.arange(MAX_HISTORY + 1)), "keeps 12"),
    ],
    ids=["unknown", "twice", "disorder", "long"],
)
def test_a_history_that_cannot_be_is_refused(person: PersonBundle, history: History, complaint: str) -> None:
    folder = BundleFolder.open(person.folder)
    save_state(person.folder, replace(folder.read_state(), history=history), digest=folder.digest)
    with pytest.raises(BundleError, match=complaint):
        Recommender.open(person.folder)


def test_a_late_observation_counts_where_its_time_is(person: PersonBundle) -> None:
    order = [12, 3, 70]
    wanted, _ = person.wanted(order, barred=order, k=5)
    with Recommender.open(person.folder) as recommender:
        recommender.observe(person.ids[3], when=datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))))
        recommender.observe(person.ids[70], when=datetime(2026, 1, 2))
        recommender.observe(person.ids[12], when=datetime(2026, 1, 1, tzinfo=UTC))
        assert recommender.recommend(k=5)[0].tolist() == wanted


def test_ids_and_times_that_are_none_are_refused(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender:
        with pytest.raises(UnknownIdError):
            recommender.observe("nothing")
        with pytest.raises(UnknownIdError):
            recommender.observe([person.ids[0], "nothing"])
        assert recommender.history() == []  # all or nothing
        assert recommender.observe([person.ids[0], "nothing"], on_unknown="skip") == 1
        for when in ("yesterday", float("nan"), 2.0**70, True):
            with pytest.raises(InputError, match="when is"):
                recommender.observe(person.ids[0], when=when)  # type: ignore[arg-type]
        recommender.forget(person.ids[0])
        with pytest.raises(InputError, match="history is empty"):
            recommender.recommend()


def test_what_needs_users_is_refused_in_one_sentence(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender:
        assert recommender.is_personal
        for call in (
            lambda: recommender.recommend("alice"),
            lambda: recommender.user_ids,
            lambda: recommender.finetune([("alice", person.ids[0])]),
            lambda: recommender.evaluate([("alice", person.ids[0])]),
            recommender.profile,
        ):
            with pytest.raises(InputError, match="is a personal bundle"):
                call()


def test_what_needs_a_person_is_refused_of_a_shared_bundle(tiny_bundle: Path) -> None:
    with Recommender.open(tiny_bundle) as recommender:
        assert not recommender.is_personal
        for call in (
            recommender.history,
            recommender.erase,
            lambda: recommender.observe("item"),
            lambda: recommender.forget("item"),
        ):
            with pytest.raises(InputError, match="exported with --personal"):
                call()
