"""Splits: nothing lost, nobody emptied, the same every time."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.errors import InputError
from lerg_edge.interactions import IdMap, Interactions
from lerg_edge.splits import split_leave_last_out, split_ratio

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
    of_user: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user, item, time in triples(whole):
        of_user[user].append((time, item))
    expected = {user: max(pairs)[1] for user, pairs in of_user.items() if len(pairs) >= 2}
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
