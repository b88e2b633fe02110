from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.metrics import evaluate_embeddings, ranking_metrics, top_items


def _brute_force(scores: np.ndarray, train: np.ndarray, test: np.ndarray, k: int) -> tuple[float, float, int]:
    """Recall, NDCG and users by loops over sorted lists."""
    recalls, ndcgs = [], []
    for user in range(len(scores)):
        relevant = set(np.flatnonzero(test[user]).tolist())
        if not relevant:
            continue
        allowed = [item for item in range(scores.shape[1]) if not train[user, item]]
        ranked = sorted(allowed, key=lambda item: (-scores[user, item], item))[:k]
        gain = sum(1 / math.log2(rank + 2) for rank, item in enumerate(ranked) if item in relevant)
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(relevant))))
        recalls.append(len(relevant.intersection(ranked)) / len(relevant))
        ndcgs.append(gain / ideal)
    count = max(1, len(recalls))
    return sum(recalls) / count, sum(ndcgs) / count, len(recalls)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([1, 3, 50]))
def test_agrees_with_loops_ties_included(seed: int, k: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(1, 8), rng.integers(1, 10)
    # Small integers: dot products are exact and many are equal.
    user_rows = rng.integers(-1, 2, (users, 2)).astype(np.float32)
    item_rows = rng.integers(-1, 2, (items, 2)).astype(np.float32)
    train = rng.random((users, items)) < 0.3
    test = (rng.random((users, items)) < 0.3) & ~train
    found = evaluate_embeddings(
        user_rows, item_rows, sparse.csr_matrix(train), sparse.csr_matrix(test), k=k, batch=batch
    )
    recall, ndcg, counted = _brute_force(user_rows @ item_rows.T, train, test, k)
    assert (found.users, found.k) == (counted, k)
    assert found.recall == pytest.approx(recall, abs=1e-12)
    assert found.ndcg == pytest.approx(ndcg, abs=1e-12)


def test_a_perfect_ranking_scores_one_and_restricting_users_counts_only_them() -> None:
    test = sparse.csr_matrix(np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], np.float32))
    train = sparse.csr_matrix((3, 3), dtype=np.float32)
    items = np.eye(3, dtype=np.float32)
    users = np.array([[2, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    everyone = evaluate_embeddings(users, items, train, test, k=2)
    assert (everyone.recall, everyone.ndcg, everyone.users) == (0.5, 0.5, 2)
    first = evaluate_embeddings(users, items, train, test, k=2, users=np.array([0, 2]))
    assert (first.recall, first.ndcg, first.users) == (1.0, 1.0, 1)


def test_no_test_items_at_all() -> None:
    empty = sparse.csr_matrix((2, 2), dtype=np.float32)
    found = evaluate_embeddings(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32), empty, empty)
    assert (found.recall, found.ndcg, found.users) == (0.0, 0.0, 0)


def test_cutoff_must_be_positive() -> None:
    empty = sparse.csr_matrix((1, 1), dtype=np.float32)
    with pytest.raises(InputError, match="k is 0"):
        evaluate_embeddings(np.ones((1, 1)), np.ones((1, 1)), empty, empty, k=0)


def test_equal_scores_are_ranked_by_index_at_the_border_too() -> None:
    scores = torch.tensor([[1.0] * 9, [0, 5, 1, 1, 7, 1, 1, 1, 0]])
    np.testing.assert_array_equal(top_items(scores, 4), [[0, 1, 2, 3], [4, 1, 2, 3]])


def test_fewer_candidates_than_asked_for() -> None:
    inf = torch.inf
    scores = torch.tensor([[1.0, -inf, 3.0], [-inf, -inf, -inf]])
    np.testing.assert_array_equal(top_items(scores, 5), [[2, 0, -1, -1, -1], [-1] * 5])
    np.testing.assert_array_equal(top_items(scores, 2), [[2, 0], [-1, -1]])


def test_rankings_made_elsewhere() -> None:
    test = sparse.csr_matrix(np.array([[1, 0, 1], [0, 0, 0]], np.float32))
    found = ranking_metrics(np.array([[1, 2, -1], [0, 1, 2]]), test)
    assert found.users == 1
    assert found.recall == 0.5
    assert found.ndcg == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))
