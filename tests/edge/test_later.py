"""Pairs cut by time: known, local, and asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lerg_edge.data.interactions import IdMap, Interactions
from lerg_edge.data.later import Later, split_later
from lerg_edge.data.synthetic import generate, generate_over_time


def _pairs(later: Later, name: str) -> set[tuple[int, int]]:
    part: Interactions = getattr(later, name)
    return set(zip(part.users.tolist(), part.items.tolist(), strict=True))


def _split(train: Interactions, *, least: int = 100) -> Later:
    found = split_later(train, seed=0, least=least)
    assert found is not None
    return found


def test_moments_part_the_pairs_of_everybody() -> None:
    train = generate_over_time(300, 200, 9_000, communities=6, drift=0.0, turnover=0.0, seed=1)
    later = _split(train)
    assert later.by == "one moment"
    known, local, wanted = (part.timestamps for part in (later.known, later.local, later.wanted))
    assert known is not None
    assert local is not None
    assert wanted is not None
    assert known.max() < local.min()
    assert local.max() < wanted.min()
    assert later.known.pair_count == pytest.approx(0.8 * train.pair_count, rel=0.01)
    assert later.local.pair_count == pytest.approx(0.1 * train.pair_count, rel=0.01)
    assert not _pairs(later, "known") & _pairs(later, "wanted")
    assert set(later.wanted.users.tolist()) <= set(later.known.users.tolist()), "nobody unknown is asked for"
    assert later.people == len(set(later.wanted.users.tolist()))


def test_where_people_come_and_go_each_ones_own_time_is_cut() -> None:
    """120 users, one after the other, ten pairs each; the pairs of every tenth have one time."""
    users, items = np.divmod(np.arange(1_200), 10)
    times = np.where(users % 10 == 0, users * 100, users * 100 + items)
    train = Interactions.from_pairs(
        users,
        items,
        user_ids=IdMap(np.arange(120)),
        item_ids=IdMap(np.arange(10)),
        timestamps=times,
    )
    later = _split(train)
    assert later.by == "each user's time"
    whole = [user for user in range(120) if user % 10]
    assert _pairs(later, "wanted") == {(user, 9) for user in whole}
    assert _pairs(later, "local") == {(user, 8) for user in whole}
    assert later.known.pair_count == 1_200 - 2 * len(whole)
    assert split_later(train, seed=0, least=len(whole) + 1) is None


def test_without_times_or_people_there_is_nothing_to_cut() -> None:
    train = generate(150, 60, 2_000, communities=4, seed=0)
    assert split_later(train, seed=0, least=1) is None
    at_once = replace(train, timestamps=np.full(train.pair_count, 7))
    assert split_later(at_once, seed=0, least=1) is None
