"""What is near by cosine, for many at once: against dense algebra, one entry at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _oracles import item_rows
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import InputError, Recommender, UnknownIdError

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


def user_rows(model: TinyModel) -> np.ndarray:
    quantised = model.codebook.astype(np.float64) * model.step.astype(np.float64).reshape(-1, 1)
    return np.concatenate([model.user_rows @ quantised, model.user_places])[model.slots("user")]


def history_rows(model: TinyModel) -> np.ndarray:
    """Those of pruned users from what they have touched, the others as they are."""
    rows, seen = user_rows(model), model.seen()
    for user in np.flatnonzero(~model.retained_users):
        touched = np.flatnonzero(seen[user])
        weights = 1 / np.sqrt(len(touched) * seen[:, touched].sum(0))
        rows[user] = weights @ item_rows(model)[touched]
    return rows


def check(
    found: tuple[np.ndarray, np.ndarray], names: list[str], rows: np.ndarray, asked: list[int], k: int
) -> None:
    """Each row of the answer by itself: the k best cosines, ties by index, the entry itself left out."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ids, cosines = found
    assert ids.shape == cosines.shape == (len(asked), k)
    for row, entry in enumerate(asked):
        exact = unit @ unit[entry]
        others = [names.index(name) for name in ids[row]]
        assert entry not in others
        assert len(set(others)) == k
        assert np.allclose(cosines[row], exact[others], atol=1e-5)
        left = np.delete(exact, entry)
        assert np.allclose(cosines[row], np.sort(left)[::-1][:k], atol=1e-5)
        tied = cosines[row][1:] == cosines[row][:-1]
        assert np.all(np.diff(others)[tied] > 0)


@pytest.mark.parametrize("k", [1, 6, 39])
def test_similar_items_of_many(tiny_bundle: Path, model: TinyModel, k: int) -> None:
    rec = Recommender.open(tiny_bundle)
    asked = [3, 39, 0, 14, 3]
    found = rec.similar_items([ITEMS[item] for item in asked], k=k)
    check(found, ITEMS, item_rows(model), asked, k)
    for row, item in enumerate(asked):
        ids, cosines = rec.similar_items(ITEMS[item], k=k)
        assert ids.tolist() == found[0][row].tolist()
        assert np.array_equal(cosines, found[1][row])


def test_more_items_than_are_gathered_at_a_time(tmp_path: Path, fake_native: None) -> None:
    model = tiny_model(items=1300)
    rec = Recommender.open(write_tiny(tmp_path / "b", model))
    names = raw_ids("text", 1300, prefix="item")
    asked = [0, 511, 512, 1299]
    check(rec.similar_items([names[item] for item in asked], k=700), names, item_rows(model), asked, 700)


@pytest.mark.parametrize("pruned", ["placeholder", "history"])
def test_similar_users(tmp_path: Path, model: TinyModel, fake_native: None, pruned: str) -> None:
    rec = Recommender.open(write_tiny(tmp_path / "b", model, pruned_users=pruned))
    rows = user_rows(model) if pruned == "placeholder" else history_rows(model)
    assert not model.retained_users[4]
    asked = [4, 0, 29, 17]
    found = rec.similar_users([USERS[user] for user in asked], k=11)
    check(found, USERS, rows, asked, 11)
    for row, user in enumerate(asked):
        ids, cosines = rec.similar_users(USERS[user], k=11)
        assert ids.tolist() == found[0][row].tolist()
        assert np.array_equal(cosines, found[1][row])


def test_more_users_than_are_held_at_a_time(tmp_path: Path, fake_native: None) -> None:
    model = tiny_model(users=150)
    rec = Recommender.open(write_tiny(tmp_path / "b", model, pruned_users="history"))
    names = raw_ids("text", 150, prefix="user")
    check(rec.similar_users(names, k=20), names, history_rows(model), list(range(150)), 20)


def test_unknown_ids_and_lengths(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle)
    for ask, names, kind in ((rec.similar_items, ITEMS, "item"), (rec.similar_users, USERS, "user")):
        with pytest.raises(UnknownIdError, match=rf"no {kind} 'x'.*on_unknown='skip' to give it nothing"):
            ask([names[0], "x"])
        ids, cosines = ask([names[0], "x"], k=4, on_unknown="skip")
        assert ids[0].tolist() == ask(names[0], k=4)[0].tolist()
        assert ids[1].tolist() == [None] * 4
        assert np.all(cosines[1] == -np.inf)
        assert len(ask("x", on_unknown="skip")[0]) == 0
        assert ask([], k=4)[0].shape == (0, 4)
        assert len(ask(names[0])[0]) == 10
        with pytest.raises(InputError, match=f"there are {len(names) - 1} other {kind}s"):
            ask(names[0], k=len(names))
        with pytest.raises(InputError, match="on_unknown"):
            ask(names[0], on_unknown="popular")
