from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from lerg_edge.propagation.graph import degrees, full_adjacency, normalised_bipartite


def _matrix() -> sparse.csr_matrix:
    """Three users, four items; user 2 and item 3 have no interaction."""
    dense = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.float32)
    return sparse.csr_matrix(dense)


def test_edge_weights_are_inverse_roots_of_both_degrees() -> None:
    half = normalised_bipartite(_matrix())
    root = np.sqrt(0.5)
    expected = np.array([[root, 0.5, 0, 0], [0, 0.5, root, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(half.toarray(), expected, rtol=1e-6)
    assert half.dtype == np.float32


def test_isolated_entities_give_neither_nan_nor_entries() -> None:
    half = normalised_bipartite(_matrix())
    assert np.isfinite(half.data).all()
    assert half.nnz == 4


def test_values_and_order_of_the_input_do_not_matter() -> None:
    shuffled = sparse.csr_matrix(
        (np.array([7.0, 3.0, 9.0, 1.0]), np.array([1, 0, 2, 1]), np.array([0, 2, 4, 4])), shape=(3, 4)
    )
    np.testing.assert_array_equal(
        normalised_bipartite(shuffled).toarray(), normalised_bipartite(_matrix()).toarray()
    )
    assert shuffled.data[0] == 7.0


def test_largest_singular_value_is_one() -> None:
    rng = np.random.default_rng(0)
    matrix = sparse.csr_matrix((rng.random((30, 20)) < 0.3).astype(np.float32))
    values = np.linalg.svd(normalised_bipartite(matrix).toarray().astype(np.float64), compute_uv=False)
    assert values[0] == pytest.approx(1.0, abs=1e-6)


def test_degrees_count_interactions() -> None:
    users, items = degrees(_matrix())
    assert users.tolist() == [2, 2, 0]
    assert items.tolist() == [1, 2, 1, 0]


def test_full_adjacency_is_symmetric_with_users_first() -> None:
    matrix = _matrix()
    adjacency = full_adjacency(matrix)
    assert adjacency.shape == (7, 7)
    np.testing.assert_array_equal(adjacency.toarray(), adjacency.toarray().T)
    np.testing.assert_array_equal(adjacency[:3, 3:].toarray(), matrix.toarray())
    assert adjacency[:3, :3].nnz == 0
