"""What is recommended where nothing is known of somebody: what most users have touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import InputError, Recommender

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


def ranking(model: TinyModel, allowed: set[int] | None = None) -> tuple[list[int], list[int]]:
    """Items and how many have touched them, item by item."""
    counts = [sum(row[item] for row in model.seen().tolist()) for item in range(model.items)]
    open_to = range(model.items) if allowed is None else sorted(allowed)
    order = sorted(open_to, key=lambda item: (-counts[item], item))
    return order, [counts[item] for item in order]


@pytest.fixture
def rec(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


@pytest.mark.parametrize("k", [1, 11, 40])
def test_unknown_users_get_the_most_popular(rec: Recommender, model: TinyModel, k: int) -> None:
    ids, points = rec.recommend(["bob", USERS[3], 7, USERS[8]], k=k, on_unknown="popular")
    items, counts = ranking(model)
    for row in (0, 2):
        assert ids[row].tolist() == [ITEMS[item] for item in items[:k]]
        assert points[row].tolist() == counts[:k]
    known = rec.recommend([USERS[3], USERS[8]], k=k)
    assert ids[[1, 3]].tolist() == known[0].tolist()
    assert np.array_equal(points[[1, 3]], known[1])
    alone = rec.recommend("bob", k=k, on_unknown="popular")
    assert alone[0].tolist() == ids[0].tolist()


def test_filters_hold_for_them_too(rec: Recommender, model: TinyModel) -> None:
    only, never = {"bob": ITEMS[10:30], "eve": []}, [ITEMS[11], ITEMS[12]]
    ids, points = rec.recommend(["bob", "eve", "sue"], k=40, items=only, exclude=never, on_unknown="popular")
    of_bob, _ = ranking(model, set(range(10, 30)) - {11, 12})
    of_sue, _ = ranking(model, set(range(40)) - {11, 12})
    assert [item for item in ids[0] if item is not None] == [ITEMS[item] for item in of_bob]
    assert np.all(points[1] == -np.inf)
    assert [item for item in ids[2] if item is not None] == [ITEMS[item] for item in of_sue]


def test_a_history_of_which_nothing_is_known(rec: Recommender, model: TinyModel) -> None:
    items, counts = ranking(model)
    for history in ([], ["x", "y"]):
        found = rec.recommend_from_history(history, k=6, on_unknown="popular")
        assert found[0].tolist() == [ITEMS[item] for item in items[:6]]
        assert found[1].tolist() == counts[:6]
    some = rec.recommend_from_history(["x", ITEMS[4]], k=6, on_unknown="popular")
    assert some[0].tolist() == rec.recommend_from_history([ITEMS[4]], k=6)[0].tolist()
    with pytest.raises(InputError, match="the history is empty"):
        rec.recommend_from_history([], on_unknown="skip")


def test_what_happened_here_counts(rec: Recommender, model: TinyModel) -> None:
    items, _ = ranking(model)
    last = items[-1]
    new = [(USERS[user], ITEMS[last]) for user in range(30) if not model.seen()[user, last]]
    rec.finetune(new, epochs=1, force=True)
    ids, points = rec.recommend("bob", k=1, on_unknown="popular")
    assert (ids.tolist(), points.tolist()) == ([ITEMS[last]], [30])


def test_of_many_items_some_at_a_time(tmp_path: Path, fake_native: None) -> None:
    model = tiny_model(users=40, items=9000)
    rec = Recommender.open(write_tiny(tmp_path / "b", model, ids="integer"))
    names = np.array(raw_ids("integer", 9000, prefix=""))
    counts = model.seen().sum(0)
    order = np.argsort(-counts, kind="stable")
    ids, points = rec.recommend("nobody", k=500, on_unknown="popular")
    assert ids.tolist() == names[order[:500]].tolist()
    assert points.tolist() == counts[order[:500]].tolist()
    late = names[8100:8500]
    ids, _ = rec.recommend("nobody", k=500, items=late, exclude=late[::3], on_unknown="popular")
    assert set(ids.tolist()) == set(late) - set(late[::3])


def test_only_questions_for_recommendations_take_it(rec: Recommender) -> None:
    with pytest.raises(InputError, match="on_unknown is 'popular'; it must be 'raise' or 'skip'"):
        rec.evaluate([(USERS[0], ITEMS[0])], on_unknown="popular")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must be 'raise', 'skip' or 'popular'"):
        rec.recommend("bob", on_unknown="most")  # type: ignore[arg-type]
