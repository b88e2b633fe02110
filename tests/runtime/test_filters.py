"""Which items may come: lists for everybody and by user, against a ranking by brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _oracles import history_scores
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import InputError, Recommender, UnknownIdError

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")
FEW, MOST = [31, 2, 17, 4, 5, 2], list(range(1, 40, 2))


@pytest.fixture
def rec(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


def named(items: list[int]) -> list[str]:
    return [ITEMS[item] for item in items]


def best(scores: np.ndarray, barred: np.ndarray, k: int) -> list[str]:
    """Item by item, the best of what is not barred."""
    left = sorted((item for item in range(40) if not barred[item]), key=lambda item: (-scores[item], item))
    return named(left[:k])


def check(found: Any, scores: np.ndarray, barred: np.ndarray, k: int) -> None:
    ids, points = (part[found[1] > -np.inf] for part in found)
    assert ids.tolist() == best(scores, barred, k)
    assert points == pytest.approx([scores[ITEMS.index(item)] for item in ids], abs=1e-5)


@pytest.mark.parametrize("k", [3, 12, 40])
@pytest.mark.parametrize("include_seen", [False, True])
@pytest.mark.parametrize("items", [None, FEW, MOST, []], ids=["all", "few", "most", "none"])
@pytest.mark.parametrize(
    "exclude", [None, [5, 5, 4], list(range(30)), []], ids=["none", "two", "many", "empty"]
)
def test_only_what_may_come_does(
    rec: Recommender,
    model: TinyModel,
    k: int,
    include_seen: bool,
    items: list[int] | None,
    exclude: list[int] | None,
) -> None:
    barred = np.zeros((30, 40), bool) if include_seen else model.seen()
    if items is not None:
        barred[:, np.setdiff1d(np.arange(40), items)] = True
    barred[:, exclude or []] = True
    filters = {
        "items": None if items is None else named(items),
        "exclude": None if exclude is None else named(exclude),
    }
    ids, points = rec.recommend(USERS, k=k, include_seen=include_seen, **filters)  # type: ignore[arg-type]
    assert ids.shape == (30, k)
    for user in range(30):
        check((ids[user], points[user]), model.scores()[user], barred[user], k)
        one = rec.recommend(USERS[user], k=k, include_seen=include_seen, **filters)  # type: ignore[arg-type]
        assert one[0].tolist() == ids[user][points[user] > -np.inf].tolist()
    history = [3, 8, 31]
    barred = np.isin(np.arange(40), exclude or []) | (
        False if items is None else ~np.isin(np.arange(40), items)
    )
    if not include_seen:
        barred[history] = True
    found = rec.recommend_from_history(named(history), k=k, include_seen=include_seen, **filters)
    check(found, history_scores(model, history), barred, k)


def test_filters_by_user_and_for_everybody_at_once(rec: Recommender, model: TinyModel) -> None:
    asked = [7, 0, 7, 12, 29]
    only = {USERS[7]: named(FEW), USERS[12]: [], USERS[3]: named([1])}
    ids, points = rec.recommend([USERS[user] for user in asked], k=9, items=only, exclude=named([17]))
    for place, user in enumerate(asked):
        barred = model.seen()[user] | (np.arange(40) == 17)
        if user == 7:
            barred |= ~np.isin(np.arange(40), FEW)
        if user == 12:
            barred[:] = True
        check((ids[place], points[place]), model.scores()[user], barred, 9)
    never = {USERS[user]: named([user, user + 3, 39 - user]) for user in range(0, 12, 2)}
    ids, points = rec.recommend(USERS[:12], k=40, exclude=never)  # several in one call of the program
    for user in range(12):
        barred = model.seen()[user]
        if user % 2 == 0:
            barred[[user, user + 3, 39 - user]] = True
        check((ids[user], points[user]), model.scores()[user], barred, 40)
    never = {USERS[0]: named([int(np.argmax(np.where(model.seen()[0], -np.inf, model.scores()[0])))])}
    assert rec.recommend(USERS[0], exclude=never)[0].tolist() == rec.recommend(USERS[0], k=21)[0][1:].tolist()


def test_a_key_is_an_id_however_it_is_written(tmp_path: Path, fake_native: None) -> None:
    model = tiny_model()
    rec = Recommender.open(write_tiny(tmp_path / "b", model, ids="integer"))
    users, items = raw_ids("integer", 30, prefix=""), raw_ids("integer", 40, prefix="")
    asked = items[10:20]
    plain = rec.recommend(users[4], items={users[4]: asked})[0].tolist()
    for user, listed in (
        (np.int64(users[4]), list(map(str, asked))),
        (str(users[4]), np.array(asked)),
    ):
        assert rec.recommend(str(users[4]), items={user: listed})[0].tolist() == plain
    assert len(plain) > 0
    assert set(plain) <= set(asked)


def test_a_single_id_a_set_and_an_array_are_lists_too(rec: Recommender) -> None:
    first, second, third = rec.recommend(USERS[3], k=3)[0]
    assert rec.recommend(USERS[3], k=1, exclude=first)[0].tolist() == [second]
    assert rec.recommend(USERS[3], k=3, items={first, third})[0].tolist() == [first, third]
    assert rec.recommend(USERS[3], k=3, items=np.array([third, second]))[0].tolist() == [second, third]


def test_unknown_ids_in_filters(rec: Recommender) -> None:
    for name in ("items", "exclude"):
        with pytest.raises(UnknownIdError, match=r"there is no item 'x'.*on_unknown='skip'"):
            rec.recommend(USERS[:2], **{name: [ITEMS[1], "x"]})
        with pytest.raises(UnknownIdError, match="there is no item 'x'"):
            rec.recommend_from_history(ITEMS[:2], **{name: [ITEMS[1], "x"]})
        with pytest.raises(UnknownIdError, match="there is no user 'bob'"):
            rec.recommend(USERS[:2], **{name: {"bob": ITEMS[:2]}})
    whole = rec.recommend(USERS[3])[0].tolist()
    for unknown in ("skip", "popular"):
        found = rec.recommend(USERS[3], items=[*ITEMS, "x"], exclude=["y"], on_unknown=unknown)  # type: ignore[arg-type]
        assert found[0].tolist() == whole
        assert len(rec.recommend(USERS[3], items=["x"], on_unknown=unknown)[0]) == 0  # type: ignore[arg-type]
        by_user = {"bob": ["x"], USERS[3]: [ITEMS[0], "x"]}
        found = rec.recommend(USERS[3], items=by_user, include_seen=True, on_unknown=unknown)  # type: ignore[arg-type]
        assert found[0].tolist() == [ITEMS[0]]


def test_what_is_no_filter(rec: Recommender) -> None:
    with pytest.raises(InputError, match="the items to exclude are a dict, by user; give one list here"):
        rec.recommend_from_history(ITEMS[:2], exclude={USERS[0]: ITEMS[:2]})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the items have 2 dimensions"):
        rec.recommend(USERS[0], items=np.array([ITEMS[:2]]))
    with pytest.raises(InputError, match="the items are a dict"):
        rec.recommend(USERS[0], items={USERS[0]: {"a": 1}})  # type: ignore[dict-item]


def test_filters_take_nothing_from_the_budget(tiny_bundle: Path) -> None:
    inner = Recommender.open(tiny_bundle)._open
    plan = inner.plan(inner.workload(users_at_once=1))
    least = max(plan.phase(name).total_bytes for name in ("open", "encode", "recommend"))
    rec = Recommender.open(tiny_bundle, memory_budget=least)
    rec.recommend(USERS, k=40, items=ITEMS[::2], exclude=dict.fromkeys(USERS, ITEMS[:9]))
    rec.similar_items(ITEMS, k=39)
    rec.similar_users(USERS, k=29)
    rec.score(USERS, ITEMS)
    rec.explain(USERS[4], ITEMS[3])
    rec.recommend(["nobody"], on_unknown="popular")
    assert rec.memory[1] <= least
