"""Serving from a history, with a fake program: against one hop of the propagation rule in scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import _fake_native
import numpy as np
import pytest
from _oracles import by_definition, history_scores, item_rows, metric_of
from _tiny import LONER, TinyModel, raw_ids, tiny_model, write_tiny
from scipy import sparse

from lerg_runtime import BudgetError, InputError, Recommender, UnknownIdError
from lerg_runtime.bundle import unpack

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


def served_scores(model: TinyModel) -> np.ndarray:
    """float64 [U, I]: retained users as ever, pruned ones with a history from it."""
    seen = sparse.csr_matrix(model.seen(), dtype=float)
    degrees = [np.maximum(seen.sum(axis).A1, 1) for axis in (1, 0)]
    rows = item_rows(model)
    hop = sparse.diags(degrees[0] ** -0.5) @ seen @ sparse.diags(degrees[1] ** -0.5) @ rows
    from_history = ~model.retained_users & (seen.sum(1).A1 > 0)
    return np.where(from_history[:, None], hop @ rows.T, model.scores())


def learnt(model: TinyModel, rec: Recommender) -> TinyModel:
    """The model with the weights and the interactions that a device has now."""
    state = rec.state
    seen = model.seen()
    seen[state.users, state.items] = True
    codebook = unpack(np.array(state.codebook), bits=model.bits)
    return replace(model, codebook=codebook, step=state.step, pairs=np.nonzero(seen))


def check(rec: Recommender, scores: np.ndarray, found: Sequence[Any], seen: np.ndarray) -> None:
    """`found` are all unseen items with their scores, best first."""
    ids, points = found
    items = rec.item_ids.find_many(ids)
    assert sorted(items.tolist()) == np.flatnonzero(~seen).tolist()
    assert np.allclose(points, scores[items], rtol=1e-4, atol=1e-6)
    assert np.all(np.diff(points) <= 0)
    equal = points[1:] == points[:-1]
    assert np.all(items[1:][equal] > items[:-1][equal])


@pytest.fixture
def served(tmp_path: Path, lonely: TinyModel, fake_native: None) -> Path:
    """A bundle of `lonely` whose pruned users are served from their history."""
    return write_tiny(tmp_path / "served", lonely, pruned_users="history")


@pytest.mark.parametrize("history", [[0], [4], [39, 3, 4, 17], list(range(40))])
@pytest.mark.parametrize("k", [3, 40])
def test_a_history_is_ranked_by_one_hop(
    tiny_bundle: Path, model: TinyModel, history: list[int], k: int
) -> None:
    rec = Recommender.open(tiny_bundle)
    expected = history_scores(model, history)
    raw = [ITEMS[item] for item in history]
    everything = rec.recommend_from_history(raw, k=40, include_seen=True)
    check(rec, expected, everything, np.zeros(40, bool))
    ids, points = rec.recommend_from_history(raw, k=k)
    kept = [at for at, item in enumerate(everything[0]) if item not in raw][:k]
    assert ids.tolist() == everything[0][kept].tolist()
    assert np.array_equal(points, everything[1][kept])
    assert (ids.dtype, points.dtype) == (object, np.float32)


def test_items_of_one_placeholder_tie_and_come_in_order(tiny_bundle: Path, model: TinyModel) -> None:
    rec = Recommender.open(tiny_bundle)
    ids, points = rec.recommend_from_history(ITEMS[:5], k=40, include_seen=True)
    pruned = np.flatnonzero(~model.retained_items)
    for place in np.unique(model.item_placeholder):
        alike = [ITEMS[item] for item in pruned[model.item_placeholder == place]]
        at = [ids.tolist().index(item) for item in alike]
        assert len(alike) > 1
        assert at == sorted(at)
        assert len(set(points[at].tolist())) == 1


def test_order_and_repeats_do_not_matter(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle)
    once = rec.recommend_from_history(ITEMS[3:9])
    again = rec.recommend_from_history([*reversed(ITEMS[3:9]), ITEMS[4], ITEMS[4]])
    for one, other in zip(once, again, strict=True):
        assert np.array_equal(one, other)


def test_a_long_history_and_integer_ids(tmp_path: Path, fake_native: None) -> None:
    """More items than are gathered at a time; ids as a command line has them."""
    model = tiny_model(items=600)
    rec = Recommender.open(write_tiny(tmp_path / "b", model, ids="integer"))
    history = np.random.default_rng(0).permutation(600)[:570]
    raw = np.array(raw_ids("integer", 600, prefix=""))[history]
    found = rec.recommend_from_history(raw, k=600)
    check(rec, history_scores(model, history.tolist()), found, np.isin(np.arange(600), history))
    assert rec.recommend_from_history(list(map(str, raw)), k=9)[0].tolist() == found[0][:9].tolist()


def test_an_item_that_nobody_has_touched(tmp_path: Path, model: TinyModel, fake_native: None) -> None:
    keep = model.pairs[1] != 7
    untouched = replace(model, pairs=tuple(part[keep] for part in model.pairs))
    rec = Recommender.open(write_tiny(tmp_path / "b", untouched))
    found = rec.recommend_from_history([ITEMS[7]], k=39)
    check(rec, history_scores(untouched, [7]), found, np.arange(40) == 7)


def test_what_is_no_history(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle)
    with pytest.raises(InputError, match="the history is empty; give at least one item"):
        rec.recommend_from_history([])
    with pytest.raises(UnknownIdError, match="there is no item 'x' in this bundle; it knows 40 items, such"):
        rec.recommend_from_history([ITEMS[0], "x"])
    with pytest.raises(InputError, match="none of the 2 items of the history is in this bundle"):
        rec.recommend_from_history(["x", "y"], on_unknown="skip")
    for found, expected in zip(
        rec.recommend_from_history(["x", ITEMS[0]], on_unknown="skip"),
        rec.recommend_from_history([ITEMS[0]]),
        strict=True,
    ):
        assert np.array_equal(found, expected)
    with pytest.raises(InputError, match="the history is 'x'; give a list of item ids"):
        rec.recommend_from_history("x")
    with pytest.raises(InputError, match="k is 41"):
        rec.recommend_from_history(ITEMS[:2], k=41)
    with pytest.raises(InputError, match="on_unknown"):
        rec.recommend_from_history(ITEMS[:2], on_unknown="ignore")  # type: ignore[arg-type]


def test_pruned_users_are_ranked_by_one_hop(served: Path, lonely: TinyModel) -> None:
    rec = Recommender.open(served)
    scores, seen = served_scores(lonely), lonely.seen()
    assert not np.allclose(scores, lonely.scores())
    assert np.array_equal(scores[LONER], lonely.scores()[LONER])
    ids, points = rec.recommend(USERS, k=40)
    for user in range(30):
        there = points[user] > -np.inf
        check(rec, scores[user], (ids[user][there], points[user][there]), seen[user])
        single = rec.recommend(USERS[user], k=40)
        check(rec, scores[user], single, seen[user])


def rows_of_the_last_call(rec: Recommender) -> np.ndarray:
    with rec._open.serving() as serving, serving.lanes.lane() as lane:
        return lane.rows.copy()


def test_more_than_is_gathered_at_a_time(tmp_path: Path, fake_native: None) -> None:
    """Eleven histories of some 80 items each and one of 590, in one call of the program."""
    model = tiny_model(users=60, items=600)
    seen = model.seen()
    seen[14, :590] = True
    model = replace(model, pairs=np.nonzero(seen))
    rec = Recommender.open(write_tiny(tmp_path / "b", model, pruned_users="history", max_users=64))
    users, scores = raw_ids("text", 60, prefix="user"), served_scores(model)
    pruned = np.flatnonzero(~model.retained_users)
    assert seen[pruned].sum() - 590 > 512
    ids, points = rec.recommend(users, k=600)
    rows = rows_of_the_last_call(rec)
    for user in pruned:
        there = points[user] > -np.inf
        check(rec, scores[user], (ids[user][there], points[user][there]), seen[user])
        rec.recommend(users[user])
        assert np.array_equal(rows_of_the_last_call(rec)[0], rows[user])


def history_row(model: TinyModel, history: Sequence[int], *, half_life: float | None) -> np.ndarray:
    """float64 [d]: a newcomer's, the oldest item first."""
    degrees = model.seen().sum(0)[list(history)] + 1
    ranks = np.arange(len(history))[::-1]
    weights = (1 if half_life is None else 0.5 ** (ranks / half_life)) / np.sqrt(degrees * len(history))
    row: np.ndarray = weights @ item_rows(model)[list(history)]
    return row


