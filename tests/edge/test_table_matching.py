"""Rows and interactions brought together by raw ids, whatever order either is in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lerg_edge.data.interactions import Dataset, IdMap, Interactions, SplitReport
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.tables import GivenTables
from lerg_edge.tables.matching import matched

PAIRS = [("u2", "c"), ("u0", "a"), ("u2", "a"), ("u1", "b")]


def ids(*values: str) -> IdMap:
    return IdMap(np.array(values, dtype=object))


def numbered(count: int, first: float) -> np.ndarray:
    return np.arange(first, first + 2 * count, dtype=np.float32).reshape(count, 2)


def tables(**changes: object) -> GivenTables:
    given = {
        "items": numbered(4, 100),
        "users": numbered(3, 0),
        "item_ids": ids("c", "x", "b", "a"),
        "user_ids": ids("u1", "u2", "u0"),
    }
    return GivenTables(**{**given, **changes})  # type: ignore[arg-type]


def dataset(pairs: list[tuple[str, str]] = PAIRS) -> Dataset:
    users, items = zip(*pairs, strict=True)
    train = Interactions.from_raw(users, items, timestamps=range(len(pairs)))
    return Dataset(train, split=SplitReport(kind="none", reason="of a test"))


def raw(pairs: Interactions) -> set[tuple[str, str]]:
    return {
        (pairs.user_ids.values[user], pairs.item_ids.values[item])
        for user, item in zip(pairs.users, pairs.items, strict=True)
    }


def test_every_pair_keeps_its_ids_and_its_time() -> None:
    found = matched(tables(), dataset())
    train = found.dataset.train
    assert raw(train) == set(PAIRS)
    assert train.timestamps is not None
    assert {
        (train.user_ids.values[user], int(time))
        for user, time in zip(train.users, train.timestamps, strict=True)
    } == {("u2", 0), ("u0", 1), ("u2", 2), ("u1", 3)}
    for table, name in ((found.users, "user"), (found.items, "item")):
        given = tables()
        known = getattr(given, f"{name}_ids")
        for index, each in enumerate(getattr(train, f"{name}_ids")):
            assert np.array_equal(table[index], getattr(given, f"{name}s")[known.index_of(each)])


def test_reordered_rows_follow_their_ids() -> None:
    order = np.array([2, 0, 1]), np.array([3, 1, 0, 2])
    found = matched(tables(), dataset()).reordered(*order)
    assert raw(found.dataset.train) == set(PAIRS)
    assert list(found.dataset.train.item_ids) == ["a", "x", "c", "b"]
    assert np.array_equal(found.items, numbered(4, 100)[order[1]])
    assert np.array_equal(found.users, numbered(3, 0)[order[0]])


def test_numbers_stand_for_ids_that_are_not_given() -> None:
    pairs = Interactions.from_raw([0, 2], ["3", "1"])
    found = matched(tables(user_ids=None, item_ids=None), Dataset(pairs))
    assert raw(found.dataset.train) == {(0, 3), (2, 1)}


def test_without_interactions_nobody_has_touched_anything() -> None:
    found = matched(tables(), None)
    assert found.dataset.train.pair_count == 0
    assert (found.dataset.train.user_count, found.dataset.train.item_count) == (3, 4)


def test_users_of_items_alone_are_one_hop_from_them() -> None:
    found = matched(tables(users=None, user_ids=None), dataset())
    train = found.dataset.train
    assert list(train.user_ids) == ["u0", "u1", "u2"]
    half = normalised_bipartite(train.matrix()).toarray()
    assert np.allclose(found.users, half @ numbered(4, 100))
    with pytest.raises(InputError, match="interactions"):
        matched(tables(users=None, user_ids=None), None)


@pytest.mark.parametrize(("pair", "side"), [(("u9", "a"), "user 'u9'"), (("u1", "q"), "item 'q'")])
def test_pairs_without_a_row(pair: tuple[str, str], side: str) -> None:
    strange = dataset([*PAIRS, pair])
    with pytest.raises(InputError, match=f"{side} .* 1 of 5 pairs"):
        matched(tables(), strange)
    found = matched(tables(), strange, skip_unknown=True)
    assert found.left_out == 1
    assert raw(found.dataset.train) == set(PAIRS)
    assert found.dataset.train.report.bad_rows_skipped == 1


def test_ids_of_another_model_altogether() -> None:
    with pytest.raises(InputError, match="no pair has rows"):
        matched(tables(), dataset([("w", "a"), ("v", "b")]), skip_unknown=True)
    train = dataset()
    test = replace(
        train.train, users=train.train.users[:1], items=train.train.items[:1], timestamps=None, rows=None
    )
    other = replace(train, train=train.train.subset(np.arange(4) > 0), test=test)
    with pytest.raises(InputError, match="no test pair has rows"):
        matched(tables(user_ids=ids("u1", "u2", "w")), other, skip_unknown=True)
