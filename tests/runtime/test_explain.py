"""Shares of a score: each by its definition, and together the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _oracles import item_rows, metric_of
from _tiny import LONER, TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import InputError, Recommender, UnknownIdError

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")
RULES: list[dict[str, Any]] = [
    {},
    {"half_life": 2.0},
    {"ridge": 3.0},
    {"ridge": 0.5, "half_life": 4.0},
]


def add_up(found: Any) -> None:
    assert found.shares.sum() + found.rest == pytest.approx(found.score, rel=1e-12, abs=1e-12)
    assert np.all(np.diff(found.shares) <= 0)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("item", [0, 3, 34])
def test_shares_of_a_history_are_all_of_the_score(
    tmp_path: Path, model: TinyModel, fake_native: None, rule: dict[str, Any], item: int
) -> None:
    rec = Recommender.open(write_tiny(tmp_path / "b", model, serving={"unknown": rule}))
    history = [17, 4, 39, 3, 8]
    found = rec.explain([ITEMS[at] for at in history], ITEMS[item])
    rows = item_rows(model)
    metric = metric_of(model, rule["ridge"]) if "ridge" in rule else np.eye(model.dim)
    for rank, at in enumerate(reversed(history)):
        weight = 0.5 ** (rank / rule["half_life"]) if "half_life" in rule else 1.0
        degree = model.seen()[:, at].sum() + 1
        share = weight * (rows[item] @ metric @ rows[at]) / np.sqrt(5 * degree)
        place = found.items.tolist().index(ITEMS[at])
        assert found.shares[place] == pytest.approx(share, rel=1e-3, abs=1e-6)
    add_up(found)
    assert (found.item, found.served_by, len(found.items)) == (ITEMS[item], "history", 5)
    assert found.score == rec.score_from_history([ITEMS[at] for at in history], ITEMS[item])
    assert abs(found.rest) < 1e-5 * np.abs(found.shares).sum()


def test_a_longer_history_than_is_gathered_at_a_time(tmp_path: Path, fake_native: None) -> None:
    rec = Recommender.open(
        write_tiny(tmp_path / "b", tiny_model(items=700), serving={"unknown": {"ridge": 2.0}})
    )
    names = raw_ids("text", 700, prefix="item")
    found = rec.explain(names[:650], names[690])
    assert len(found.shares) == 650
    assert abs(found.rest) < 1e-5 * np.abs(found.shares).sum()
    add_up(found)


@pytest.mark.parametrize("ridge", [None, 2.0])
def test_users_who_are_served_from_their_history(
    tmp_path: Path,
    lonely: TinyModel,
    fake_native: None,
    ridge: float | None,
) -> None:
    serving = {"pruned_users": "history", "retained_users": "history", "known": {"ridge": ridge}}
    rec = Recommender.open(write_tiny(tmp_path / "b", lonely, serving=serving))
    rows, seen = item_rows(lonely), lonely.seen()
    metric = np.eye(lonely.dim) if ridge is None else metric_of(lonely, ridge)
    for user in (0, 4, 13):
        found = rec.explain(USERS[user], ITEMS[20])
        assert sorted(found.items) == [ITEMS[item] for item in np.flatnonzero(seen[user])]
        for name, share in zip(found.items, found.shares, strict=True):
            item = ITEMS.index(name)
            exact = rows[20] @ metric @ rows[item] / np.sqrt(seen[user].sum() * seen[:, item].sum())
            assert share == pytest.approx(exact, rel=1e-3, abs=1e-6)
        add_up(found)
        assert found.served_by == "history"
        assert found.score == rec.score(USERS[user], ITEMS[20])
        assert abs(found.rest) < 1e-5 * max(1e-3, np.abs(found.shares).sum())


def test_users_with_a_row_of_their_own_get_one_hop_and_a_rest(tiny_bundle: Path, model: TinyModel) -> None:
    rec = Recommender.open(tiny_bundle)
    rows, seen = item_rows(model), model.seen()
    assert model.retained_users[7]
    found = rec.explain(USERS[7], ITEMS[11])
    hop = 0.0
    for name, share in zip(found.items, found.shares, strict=True):
        item = ITEMS.index(name)
        exact = rows[11] @ rows[item] / np.sqrt(seen[7].sum() * seen[:, item].sum())
        assert share == pytest.approx(exact, rel=1e-3, abs=1e-6)
        hop += exact
    assert len(found.items) == seen[7].sum()
    assert (found.served_by, found.score) == ("table", rec.score(USERS[7], ITEMS[11]))
    assert found.rest == pytest.approx(model.scores()[7, 11] - hop, abs=1e-5)
    add_up(found)


def test_nothing_of_a_placeholder_is_of_the_history(tiny_bundle: Path, model: TinyModel) -> None:
    assert not model.retained_users[4]
    found = Recommender.open(tiny_bundle).explain(USERS[4], ITEMS[11])
    assert found.served_by == "placeholder"
    assert len(found.items) == model.seen()[4].sum()
    assert not found.shares.any()
    assert found.rest == found.score == pytest.approx(model.scores()[4, 11], abs=1e-5)


def test_a_user_without_a_history(tmp_path: Path, lonely: TinyModel, fake_native: None) -> None:
    rec = Recommender.open(write_tiny(tmp_path / "b", lonely, pruned_users="history"))
    found = rec.explain(USERS[LONER], ITEMS[0])
    assert (len(found.items), len(found.shares), found.served_by) == (0, 0, "placeholder")
    assert found.rest == found.score


def test_what_cannot_be_explained(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle)
    with pytest.raises(UnknownIdError, match=r"no user 'bob'.*give a list of items for somebody"):
        rec.explain("bob", ITEMS[0])
    with pytest.raises(UnknownIdError, match="no item 'x'"):
        rec.explain(USERS[0], "x")
    with pytest.raises(UnknownIdError, match=r"no item 'x'.*on_unknown='skip'"):
        rec.explain([ITEMS[0], "x"], ITEMS[1])
    assert rec.explain([ITEMS[0], "x"], ITEMS[1], on_unknown="skip").items.tolist() == [ITEMS[0]]
    with pytest.raises(InputError, match="the history is empty"):
        rec.explain([], ITEMS[1])
    with pytest.raises(InputError, match="the users are None"):
        rec.explain(None, ITEMS[1])
    # Lanes are given back: as many calls as one likes.
    for _ in range(3):
        rec.explain(USERS[0], ITEMS[1])
