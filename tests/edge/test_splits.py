"""Splits: nothing lost, nobody emptied, the same every time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.data.interactions import Dataset, IdMap, Interactions
from lerg_edge.data.splits import (
    cut,
    cut_as_suits,
    split_folds,
    split_leave_last_out,
    split_ratio,
    split_time,
)
from lerg_edge.data.synthetic import generate
from lerg_edge.errors import InputError

USERS, ITEMS = 6, 12
ROWS = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(0, 5)),
    min_size=1,
    max_size=50,
)


def built(rows: list[tuple[int, int, int]], *, timed: bool = True) -> Interactions:
    users, items, times = (np.array([row[part] for row in rows], dtype=np.int64) for part in range(3))
    return Interactions.from_pairs(
        users,
        items,
        user_ids=IdMap(np.arange(USERS)),
        item_ids=IdMap(np.arange(ITEMS)),
        timestamps=times if timed else None,
    )


def triples(interactions: Interactions) -> list[tuple[int, int, int]]:
    times = np.zeros(interactions.pair_count) if interactions.timestamps is None else interactions.timestamps
    return list(zip(interactions.users.tolist(), interactions.items.tolist(), times.tolist(), strict=True))


def counts(interactions: Interactions) -> np.ndarray:
    return np.bincount(interactions.users, minlength=interactions.user_count)


@given(ROWS, st.floats(0.01, 0.99), st.integers(0, 5))
def test_ratio_gives_each_user_the_rounded_share(
    rows: list[tuple[int, int, int]], share: float, seed: int
) -> None:
    whole = built(rows)
    expected = np.minimum(np.floor(counts(whole) * share + 0.5), np.maximum(counts(whole) - 1, 0))
    if not expected.any():
        with pytest.raises(InputError, match="test_share"):
            split_ratio(whole, test_share=share, seed=seed)
        return
    train, test = split_ratio(whole, test_share=share, seed=seed)
    assert sorted(triples(train) + triples(test)) == triples(whole)
    assert np.array_equal(counts(test), expected)
    assert np.array_equal(counts(train) > 0, counts(whole) > 0)


def test_ratio_goes_by_its_seed(interactions: Interactions) -> None:
    first, again, other = (split_ratio(interactions, test_share=0.3, seed=seed)[1] for seed in (1, 1, 2))
    assert triples(first) == triples(again)
    assert triples(first) != triples(other)


def test_ratio_draws_every_position_alike() -> None:
    # One user with ten items: over many seeds each item is held out about as often as the others.
    whole = built([(0, item, 0) for item in range(10)])
    held = np.zeros(ITEMS)
    for seed in range(400):
        held[split_ratio(whole, test_share=0.3, seed=seed)[1].items] += 1
    assert held.sum() == 400 * 3
    assert held[:10].min() > 80
    assert held[:10].max() < 160


@given(ROWS)
def test_leave_last_out_takes_the_latest_of_each_user(rows: list[tuple[int, int, int]]) -> None:
    whole = built(rows)
    latest: dict[tuple[int, int], tuple[int, int]] = {}
    for place, (user, item, time) in enumerate(rows):
        latest[user, item] = max(latest.get((user, item), (time, place)), (time, place))
    of_user: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for (user, item), (time, place) in latest.items():
        of_user[user].append((time, place, item))
    expected = {user: max(pairs)[2] for user, pairs in of_user.items() if len(pairs) >= 2}
    if not expected:
        with pytest.raises(InputError, match="two pairs"):
            split_leave_last_out(whole)
        return
    train, test = split_leave_last_out(whole)
    assert dict(zip(test.users.tolist(), test.items.tolist(), strict=True)) == expected
    assert sorted(triples(train) + triples(test)) == triples(whole)


def test_leave_last_out_needs_timestamps() -> None:
    with pytest.raises(InputError, match="timestamps"):
        split_leave_last_out(built([(0, 0, 0), (0, 1, 0)], timed=False))


def test_split_parts_count_their_own_entities() -> None:
    train, test = split_leave_last_out(built([(0, 0, 0), (0, 1, 9), (1, 2, 0)]))
    assert train.report.users_without == USERS - 2
    assert test.report.users_without == USERS - 1
    assert test.report.items_without == ITEMS - 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_shares_out_of_range_are_refused(interactions: Interactions, share: float) -> None:
    with pytest.raises(InputError, match="share"):
        split_ratio(interactions, test_share=share, seed=0)


def test_negative_seed_is_refused(interactions: Interactions) -> None:
    with pytest.raises(InputError, match="seed"):
        split_ratio(interactions, test_share=0.5, seed=-1)


def test_ties_are_broken_by_the_order_of_the_source_whatever_the_ids() -> None:
    for items in ((3, 1, 2), (1, 2, 3), (3, 2, 1)):
        _, test = split_leave_last_out(built([(0, item, 5) for item in items]))
        assert test.items.tolist() == [items[-1]]


def test_of_repeated_rows_the_latest_and_then_the_last_stands_for_the_pair() -> None:
    # Item 1 comes again at the end at the same time, item 2 earlier: 1 is the last.
    _, test = split_leave_last_out(built([(0, 1, 5), (0, 2, 5), (0, 1, 5), (0, 2, 3)]))
    assert test.items.tolist() == [1]


def test_without_an_order_ties_are_drawn_by_the_seed() -> None:
    whole = replace(built([(0, item, 5) for item in range(8)]), rows=None)
    drawn = {int(split_leave_last_out(whole, seed=seed)[1].items[0]) for seed in range(40)}
    assert len(drawn) > 4
    for seed in range(3):
        once, again = (split_leave_last_out(whole, seed=seed)[1].items.tolist() for _ in range(2))
        assert once == again
    told = cut(whole, "last", seed=3).split
    assert told is not None
    assert (told.tied_users, told.ties_by, told.seed) == (1, "seed", 3)


def test_how_many_users_have_ties_is_told() -> None:
    rows = [(0, 0, 1), (0, 1, 2), (1, 0, 2), (1, 1, 2), (2, 0, 1), (2, 1, 3), (2, 2, 3), (3, 0, 7)]
    told = cut(built(rows), "last", seed=0).split
    assert told is not None
    assert (told.kind, told.tied_users, told.ties_by, told.seed) == ("last", 2, "file order", None)


@pytest.mark.parametrize(
    ("rows", "share", "kind", "reason"),
    [
        ([(0, item, item) for item in range(5)], None, "last", "there are timestamps"),
        ([(0, item, item) for item in range(5)], 0.4, "ratio", "a share was asked for"),
        ([(user, item, 9) for user in range(3) for item in range(5)], None, "ratio", "3 of 3 users"),
        ([(user, item, user) for user in range(3) for item in range(5)], None, "ratio", "3 of 3 users"),
        (
            [(user, item, item if user == 0 else 9) for user in range(4) for item in range(5)],
            None,
            "ratio",
            "3 of 4 users",
        ),
        (
            [(user, item, 9 if user == 0 else item) for user in range(4) for item in range(5)],
            None,
            "last",
            "there are timestamps",
        ),
        ([(0, 0, 1), (1, 1, 2)], None, "none", "nobody has enough pairs"),
    ],
)
def test_the_cut_that_suits(
    rows: list[tuple[int, int, int]], share: float | None, kind: str, reason: str
) -> None:
    found = cut_as_suits(built(rows), share=share, seed=0)
    assert found.split is not None
    assert found.split.kind == kind
    assert reason in found.split.reason
    assert (found.test is None) == (kind == "none")


def test_without_timestamps_small_data_is_cut_by_a_ratio_or_not_at_all() -> None:
    few = built([(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 2, 0)], timed=False)
    found = cut_as_suits(few, seed=0)
    assert (found.test, found.train.pair_count) == (None, 4)
    assert cut_as_suits(few, share=0.5, seed=0).train.pair_count == 2
    with pytest.raises(InputError, match=r"test_share=0\.1"):
        cut_as_suits(few, share=0.1, seed=0)


@given(ROWS, st.sampled_from([0.1, 0.3, 0.5, 0.9]))
def test_a_cut_in_time_parts_before_from_after(rows: list[tuple[int, int, int]], share: float) -> None:
    whole = built(rows)
    users, times = ([row[part] for row in triples(whole)] for part in (0, 2))
    if len(set(times)) == 1 or len(set(users)) == len(users):
        with pytest.raises(InputError, match="no moment"):
            split_time(whole, test_share=share)
        return
    try:
        train, test = split_time(whole, test_share=share)
    except InputError:
        # Then whoever has later pairs has nothing before them but the one that they keep.
        late = sorted(times)[-1]
        assert all(users.count(user) == 1 for user, time in zip(users, times, strict=True) if time == late)
        return
    assert sorted(triples(train) + triples(test)) == triples(whole)
    first_tested = min(time for _, _, time in triples(test))
    kept = [(user, time) for user, _, time in triples(train) if time >= first_tested]
    for user, time in kept:
        # Who had nothing before the cut keeps one pair, and it is their earliest.
        assert [mine for mine, _, _ in triples(train)].count(user) == 1
        assert time == min(when for mine, _, when in triples(whole) if mine == user)
    assert counts(train)[counts(whole) > 0].min() >= 1


def test_a_cut_in_time_holds_out_the_latest_share() -> None:
    rows = [(user, item, 10 * item + user) for user in range(2) for item in range(10)]
    _, test = split_time(built(rows), test_share=0.2)
    assert sorted(time for _, _, time in triples(test)) == [80, 81, 90, 91]
    with pytest.raises(InputError, match="no moment"):
        split_time(built([(0, 0, 5), (0, 1, 5)]), test_share=0.5)


@pytest.mark.parametrize("kind", ["last", "none"])
def test_a_share_without_effect_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="test_share has no effect"):
        cut(built([(0, 0, 0), (0, 1, 1)]), kind, share=0.3, seed=0)


def test_what_was_cut_out_is_held_out_and_goes_back() -> None:
    whole = built([(user, item, item) for user in range(4) for item in range(6)])
    for kind in ("ratio", "last", "time"):
        made = cut(whole, kind, seed=1)
        assert made.held_out is made.test
        back = made.whole()
        assert triples(back.train) == triples(whole)
        assert back.test is None
    given_one = Dataset(made.train, made.test)
    assert given_one.held_out is None
    assert triples(given_one.whole().train) == triples(made.train)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_hold_every_pair_out_once(folds: int) -> None:
    pairs = generate(40, 30, 300, communities=3, seed=1)
    lonely = np.flatnonzero(np.bincount(pairs.users, minlength=pairs.user_count) < 2)
    dealt = split_folds(pairs, folds=folds, seed=5)
    assert len(dealt) == folds
    held: list[tuple[int, int]] = []
    for train, test in dealt:
        of_train, of_test = (
            set(zip(part.users.tolist(), part.items.tolist(), strict=True)) for part in (train, test)
        )
        assert not of_train & of_test
        assert len(of_train) + len(of_test) == pairs.pair_count
        assert set(train.users.tolist()) == set(pairs.users.tolist())  # nobody loses all
        held += of_test
    assert len(held) == len(set(held))
    assert len(held) == np.count_nonzero(~np.isin(pairs.users, lonely))
    sizes = np.array([np.bincount(test.users, minlength=pairs.user_count) for _, test in dealt])
    assert (sizes.max(axis=0) - sizes.min(axis=0)).max() <= 1
    assert sizes.sum(axis=1).min() > 0.6 * pairs.pair_count / folds


def test_a_user_with_one_pair_keeps_it_in_every_fold() -> None:
    pairs = Interactions.from_raw(["a", "b", "b", "b"], [1, 1, 2, 3])
    for train, test in split_folds(pairs, folds=3, seed=0):
        assert 0 in train.users.tolist()
        assert test.users.tolist() == [1]


def test_folds_are_dealt_by_the_seed() -> None:
    pairs = generate(40, 30, 300, communities=3, seed=1)
    first, again, other = (split_folds(pairs, folds=3, seed=seed)[0][1] for seed in (1, 1, 2))
    assert first.items.tolist() == again.items.tolist()
    assert first.items.tolist() != other.items.tolist()


@pytest.mark.parametrize(("folds", "seed"), [(1, 0), (0, 0), (2, -1), (9, 0)])
def test_folds_that_cannot_be(folds: int, seed: int) -> None:
    pairs = Interactions.from_raw(["a", "a", "b"], [1, 2, 1])
    with pytest.raises(InputError, match="folds"):
        split_folds(pairs, folds=folds, seed=seed)
