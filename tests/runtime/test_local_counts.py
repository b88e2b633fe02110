"""Items raised by how often they were touched here: exactly as by brute force, whoever asks and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _oracles import reseal
from _real import write_real
from _shell import Shell
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import BudgetError, Recommender
from lerg_runtime.bundle import BundleFolder, save_state
from lerg_runtime.planning._sizes import sample_size

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")
TOUCHES = {3: 1, 9: 1, 17: 2, 22: 4, 30: 5, 31: 11, 36: 3}
"""How many users touch which items here."""
WEIGHT = 0.4


def raising(folder: Path, weight: float, **serving: Any) -> Path:
    """The bundle with a manifest that raises items."""
    document = json.loads((folder / "manifest.json").read_bytes())
    document["serving"] = {**document.get("serving", {}), "local_counts": weight, **serving}
    (folder / "manifest.json").write_text(json.dumps(document))
    reseal(folder)
    return folder


def touched(folder: Path, touches: dict[int, int] = TOUCHES) -> np.ndarray:
    """Store so many new pairs of each item, weights as they are; doublings [I] by the definition."""
    with Recommender.open(folder) as rec:
        seen, count = rec._open.interactions, len(rec.user_ids)
        pairs, doublings = [], np.zeros(len(rec.item_ids))
        for item, times in touches.items():
            column = np.full(count, item, np.int32)
            free = np.flatnonzero(~seen.contains(np.arange(count, dtype=np.int32), column))
            pairs += [(user, item) for user in free[:times].tolist()]
            doublings[item] = round(float(np.log2(1 + min(times, len(free)))))
    users, items = np.array(sorted(pairs), np.int32).T
    opened = BundleFolder.open(folder)
    state = replace(opened.read_state(), users=users.copy(), items=items.copy())
    save_state(folder, state, digest=opened.digest)
    return doublings


def raised(plain: np.ndarray, doublings: np.ndarray, weight: float = WEIGHT) -> np.ndarray:
    """Scores of all items [B, I] with what the formula adds to them."""
    items = plain.shape[1]
    sample = np.arange(sample_size(items)) * items // sample_size(items)
    spread = plain[:, sample].astype(np.float64).std(axis=1, keepdims=True)
    return plain + weight * spread * np.log(2) * doublings


def check(
    found: Sequence[np.ndarray], ids: list[Any], scores: np.ndarray, barred: np.ndarray, k: int
) -> None:
    """The k best of what is not barred, but for what rounding may swap."""
    there = found[1] > -np.inf
    items, points = [ids.index(raw) for raw in found[0][there].tolist()], found[1][there]
    wanted = np.sort(scores[~barred])[::-1][:k]
    assert not barred[items].any()
    assert len(set(items)) == len(items)
    assert points == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert points == pytest.approx(scores[items], rel=1e-5, abs=1e-5)
    assert np.all(np.diff(points) <= 0)


@pytest.fixture
def folder(tmp_path: Path, model: TinyModel, fake_native: None) -> Path:
    return write_tiny(tmp_path / "bundle", model, serving={"unknown": {"ridge": 2.0}})


@pytest.fixture
def plain(folder: Path) -> np.ndarray:
    """What every item scores for every user without being raised."""
    with Recommender.open(folder) as rec:
        return np.asarray(rec.score(USERS, ITEMS))


@pytest.mark.parametrize("k", [1, 7, 12, 25, 40])
@pytest.mark.parametrize("include_seen", [False, True])
@pytest.mark.parametrize("items", [None, [31, 2, 17, 4, 36], [1, 2]], ids=["all", "some", "untouched"])
def test_the_best_raised_scores_come_first(
    folder: Path, model: TinyModel, plain: np.ndarray, k: int, include_seen: bool, items: list[int] | None
) -> None:
    doublings = touched(raising(folder, WEIGHT))
    rec = Recommender.open(folder)
    assert rec.manifest.model.max_k < 25, "or one call of the program would do"
    wanted = raised(plain, doublings)
    barred = np.zeros((30, 40), bool) if include_seen else model.seen()
    if not include_seen:
        barred[rec.state.users, rec.state.items] = True
    barred[:, [] if items is None else np.setdiff1d(np.arange(40), items)] = True
    barred[:, [5, 31]] = True
    filters: dict[str, Any] = {"exclude": [ITEMS[5], ITEMS[31]], "include_seen": include_seen}
    if items is not None:
        filters["items"] = [ITEMS[item] for item in items]
    together = rec.recommend(USERS, k=k, **filters)
    for user in range(30):
        alone = rec.recommend(USERS[user], k=k, **filters)
        check(alone, ITEMS, wanted[user], barred[user], k)
        count = len(alone[0])
        assert together[0][user][:count].tolist() == alone[0].tolist()
        assert together[1][user][:count] == pytest.approx(alone[1], rel=1e-5)


def test_scores_are_those_beside_a_recommendation(folder: Path, plain: np.ndarray) -> None:
    doublings = touched(raising(folder, WEIGHT))
    rec = Recommender.open(folder)
    scores = np.asarray(rec.score(USERS, ITEMS))
    assert scores == pytest.approx(raised(plain, doublings), rel=1e-5, abs=1e-5)
    ids, points = rec.recommend(USERS[4], k=40, include_seen=True)
    assert points == pytest.approx(scores[4][[ITEMS.index(raw) for raw in ids]], rel=1e-5)
    history = [ITEMS[item] for item in (8, 31, 5)]
    ids, points = rec.recommend_from_history(history, k=40, include_seen=True)
    assert points == pytest.approx(np.asarray(rec.score_from_history(history, ids.tolist())), rel=1e-5)
    with Recommender.open(raising(folder, 0.0)) as unraised:
        before = np.asarray(unraised.score_from_history(history, ITEMS))
    after = np.asarray(rec.score_from_history(history, ITEMS))
    assert after == pytest.approx(raised(before[None], doublings)[0], rel=1e-5, abs=1e-5)


def test_what_was_rated_low_here_does_not_count(folder: Path, plain: np.ndarray) -> None:
    touched(raising(folder, WEIGHT), {17: 1, 20: 2})
    state = BundleFolder.open(folder).read_state()
    low = state.items == 20
    opened = BundleFolder.open(folder)
    changed = replace(state, disliked_users=state.users[low], disliked_items=state.items[low])
    save_state(folder, changed, digest=opened.digest)
    doublings = np.zeros(40)
    doublings[17] = 1
    scores = np.asarray(Recommender.open(folder).score(USERS, ITEMS))
    assert scores == pytest.approx(raised(plain, doublings), rel=1e-5, abs=1e-5)


def test_nothing_touched_here_raises_nothing(folder: Path, model: TinyModel) -> None:
    before = Recommender.open(folder).recommend(USERS, k=40)
    after = Recommender.open(raising(folder, WEIGHT)).recommend(USERS, k=40)
    assert before[0].tolist() == after[0].tolist()
    assert before[1].tobytes() == after[1].tobytes()


def test_learning_raises_at_once(folder: Path) -> None:
    rec = Recommender.open(raising(folder, 2.0))
    item = rec.recommend(USERS[0], k=40)[0][-1]
    others = [user for user in USERS if item in rec.recommend(user, k=40)[0]][1:9]
    before = rec.recommend(USERS[0], k=40)[0].tolist().index(item)
    rec.finetune([(user, item) for user in others], epochs=1, learning_rate=1e-6)
    assert rec.recommend(USERS[0], k=40)[0].tolist().index(item) < before


@pytest.mark.parametrize("who", ["user", "history"])
def test_an_explanation_tells_what_was_added(folder: Path, plain: np.ndarray, who: str) -> None:
    doublings = touched(raising(folder, WEIGHT))
    rec = Recommender.open(folder)
    asked = USERS[4] if who == "user" else [ITEMS[8], ITEMS[31], ITEMS[5]]
    why = rec.explain(asked, ITEMS[22])
    assert sum(why.shares) + why.local + why.rest == pytest.approx(why.score)
    if who == "user":
        added = raised(plain, doublings)[4, 22] - plain[4, 22]
        assert why.local == pytest.approx(added, rel=1e-5)
    else:
        assert abs(why.rest) < 1e-5
    assert rec.explain(asked, ITEMS[0]).local == 0


def test_the_command_tells_it_too(shell: Shell, folder: Path) -> None:
    touched(raising(folder, WEIGHT))
    asked = ("explain", folder, "--user", USERS[4], "--item")
    assert shell.json(*asked, ITEMS[22])["local"] > 0
    assert "how often it was touched here" in shell(*asked, ITEMS[22])[1]
    assert "local" not in shell.json(*asked, ITEMS[0])


def test_the_budget_counts_it(tmp_path: Path, fake_native: None) -> None:
    folder = write_tiny(tmp_path / "bundle", tiny_model(items=700))
    without = Recommender.open(folder).plan()
    touched(raising(folder, WEIGHT))
    rec = Recommender.open(folder)
    items = {item.name: item.size_bytes for item in rec.plan().phase("recommend").items}
    assert items["local counts"] >= 700 + 4 * 256 * rec.manifest.model.dim
    assert rec.plan().lane_bytes > without.lane_bytes
    plan = rec._open.plan(rec._open.workload(users_at_once=1))
    least = max(plan.phase(name).total_bytes for name in ("open", "encode", "recommend"))
    exact = Recommender.open(folder, memory_budget=least)
    users = exact.user_ids.take(np.arange(5)).tolist()
    assert exact.recommend(users, k=20)[0].tolist() == rec.recommend(users, k=20)[0].tolist()
    with pytest.raises(BudgetError):
        Recommender.open(folder, memory_budget=least - 1)


@pytest.mark.native
def test_traced_programs_rank_by_it(bundle: Path) -> None:
    ranked_exactly(bundle)


@pytest.mark.native
def test_so_do_those_with_an_item_table_of_codes(tmp_path: Path) -> None:
    ranked_exactly(write_real(tmp_path / "bundle", item_table="int8").folder)


def ranked_exactly(folder: Path) -> None:
    """Through the programs, by whichever operators: the plain scores with what the formula adds."""
    doublings = touched(folder)
    with Recommender.open(folder) as rec:
        users, ids = rec.user_ids.take(np.arange(12)).tolist(), rec.item_ids.take(np.arange(90)).tolist()
        plain = np.asarray(rec.score(users, ids))
        k = min(90, rec.manifest.model.max_k + 3)
        seen = [rec._open.interactions.of_user(user) for user in range(12)]
    rec = Recommender.open(raising(folder, WEIGHT))
    wanted = raised(plain, doublings)
    if rec.manifest.model.item_table == "int8":
        # The spread is told by unrounded rows of the person.
        wanted = plain + doublings * (np.asarray(rec.score(users, ids)) - plain)[:, [3]]
    together = rec.recommend(users, k=k)
    for row, user in enumerate(users):
        barred = np.zeros(90, bool)
        barred[seen[row]] = True
        alone = rec.recommend(user, k=k)
        check(alone, ids, wanted[row], barred, k)
        assert together[0][row][: len(alone[0])].tolist() == alone[0].tolist()
        assert together[1][row][: len(alone[1])].tobytes() == alone[1].tobytes()
        assert np.asarray(rec.score(user, alone[0].tolist())).tobytes() == alone[1].tobytes()


def test_added_items_stand_among_raised_ones(tmp_path: Path, model: TinyModel, fake_native: None) -> None:
    folder = raising(write_tiny(tmp_path / "bundle", model), WEIGHT)
    touched(folder)
    with Recommender.open(folder) as rec:
        plain, points = rec.recommend(USERS, k=40, include_seen=True)
        rec.add_item("new", users=[USERS[0]])
        new = rec.score(USERS, "new")
        assert isinstance(new, np.ndarray)
        ids, found = rec.recommend(USERS, k=41, include_seen=True)
        for user in range(len(USERS)):
            together = np.append(points[user], new[user])
            order = np.argsort(-together, kind="stable")
            assert ids[user].tolist() == [[*plain[user], "new"][at] for at in order]
            assert np.allclose(found[user], together[order], rtol=1e-6)
