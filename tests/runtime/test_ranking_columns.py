"""Rankings as columns: what frames make of them, and that no place is lost or made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lerg_runtime import InputError, Recommender, ranking_columns


@pytest.fixture
def rec(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_frames_take_them(rec: Recommender, library: type) -> None:
    users = rec.user_ids.take([3, 1, 4]).tolist()
    items, scores = rec.recommend(users, k=5)
    frame = library(ranking_columns((items, scores), users))
    assert list(frame.columns) == ["user", "item", "rank", "score"]
    assert frame["user"].to_list() == [user for user in users for _ in range(5)]
    assert frame["item"].to_list() == items.ravel().tolist()
    assert frame["rank"].to_list() == [1, 2, 3, 4, 5] * 3
    assert np.array_equal(frame["score"].to_numpy(), scores.ravel())
    assert frame["score"].to_numpy().dtype == np.float32
    if isinstance(frame, pl.DataFrame):
        assert frame.schema == {"user": pl.String, "item": pl.String, "rank": pl.Int64, "score": pl.Float32}


def test_frames_go_in_again(rec: Recommender) -> None:
    """What comes out as a frame is what fine-tuning and evaluation take."""
    users = rec.user_ids.take([3, 1]).tolist()
    frame = pd.DataFrame(ranking_columns(rec.recommend(users, k=2), users))
    assert rec.evaluate(frame, k=5).users == 2


def test_one_user_and_histories(rec: Recommender) -> None:
    user = rec.user_ids.take([3])[0]
    ranking = rec.recommend(user, k=4)
    assert ranking_columns(ranking, user)["user"].tolist() == [user] * 4
    assert list(ranking_columns(ranking)) == ["item", "rank", "score"]
    assert ranking_columns(ranking, [user][0], of="who")["who"].tolist() == [user] * 4


def test_empty_places_are_left_out() -> None:
    scores = np.array([[3.0, 2.0], [1.0, -np.inf], [-np.inf, -np.inf]], np.float32)
    columns = ranking_columns((np.array([[7, 8], [9, -1], [-1, -1]]), scores), [1, 2, 3])
    assert {name: column.tolist() for name, column in columns.items()} == {
        "user": [1, 1, 2], "item": [7, 8, 9], "rank": [1, 2, 1], "score": [3.0, 2.0, 1.0],
    }  # fmt: skip
    assert columns["user"].dtype == np.int64


def test_what_does_not_go_together_is_refused() -> None:
    ranking = (np.array([[7, 8]]), np.array([[1.0, 0.5]], np.float32))
    for users in (["a", "b"], "a", []):
        with pytest.raises(InputError, match="do not give"):
            ranking_columns(ranking, users)
    with pytest.raises(InputError, match="another column is called"):
        ranking_columns(ranking, ["a"], of="rank")
