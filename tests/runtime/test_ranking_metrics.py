"""Ranking metrics against trec_eval, RecTools, and loops that follow the definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import pytrec_eval
from _rankings import ITEMS, USERS, Rankings, by_user, measured, rankings

from lerg_runtime.serving._metrics import Metrics
from lerg_runtime.serving._per_user import FIGURES
from lerg_runtime.serving._ranking_sums import RankingSums, group_edges

KS = (1, 5, 10, 20)

# Of RecTools 0.19.0, for the rankings of `_rankings.rankings()`; its releases pin numpy below 2, so it is
# not installed beside the tests. MeanInvUserFreq, AvgRecPopularity and CatalogCoverage(normalize=True).
RECTOOLS = {
    1: {"novelty": 2.153038109652876, "popularity": 17.04, "coverage": 0.325, "map": 0.0416904761904762},
    5: {"novelty": 1.9826461727704878, "popularity": 16.844, "coverage": 0.7, "map": 0.0891765151515152},
    10: {"novelty": 1.9653988091034997, "popularity": 16.04, "coverage": 0.925, "map": 0.1249697502233217},
    20: {"novelty": 2.051965863989059, "popularity": 14.432, "coverage": 1.0, "map": 0.1769618626007226},
}
TREC = {"precision": "P", "recall": "recall", "hit_rate": "success", "map": "map_cut", "ndcg": "ndcg_cut"}


def of_trec(given: Rankings, name: str, k: int) -> list[float]:
    """By user, of trec_eval; its reciprocal rank knows no k, so a ranking is cut before it."""
    cut = k if name == "recip_rank" else ITEMS
    measure = name if name == "recip_rank" else f"{name}.{k}"
    wanted = {str(user): {str(i): 1 for i in np.flatnonzero(row)} for user, row in enumerate(given.wanted)}
    scores = {
        str(user): {str(item): float(-rank) for rank, item in enumerate(row[:cut].tolist()) if item >= 0}
        for user, row in enumerate(given.top)
    }
    found = pytrec_eval.RelevanceEvaluator(wanted, {measure}).evaluate(scores)
    return [found[str(user)][measure.replace(".", "_")] for user in range(len(given.top))]


@pytest.mark.parametrize("seed", [17, 18])
def test_hits_are_those_of_trec_eval(seed: int) -> None:
    given = rankings(seed)
    found = measured(given, KS, per_user=True)
    assert found.per_user is not None
    for place, k in enumerate(KS):
        for name, theirs in (*TREC.items(), ("mrr", "recip_rank")):
            expected = of_trec(given, theirs, k)
            assert getattr(found.at(k), name) == pytest.approx(np.mean(expected), abs=1e-12), (name, k)
            ours = found.per_user.figures[:, place, FIGURES.index(name)]
            assert ours == pytest.approx(expected, abs=1e-6), (name, k)


@pytest.mark.parametrize("k", KS)
def test_what_is_recommended_is_that_of_rectools(k: int) -> None:
    found = measured(rankings(), KS).at(k)
    assert {name: getattr(found, name) for name in RECTOOLS[k]} == pytest.approx(RECTOOLS[k], abs=1e-12)


def test_several_k_are_each_by_itself() -> None:
    given = rankings()
    together = measured(given, KS)
    assert [measured(given, (k,)).by_k[0] for k in KS] == list(together.by_k)
    assert (together.k, together.ndcg, together.recall) == (20, together.at(20).ndcg, together.at(20).recall)
    assert {f"{name}@{k}" for name in ("recall", "ndcg", "coverage") for k in KS} <= set(together.as_dict())
    with pytest.raises(KeyError):
        together.at(3)


@pytest.mark.parametrize("batch", [1, 50])
def test_no_figure_depends_on_the_batches(batch: int) -> None:
    assert measured(rankings(), KS, batch=batch) == measured(rankings(), KS, batch=7)


def test_popularity_lift_is_over_the_users_own_items() -> None:
    given = rankings()
    given.known[3] = False  # somebody who has touched nothing counts on neither side
    degrees = given.known.sum(axis=0)
    recommended, own = [], []
    for user in range(USERS):
        if given.known[user].any():
            recommended.append(np.mean([degrees[item] for item in given.top[user, :5] if item >= 0]))
            own.append(degrees[given.known[user]].mean())
    expected = np.mean(recommended) / np.mean(own) - 1
    found = measured(given, (5,))
    assert found.at(5).popularity_lift == pytest.approx(expected, rel=1e-12)
    assert expected < -0.05  # without that user it would be another figure
    nobody = measured(replace(given, known=np.zeros_like(given.known)), (5,))
    assert nobody.at(5).popularity_lift is None
    assert "popularity_lift@5" not in nobody.as_dict()
    assert nobody.at(5).novelty == pytest.approx(np.log2(USERS))  # as if one user had touched each


def test_groups_are_the_users_by_quartile() -> None:
    given = rankings()
    found = measured(given, KS)
    lengths = given.known.sum(axis=1)
    assert len(found.groups) == 4
    assert sum(group.users for group in found.groups) == USERS
    for earlier, later in zip(found.groups[:-1], found.groups[1:], strict=True):
        assert earlier.most < later.fewest
    for group in found.groups:
        theirs = (lengths >= group.fewest) & (lengths <= group.most)
        assert (lengths[theirs].min(), lengths[theirs].max()) == (group.fewest, group.most)
        alone = Rankings(*(part[theirs] for part in (given.known, given.wanted, given.top)))
        assert group.users == len(alone.top)
        for k in KS:
            for name, theirs_called in TREC.items():
                expected = np.mean(of_trec(alone, theirs_called, k))
                assert getattr(group.by_k[KS.index(k)], name) == pytest.approx(expected, abs=1e-12)
        assert group.by_k[0].coverage is None


@pytest.mark.parametrize(
    ("lengths", "edges"),
    [([3], []), ([3, 3, 3], []), ([1, 2, 3, 4], [1, 2, 3]), ([1, 1, 1, 9], [1]), ([0, 5, 5, 5, 5, 6], [5])],
)
def test_groups_of_equal_histories_are_one(lengths: list[int], edges: list[int]) -> None:
    assert group_edges(np.array(lengths)).tolist() == edges


def few(wanted: np.ndarray, users: list[int], top: list[list[int]]) -> Metrics:
    items = wanted.shape[1]
    sums = RankingSums(
        by_user(wanted),
        known=by_user(np.zeros_like(wanted)),
        degrees=np.zeros(items, np.int32),
        ks=(len(top[0]),),
        edges=np.array([], int),
        covered=np.empty(items, np.uint8),
    )
    sums.add(np.array(users, np.int32), np.array(top))
    return sums.averages()


def test_a_perfect_ranking_has_one() -> None:
    found = few(np.array([[0, 0, 0, 1, 0, 1, 0, 0, 0]], bool), [0], [[5, 3, 0, 1]])
    assert (found.recall, found.ndcg, found.by_k[0].map, found.by_k[0].mrr) == (1.0, 1.0, 1.0, 1.0)
    assert found.by_k[0].coverage == 4 / 9


def test_an_absent_item_is_no_hit() -> None:
    # -1 added to the next user's first key is this user's last item: it must not count.
    wanted = np.zeros((2, 9), bool)
    wanted[0, 8] = wanted[1, 0] = True
    found = few(wanted, [1], [[-1, -1]])
    assert found.recall == 0.0
    assert found.by_k[0].coverage == 0.0