@pytest.mark.parametrize("history", [[4], [39, 3, 4, 17], list(range(40))])
@pytest.mark.parametrize("rule", [(3.0, None), (None, 2.0), (1.0, 5.0), (0.01, 1.0)])
def test_a_history_is_ranked_by_its_rule(
    tmp_path: Path,
    model: TinyModel,
    fake_native: None,
    history: list[int],
    rule: tuple[float | None, float | None],
) -> None:
    ridge, half_life = rule
    serving = {"unknown": {"ridge": ridge, "half_life": half_life}}
    rec = Recommender.open(write_tiny(tmp_path / "b", model, serving=serving))
    row = history_row(model, history, half_life=half_life)
    if ridge is not None:
        row = metric_of(model, ridge) @ row
    found = rec.recommend_from_history([ITEMS[item] for item in history], k=40, include_seen=True)
    check(rec, item_rows(model) @ row, found, np.zeros(40, bool))


def test_of_repeats_the_last_counts_where_order_does(
    tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    serving = {"unknown": {"half_life": 1.5}}
    rec = Recommender.open(write_tiny(tmp_path / "b", model, serving=serving))
    once = rec.recommend_from_history([ITEMS[5], ITEMS[1], ITEMS[3]])
    again = rec.recommend_from_history([ITEMS[3], ITEMS[5], ITEMS[1], ITEMS[1], ITEMS[3]])
    for one, other in zip(once, again, strict=True):
        assert np.array_equal(one, other)
    other_way = rec.recommend_from_history([ITEMS[3], ITEMS[1], ITEMS[5]])
    assert not np.array_equal(once[1], other_way[1])
    with pytest.raises(InputError, match="order"):
        rec.recommend_from_history(set(ITEMS[:3]))  # type: ignore[arg-type]


@pytest.mark.parametrize("pruned", ["history", "placeholder"])
def test_retained_users_from_their_history(
    tmp_path: Path, lonely: TinyModel, fake_native: None, pruned: str
) -> None:
    serving = {"pruned_users": pruned, "retained_users": "history", "known": {"ridge": 2.0}}
    rec = Recommender.open(write_tiny(tmp_path / "b", lonely, serving=serving))
    seen = sparse.csr_matrix(lonely.seen(), dtype=float)
    degrees = [np.maximum(seen.sum(axis).A1, 1) for axis in (1, 0)]
    hop = sparse.diags(degrees[0] ** -0.5) @ seen @ sparse.diags(degrees[1] ** -0.5) @ item_rows(lonely)
    by_history = hop @ metric_of(lonely, 2.0) @ item_rows(lonely).T
    ids, points = rec.recommend(USERS, k=40)
    for user in range(30):
        from_history = user != LONER and (lonely.retained_users[user] or pruned == "history")
        scores = by_history[user] if from_history else lonely.scores()[user]
        there = points[user] > -np.inf
        check(rec, scores, (ids[user][there], points[user][there]), lonely.seen()[user])


def test_a_metric_is_planned_for_and_counted(tmp_path: Path, lonely: TinyModel, fake_native: None) -> None:
    serving = {"pruned_users": "history", "known": {"ridge": 10}, "unknown": {"ridge": 3}}
    folder = write_tiny(tmp_path / "b", lonely, serving=serving)
    bundle = Recommender.open(folder)._open
    plan = bundle.plan(bundle.workload(users_at_once=1))
    items = {item.name: item.size_bytes for item in plan.phase("recommend").items}
    assert items["metric of histories"] == 2 * 256  # two of 8 x 8 floats
    least = max(plan.phase(name).total_bytes for name in ("open", "encode", "recommend"))
    rec = Recommender.open(folder, memory_budget=least)
    rec.recommend(USERS, k=40)
    rec.recommend_from_history(ITEMS, k=40, include_seen=True)
    assert rec.memory[1] <= least
    with pytest.raises(BudgetError, match="metric of histories 512"):
        Recommender.open(folder, memory_budget=least - 1)


def test_without_the_key_pruned_users_keep_their_placeholder(
    tmp_path: Path, lonely: TinyModel, fake_native: None
) -> None:
    found = []
    for name in (None, "placeholder"):
        rec = Recommender.open(write_tiny(tmp_path / f"{name}", lonely, pruned_users=name))
        found.append(rec.recommend(USERS, k=40, include_seen=True))
        for user in range(30):
            check(rec, lonely.scores()[user], [part[user] for part in found[-1]], np.zeros(40, bool))
    assert np.array_equal(found[0][1], found[1][1])


def test_evaluation_serves_pruned_users_from_their_history(served: Path, lonely: TinyModel) -> None:
    unseen = ~lonely.seen() & ~lonely.retained_users[:, None]
    wanted = {user: set(np.flatnonzero(unseen[user])[:4].tolist()) for user in np.flatnonzero(unseen.any(1))}
    test = [(USERS[user], ITEMS[item]) for user, those in wanted.items() for item in those]
    found = Recommender.open(served).evaluate(test, k=10)
    figures = []
    for scores in (served_scores(lonely), lonely.scores()):
        masked = np.where(lonely.seen(), -np.inf, scores)
        top = [np.argsort(-masked[user], kind="stable")[:10].tolist() for user in wanted]
        figures.append(by_definition(top, list(wanted.values()), 10))
    assert (found.recall, found.ndcg) == pytest.approx(figures[0], abs=1e-6)
    assert figures[0] != pytest.approx(figures[1], abs=1e-3)


def test_what_happens_here_changes_the_rows_of_pruned_users(
    served: Path, lonely: TinyModel, tmp_path: Path
) -> None:
    """Their own new items, and the new degree of items that others have touched; once saved, still."""
    rec = Recommender.open(served)
    rec.recommend(USERS[4])
    rec.finetune([(USERS[LONER], ITEMS[3]), (USERS[4], ITEMS[6]), (USERS[0], ITEMS[11])], epochs=2)
    rec.save(tmp_path / "copy")
    for open_one in (rec, Recommender.open(tmp_path / "copy")):
        now = learnt(lonely, open_one)
        assert now.seen()[LONER].sum() == 1
        scores = served_scores(now)
        ids, points = open_one.recommend(USERS, k=40)
        for user in range(30):
            there = points[user] > -np.inf
            check(open_one, scores[user], (ids[user][there], points[user][there]), now.seen()[user])
        history = [3, 6, 11]
        found = open_one.recommend_from_history([ITEMS[item] for item in history], k=40)
        check(open_one, history_scores(now, history), found, np.isin(np.arange(40), history))


def test_the_plan_counts_it(served: Path) -> None:
    bundle = Recommender.open(served)._open
    plan = bundle.plan(bundle.workload(users_at_once=1))
    least = max(plan.phase(name).total_bytes for name in ("open", "encode", "recommend"))
    items = {item.name: item.size_bytes for item in plan.phase("recommend").items}
    assert items["rows from histories"] == 192 + 40 * 8 * 4  # degrees in blocks of 64 bytes, and rows
    rec = Recommender.open(served, memory_budget=least)
    rec.recommend(USERS, k=40)
    rec.recommend_from_history(ITEMS, k=40, include_seen=True)
    slack = 64 * 1024 - _fake_native.STRUCTURE_BYTES
    assert least - slack - 512 <= rec.memory[1] <= least - slack
    with pytest.raises(BudgetError, match="rows from histories 1472"):
        Recommender.open(served, memory_budget=least - 1)


def test_profile_runs_on_the_row_that_is_served(
    tmp_path: Path, lonely: TinyModel, fake_native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first user is pruned here."""
    kept = lonely.retained_users.copy()
    kept[[0, LONER]] = False, True
    model = replace(lonely, retained_users=kept)
    rows: list[np.ndarray] = []
    ranked = _fake_native.Method._recommend

    def recorded(self: Any, row: np.ndarray, *rest: np.ndarray) -> list[np.ndarray]:
        rows.append(row.copy())
        return ranked(self, row, *rest)

    monkeypatch.setattr(_fake_native.Method, "_recommend", recorded)
    rec = Recommender.open(write_tiny(tmp_path / "b", model, pruned_users="history"))
    rec.profile(runs=1, seconds=0.01)
    expected = served_scores(model)[0]
    assert np.allclose(rows[0] @ item_rows(model).T, expected, rtol=1e-4, atol=1e-6)
    assert not np.allclose(expected, model.scores()[0], rtol=1e-2)
