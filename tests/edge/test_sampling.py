from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from lerg_edge.training.sampling import epoch_batches, sample_negatives


def _matrix(dense: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.asarray(dense, np.float32))


@settings(max_examples=50)
@given(st.integers(1, 8), st.integers(1, 8), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_negative_is_never_a_positive(users: int, items: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((users, items)) < density
    asked = np.repeat(np.arange(users), 5)
    drawn = sample_negatives(asked, _matrix(dense), rng=rng)
    full = dense.all(axis=1)[asked]
    assert (drawn[full] == -1).all()
    assert (drawn[~full] >= 0).all()
    assert not dense[asked[~full], drawn[~full]].any()


def test_negatives_are_uniform_even_for_a_user_who_touched_nearly_all() -> None:
    dense = np.ones((2, 200), bool)
    dense[0, [3, 77, 150]] = False
    dense[1, :100] = False
    users = np.repeat([0, 1], 30_000)
    drawn = sample_negatives(users, _matrix(dense), rng=np.random.default_rng(0))
    for user, free in ((0, 3), (1, 100)):
        counts = np.bincount(drawn[users == user], minlength=200)[~dense[user]]
        expected = 30_000 / free
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_no_interactions_means_anything_goes() -> None:
    empty = sparse.csr_matrix((2, 5), dtype=np.float32)
    drawn = sample_negatives(np.zeros(500, np.int32), empty, rng=np.random.default_rng(0))
    assert set(drawn) == set(range(5))


@pytest.mark.parametrize(("batch", "per_positive"), [(1, 1), (7, 1), (7, 3), (10_000, 2)])
def test_an_epoch_visits_every_interaction_once_for_each_negative(batch: int, per_positive: int) -> None:
    dense = np.random.default_rng(0).random((12, 9)) < 0.4
    matrix = _matrix(dense)
    batches = list(
        epoch_batches(matrix, batch=batch, rng=np.random.default_rng(1), per_positive=per_positive)
    )
    visited = np.zeros(dense.shape, int)
    for triples in batches:
        assert len(triples) <= batch * per_positive
        assert (np.diff(triples.users) >= 0).all()
        assert not dense[triples.users, triples.negatives].any()
        np.add.at(visited, (triples.users, triples.positives), 1)
    np.testing.assert_array_equal(visited, dense * per_positive)
    sizes = [len(triples) for triples in batches]
    assert max(sizes) - min(sizes) <= per_positive


def test_users_who_touched_every_item_are_left_out() -> None:
    dense = np.array([[1, 1, 1], [1, 0, 1]], bool)
    (triples,) = epoch_batches(_matrix(dense), batch=10, rng=np.random.default_rng(0))
    assert triples.users.tolist() == [1, 1]
    assert triples.negatives.tolist() == [1, 1]


def test_order_and_negatives_follow_the_generator() -> None:
    matrix = _matrix(np.random.default_rng(0).random((30, 40)) < 0.2)

    def first(seed: int) -> tuple[list[int], list[int]]:
        triples = next(epoch_batches(matrix, batch=16, rng=np.random.default_rng(seed)))
        return triples.positives.tolist(), triples.negatives.tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_where_everybody_has_touched_every_item_there_is_no_batch() -> None:
    full = _matrix(np.ones((3, 2)))
    assert list(epoch_batches(full, batch=4, rng=np.random.default_rng(0), per_positive=3)) == []
