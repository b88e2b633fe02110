"""Scores of named items, against dense algebra and against what stands beside recommendations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _oracles import history_scores
from _tiny import TinyModel, raw_ids

from lerg_runtime import InputError, Recommender, UnknownIdError

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture
def rec(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


def test_every_user_with_every_item(rec: Recommender, model: TinyModel) -> None:
    users, items = [8, 3, 3, 29, 14, 0], [39, 2, 17, 2, 2, 0]  # one of them seen, one asked for three times
    found = rec.score([USERS[user] for user in users], [ITEMS[item] for item in items])
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype) == ((6, 6), np.float32)
    assert np.allclose(found, model.scores()[np.ix_(users, items)], rtol=1e-4, atol=1e-6)
    whole = rec.score(USERS, ITEMS)
    assert np.allclose(whole, model.scores(), rtol=1e-4, atol=1e-6)


def test_an_id_alone_takes_a_dimension_away(rec: Recommender) -> None:
    whole = rec.score(USERS[:4], ITEMS[:7])
    assert isinstance(whole, np.ndarray)
    assert np.allclose(rec.score(USERS[2], ITEMS[:7]), whole[2], rtol=1e-6)
    assert np.allclose(rec.score(USERS[:4], ITEMS[5]), whole[:, 5], rtol=1e-6)
    one = rec.score(USERS[2], ITEMS[5])
    assert isinstance(one, float)
    assert one == pytest.approx(float(whole[2, 5]), rel=1e-6)
    assert np.shape(rec.score([], ITEMS[:7])) == (0, 7)
    assert np.shape(rec.score(USERS[:4], [])) == (4, 0)


def test_they_are_the_scores_of_recommendations(rec: Recommender) -> None:
    ids, points = rec.recommend(USERS[5], k=40, include_seen=True)
    assert np.array_equal(rec.score(USERS[5], ids), points)
    ids, points = rec.recommend_from_history(ITEMS[3:6], k=40, include_seen=True)
    assert np.array_equal(rec.score_from_history(ITEMS[3:6], ids), points)


def test_of_a_history(rec: Recommender, model: TinyModel) -> None:
    found = rec.score_from_history([ITEMS[4], ITEMS[9], ITEMS[4]], ITEMS)
    assert np.allclose(found, history_scores(model, [4, 9]), rtol=1e-4, atol=1e-6)
    assert isinstance(rec.score_from_history([ITEMS[4]], ITEMS[0]), float)


def test_unknown_ids(rec: Recommender) -> None:
    with pytest.raises(UnknownIdError, match=r"there is no user 'bob'.*score_from_history"):
        rec.score(["bob"], ITEMS[:2])
    with pytest.raises(UnknownIdError, match="there is no item 'x'"):
        rec.score(USERS[0], [ITEMS[0], "x"])
    found = rec.score(["bob", USERS[1]], ["x", ITEMS[4], ITEMS[2]], on_unknown="skip")
    assert np.isnan(found[0]).all()  # type: ignore[index]
    assert np.isnan(found[1, 0])  # type: ignore[index,call-overload]
    assert np.array_equal(found[1, 1:], rec.score(USERS[1], [ITEMS[4], ITEMS[2]]))  # type: ignore[index,call-overload]
    assert np.isnan(rec.score("bob", "x", on_unknown="skip"))
    for call in (rec.score, rec.score_from_history):
        with pytest.raises(InputError, match="on_unknown is 'popular'"):
            call([USERS[0]], ITEMS[0], on_unknown="popular")  # type: ignore[operator]
    with pytest.raises(InputError, match="the users are None"):
        rec.score(None, ITEMS[0])
