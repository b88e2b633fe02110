"""Serving from a history: the rule against dense oracles, and the choice on people held out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from lerg_edge.data.interactions import IdMap, Interactions
from lerg_edge.data.synthetic import generate, generate_over_time
from lerg_edge.errors import InputError
from lerg_edge.histories.choosing import CANDIDATES, better, choose_rule, score_rows
from lerg_edge.histories.newcomers import hold_out_users, ordered_histories
from lerg_edge.histories.rule import Histories, HistoryRule, history_rows, recency_weights, ridge_metric
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.propagation.graph import normalised_bipartite


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_the_plain_rule_is_one_hop(rng: np.random.Generator) -> None:
    made = generate(30, 20, 150, communities=3, seed=0).matrix()
    rows = rng.standard_normal((20, 6)).astype(np.float32)
    histories = Histories(made.indices, made.indptr)
    found = history_rows(histories, rows, np.bincount(made.indices, minlength=20))
    np.testing.assert_allclose(found, normalised_bipartite(made) @ rows, rtol=1e-5, atol=1e-6)


def test_the_metric_is_that_of_ridge_regression(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((50, 7)).astype(np.float32)
    dense = rows.astype(np.float64)
    scale = np.trace(dense.T @ dense) / 7
    for ridge in (0.5, 3.0):
        metric = ridge_metric(rows, ridge)
        closed = np.linalg.inv(dense.T @ dense + ridge * scale * np.eye(7)) * scale
        np.testing.assert_allclose(metric, closed, rtol=1e-8)
        values = np.linalg.eigvalsh(metric)
        assert 1 / (ridge + 7) <= values.min()
        assert values.max() <= 1 / ridge
    np.testing.assert_array_equal(ridge_metric(rows, None), np.eye(7))
    np.testing.assert_allclose(ridge_metric(np.zeros((3, 2), np.float32), 2.0), np.eye(2) / 2)


def test_a_half_life_halves() -> None:
    np.testing.assert_allclose(recency_weights(np.arange(0, 30, 10), 10.0), [1, 0.5, 0.25])
    np.testing.assert_array_equal(recency_weights(np.arange(3), None), np.ones(3))


def test_the_latest_item_counts_most(rng: np.random.Generator) -> None:
    rows = np.eye(4, dtype=np.float32)
    found = history_rows(
        Histories.of([np.array([2, 0, 3])]), rows, np.zeros(4, int), half_life=1.0, newcomers=1
    )
    np.testing.assert_allclose(found, np.array([[0.5, 0, 0.25, 1]]) / np.sqrt(3), rtol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"ridge": 0.0}, {"ridge": -1.0}, {"half_life": float("inf")}, {"half_life": 0.0}]
)
def test_what_is_no_rule(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="it must be above 0, or None"):
        HistoryRule(**wrong)


def test_scores_are_those_of_the_metrics_module(rng: np.random.Generator) -> None:
    made = generate(40, 30, 300, communities=3, seed=0).matrix()
    seen, wanted = made.copy(), made.copy()
    chosen = rng.random(made.nnz) < 0.7
    seen.data, wanted.data = chosen.astype(np.float32), (~chosen).astype(np.float32)
    for matrix in (seen, wanted):
        matrix.eliminate_zeros()
    users, items = (rng.standard_normal((n, 5)).astype(np.float32) for n in (40, 30))
    found = score_rows(users, items, seen, wanted)
    with_wanted = np.diff(wanted.indptr) > 0
    assert found[with_wanted].mean() == pytest.approx(evaluate_embeddings(users, items, seen, wanted).ndcg)


def test_histories_are_in_the_order_of_time() -> None:
    pairs = Interactions.from_pairs(
        np.array([0, 0, 0, 1, 1]),
        np.array([0, 1, 2, 0, 2]),
        user_ids=IdMap(np.arange(2)),
        item_ids=IdMap(np.arange(3)),
        timestamps=np.array([30, 10, 20, 5, 5]),
    )
    found = ordered_histories(pairs, np.array([0, 1]), np.random.default_rng(0))
    assert found.items.tolist() == [1, 2, 0, 0, 2], "equals stay in the order of the file"
    assert found.starts.tolist() == [0, 3, 5]
    assert found.ranks.tolist() == [2, 1, 0, 1, 0]


def test_users_held_out_leave_no_pair_behind() -> None:
    made = generate_over_time(200, 80, 4_000, communities=4, drift=0.1, seed=1)
    held = hold_out_users(made, seed=3)
    assert len(held.users) == 40
    assert not np.isin(held.known.users, held.users).any()
    assert held.known.user_count == made.user_count
    assert held.in_time
    assert held.known.pair_count + len(held.histories.items) + held.wanted.nnz == made.pair_count
    assert np.diff(held.wanted.indptr).min() >= 1
    assert held.histories.lengths.min() >= 4
    times = {(u, i): t for u, i, t in zip(made.users, made.items, made.timestamps, strict=True)}
    for row, user in enumerate(held.users):
        known = held.histories.items[held.histories.starts[row] : held.histories.starts[row + 1]]
        stamps = [times[user, item] for item in known]
        assert stamps == sorted(stamps)
        assert stamps[-1] <= min(times[user, item] for item in held.wanted[row].indices)
    again = hold_out_users(made, seed=3)
    np.testing.assert_array_equal(again.histories.items, held.histories.items)
    assert len(hold_out_users(made, seed=3, count=7).users) == 7
    assert not hold_out_users(generate(50, 40, 400, communities=2, seed=0), seed=0).in_time


def test_draws_hide_everything_once_where_no_time_is_known() -> None:
    made = generate(80, 60, 1_500, communities=2, seed=0)
    held = hold_out_users(made, seed=1, count=20, draws=5)
    once = hold_out_users(made, seed=1, count=20, draws=1)
    assert hold_out_users(made, seed=1, count=20).draws == 5
    assert (held.draws, len(held.histories), held.wanted.shape) == (5, 100, (100, 60))
    assert (once.draws, len(once.histories)) == (1, 20)
    np.testing.assert_array_equal(held.users, once.users)
    np.testing.assert_array_equal(held.wanted[::5].toarray(), once.wanted.toarray())
    rows = made.matrix()[held.users].toarray()
    known, wanted = held.histories.matrix(60).toarray(), held.wanted.toarray()
    np.testing.assert_array_equal(known + wanted, np.repeat(rows, 5, axis=0))
    np.testing.assert_array_equal(wanted.reshape(20, 5, 60).sum(axis=1), rows)
    assert wanted.sum(axis=1).min() >= 1


def test_where_times_are_known_there_is_one_draw() -> None:
    made = generate_over_time(60, 40, 1_000, communities=2, drift=0.1, seed=1)
    assert hold_out_users(made, seed=3, draws=5).draws == 1


def test_noise_is_between_people_and_not_between_their_draws() -> None:
    """The same person asked five times is one person: scores are means over draws."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 4)).astype(np.float32)
    histories = [rng.permutation(50)[:6] for _ in range(120)]
    wanted = [np.setdiff1d(np.arange(50), history)[:3] for history in histories]
    one = choose_rule(
        rows,
        np.ones(50, int),
        Histories.of(histories),
        Histories.of(wanted).matrix(50),
        rules=CANDIDATES,
        newcomers=1,
    )
    five = choose_rule(
        rows,
        np.ones(50, int),
        Histories.of([history for history in histories for _ in range(5)]),
        Histories.of([items for items in wanted for _ in range(5)]).matrix(50),
        rules=CANDIDATES,
        newcomers=1,
        draws=5,
    )
    assert (five.rule, five.people) == (one.rule, one.people) == (one.rule, 120)
    assert five.scores == pytest.approx(one.scores)


