"""Ranking metrics against a loop that follows the definition."""

from __future__ import annotations

import numpy as np
import pytest
from _oracles import by_definition
from numpy.typing import ArrayLike

from lerg_runtime.bundle import Interactions
from lerg_runtime.serving._metrics import RankingSums


def wanted_pairs(users: ArrayLike, items: ArrayLike, *, item_count: int) -> Interactions:
    users, items = np.asarray(users, np.int32), np.asarray(items, np.int32)
    indptr = np.empty(int(users.max()) + 2, np.int32)
    return Interactions.of_pairs(users, items, indptr=indptr, item_count=item_count)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_as_defined(k: int) -> None:
    random = np.random.default_rng(k)
    users, item_count = 40, 30
    top = np.argsort(random.random((users, item_count)), axis=1)[:, :k]
    top[random.random(top.shape) < 0.1] = -1
    wanted = random.random((users, item_count)) < 0.2
    wanted[np.arange(users), np.arange(users) % item_count] = True
    pairs = [part.astype(np.int32) for part in np.nonzero(wanted)]
    sums = RankingSums(wanted_pairs(*pairs, item_count=item_count), k=k)
    for start in range(0, users, 7):
        sums.add(np.arange(start, min(start + 7, users), dtype=np.int32), top[start : start + 7])
    found = sums.averages()
    expected = by_definition(top.tolist(), [set(np.flatnonzero(row).tolist()) for row in wanted], k)
    assert (found.recall, found.ndcg) == pytest.approx(expected, abs=1e-12)
    assert found.users == users
    assert found.pairs == len(pairs[0])
    assert {f"recall@{k}", f"ndcg@{k}", "users", "pairs"} <= set(found.as_dict())


def test_a_perfect_ranking_has_one() -> None:
    sums = RankingSums(wanted_pairs([0, 0], [3, 5], item_count=9), k=4)
    sums.add(np.array([0], np.int32), np.array([[5, 3, 0, 1]]))
    assert (sums.averages().recall, sums.averages().ndcg) == (1.0, 1.0)


def test_an_absent_item_is_no_hit() -> None:
    # -1 added to the next user's first key is this user's last item: it must not count.
    sums = RankingSums(wanted_pairs([0, 1], [8, 0], item_count=9), k=2)
    sums.add(np.array([1], np.int32), np.array([[-1, -1]]))
    assert sums.averages().recall == 0.0
