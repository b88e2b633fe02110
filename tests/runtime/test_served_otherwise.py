"""`Recommender.serve_users`: an open bundle serves users as one that was exported so."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _person import write_person
from _tiny import TinyModel, raw_ids, write_tiny

from lerg_runtime import BudgetError, InputError, LergRuntimeError, Recommender

USERS = raw_ids("text", 30, prefix="user")
RULE = {"known": {"ridge": 3.0, "half_life": None}, "unknown": {"ridge": None, "half_life": None}}
WAYS = [("placeholder", "table"), ("history", "table"), ("placeholder", "history"), ("history", "history")]


@pytest.fixture
def bundles(tmp_path: Path, lonely: TinyModel, fake_native: None) -> dict[tuple[str, str], Path]:
    """One model, once for each way of serving its users."""
    return {
        ways: write_tiny(
            tmp_path / "-".join(ways),
            lonely,
            serving={"pruned_users": ways[0], "retained_users": ways[1], **RULE},
        )
        for ways in WAYS
    }


def answers(rec: Recommender) -> list[Any]:
    """What depends on how users are served."""
    items, scores = rec.recommend(USERS, k=7, include_seen=True)
    explained = [rec.explain(user, items[row][0]) for row, user in enumerate(USERS)]
    similar, cosines = rec.similar_users(USERS[:5], k=4)
    parts = [
        items.tolist(),
        scores.tolist(),
        similar.tolist(),
        cosines.tolist(),
        rec.user_embeddings().tolist(),
    ]
    return [*parts, [one.served_by for one in explained], rec.plan()]


@pytest.mark.parametrize("exported", WAYS)
def test_answers_and_plan_are_those_of_a_bundle_exported_so(
    bundles: dict[tuple[str, str], Path], exported: tuple[str, str]
) -> None:
    expected = {}
    for ways, folder in bundles.items():
        with Recommender.open(folder) as rec:
            expected[ways] = answers(rec)
    assert len({repr(found) for found in expected.values()}) == len(WAYS)
    with Recommender.open(bundles[exported]) as rec:
        assert answers(rec) == expected[exported]
        for pruned, retained in [*WAYS, exported]:
            rec.serve_users(pruned=pruned, retained=retained)
            assert answers(rec) == expected[pruned, retained]
        assert (rec.manifest.ways.pruned_users, rec.manifest.ways.retained_users) == exported
        rec.save()
    with Recommender.open(bundles[exported]) as rec:
        assert answers(rec)[:-1] == expected[exported][:-1]


def test_a_way_that_is_not_given_stays(bundles: dict[tuple[str, str], Path]) -> None:
    with Recommender.open(bundles["history", "history"]) as rec:
        rec.serve_users(pruned="placeholder")
        found = answers(rec)
        rec.serve_users()
        assert answers(rec) == found
    with Recommender.open(bundles["placeholder", "history"]) as rec:
        assert answers(rec) == found


def test_what_fine_tuning_has_learned_stays(bundles: dict[tuple[str, str], Path]) -> None:
    learned = []
    for ways in WAYS[:2]:
        with Recommender.open(bundles[ways]) as rec:
            rec.finetune([(USERS[0], rec.item_ids.take(np.arange(1))[0])], epochs=1, force=True)
            rec.serve_users(pruned="history")
            learned.append(answers(rec)[:-1])
    assert learned[0] == learned[1]


def test_what_does_not_fit_is_refused_and_all_stays(bundles: dict[tuple[str, str], Path]) -> None:
    folder = bundles["placeholder", "table"]
    with Recommender.open(folder) as rec:
        needed = max(rec.plan().phase(name).total_bytes for name in ("open", "encode", "recommend"))
    least, enough = needed // 2, 2 * needed
    while enough - least > 1:  # the least budget that the bundle opens with
        budget = (least + enough) // 2
        try:
            Recommender.open(folder, memory_budget=budget).close()
            enough = budget
        except BudgetError:
            least = budget
    with Recommender.open(folder, memory_budget=enough) as rec:
        before = rec.recommend(USERS[:1], k=3)[0].tolist()
        with pytest.raises(BudgetError, match="serving users so"):
            rec.serve_users(pruned="history")
        assert rec.recommend(USERS[:1], k=3)[0].tolist() == before


def test_wrong_ways_and_moments(bundles: dict[tuple[str, str], Path]) -> None:
    with Recommender.open(bundles["placeholder", "table"]) as rec:
        with pytest.raises(InputError, match="pruned is 'table'; choose placeholder or history"):
            rec.serve_users(pruned="table")
        with pytest.raises(InputError, match="retained is 'placeholder'; choose table or history"):
            rec.serve_users(retained="placeholder")

        def asked(*_: object) -> None:
            with pytest.raises(LergRuntimeError, match="cannot be changed from a callback"):
                rec.serve_users(pruned="history")

        rec.evaluate([(USERS[0], rec.recommend(USERS[0], k=1)[0][0])], k=3, on_progress=asked)


@pytest.mark.native
def test_personal_bundles_have_no_users(tmp_path: Path) -> None:
    with (
        Recommender.open(write_person(tmp_path / "bundle").folder) as rec,
        pytest.raises(InputError, match="holds items and no users"),
    ):
        rec.serve_users(pruned="history")


def test_calls_under_way_end_before_users_are_served_otherwise(
    bundles: dict[tuple[str, str], Path],
) -> None:
    with Recommender.open(bundles["placeholder", "table"]) as rec:
        desk, changed = rec._any.desk, []

        def change() -> None:
            rec.serve_users(pruned="history", retained="history")
            changed.append(rec.recommend(USERS[:1], k=3, include_seen=True))

        thread = threading.Thread(target=change)
        with desk.serving():
            thread.start()
            while not desk._draining:
                time.sleep(0.001)
            assert not changed
        thread.join()
        assert len(changed) == 1
    with Recommender.open(bundles["history", "history"]) as rec:
        expected = rec.recommend(USERS[:1], k=3, include_seen=True)
    np.testing.assert_array_equal(changed[0][0], expected[0])
    np.testing.assert_array_equal(changed[0][1], expected[1])