def test_a_gain_within_noise_is_none() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(400)
    assert not better(base, base)
    assert not better(base + rng.standard_normal(400) * 0.3 + 0.01, base)
    assert better(base + 0.02, base)
    assert not better(base + 0.001, base), "half a percent is the least"


def _chosen(drift: float) -> HistoryRule:
    """By rows that tell communities apart, as a trained model's do: those of the items' co-occurrence."""
    made = generate_over_time(1_000, 400, 25_000, communities=16, drift=drift, seed=5)
    held = hold_out_users(made, seed=0)
    _left, values, right = sparse_linalg.svds(
        normalised_bipartite(held.known.matrix()), k=16, v0=np.ones(400)
    )
    degrees = np.bincount(held.known.items, minlength=400)
    rows = (right.T * np.sqrt(np.maximum(degrees, 1))[:, None] * values).astype(np.float32)
    choice = choose_rule(rows, degrees, held.histories, held.wanted, rules=CANDIDATES, newcomers=1)
    assert choice.people == len(held.users)
    assert set(choice.scores) == set(CANDIDATES)
    assert choice.scores[choice.rule] >= choice.scores[CANDIDATES[0]]
    return choice.rule


def test_recency_wins_where_interests_drift_and_not_where_they_stay() -> None:
    assert _chosen(drift=0.2).half_life in (5.0, 10.0)
    assert _chosen(drift=0.0).half_life is None


def test_few_people_choose_nothing() -> None:
    histories = Histories.of([np.array([0, 1])] * 20)
    wanted = sparse.csr_matrix((np.ones(20), np.full(20, 2), np.arange(21)), shape=(20, 3))
    rows = np.eye(3, dtype=np.float32)
    choice = choose_rule(rows, np.ones(3, int), histories, wanted, rules=CANDIDATES, newcomers=1)
    assert (choice.rule, choice.scores, choice.people) == (CANDIDATES[0], {}, 20)
