"""Rewiring against a slow reading of its definition, and its guarantee."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.pruning import rewiring
from lerg_edge.pruning.rewiring import induced, rewire


@st.composite
def pruned_graphs(draw: st.DrawFn) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Interactions, who is retained (somebody on each side), and embeddings."""
    users, items = draw(st.integers(1, 14)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = sparse.csr_matrix((rng.random((users, items)) < draw(st.floats(0.02, 0.7))).astype(np.float32))
    retained = rng.random(users + items) < draw(st.floats(0.05, 0.95))
    retained[rng.integers(users)] = retained[users + rng.integers(items)] = True
    return matrix, retained, rng.normal(size=(users + items, 3)).astype(np.float32)


def sparse_graph(seed: int, *, retention: float = 0.5) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_matrix((rng.random((70, 50)) < 0.04).astype(np.float32))
    return matrix, rng.random(120) < retention, rng.normal(size=(120, 5)).astype(np.float32)


@given(pruned_graphs(), st.sampled_from([0, 1, 3]))
def test_nobody_who_was_connected_is_isolated(case, cap: int) -> None:
    matrix, retained, embeddings = case
    users = matrix.shape[0]
    graph = rewire(matrix, retained, embeddings, cap=cap)
    before = np.concatenate([np.diff(matrix.indptr), np.diff(matrix.tocsc().indptr)])[retained]
    after = np.concatenate([np.diff(graph.matrix.indptr), np.diff(graph.matrix.tocsc().indptr)])
    assert (after[before > 0] > 0).all()
    assert graph.matrix.has_sorted_indices
    assert (graph.matrix.data == 1.0).all()
    induced = matrix[retained[:users]][:, retained[users:]]
    assert (graph.matrix - induced).min() >= 0, "an edge between retained entities was lost"
    assert graph.matrix.nnz == induced.nnz + graph.added
    assert graph.removed == matrix.nnz - induced.nnz
    assert graph.added == sum(graph.added_by_hops)


def best_ends_by_hand(
    matrix: np.ndarray, kept_users: np.ndarray, kept_items: np.ndarray, cosines: np.ndarray, cap: int
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """What each retained user proposes over three and over five hops, in float64 loops and dense products."""
    degree_u, degree_i = matrix.sum(axis=1), matrix.sum(axis=0)
    weights = matrix / np.sqrt(np.maximum(np.outer(degree_u, degree_i), 1))
    first, last = weights * ~kept_items, weights * ~kept_users[:, None]
    inner = first * ~kept_users[:, None]
    three = first @ inner.T @ last
    five = first @ inner.T @ inner @ inner.T @ last
    found: tuple[set, set] = (set(), set())
    for user in np.flatnonzero(kept_users):
        lost = int(degree_u[user] - matrix[user, kept_items].sum())
        for paths, ends in zip((three, five), found, strict=True):
            new = [
                item
                for item in np.flatnonzero(kept_items)
                if paths[user, item] > 0 and not matrix[user, item]
            ]
            order = sorted(new, key=lambda item: (-np.float32(paths[user, item]), -cosines[user, item], item))
            ends.update((int(user), int(item)) for item in order[: min(lost, cap)])
            if new:
                break
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("cap", [1, 3])
def test_edges_are_those_of_the_definition(seed: int, cap: int) -> None:
    matrix, retained, embeddings = sparse_graph(seed, retention=0.35)
    kept_users, kept_items = retained[:70], retained[70:]
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = (unit[:70] @ unit[70:].T).astype(np.float64)
    dense = matrix.toarray().astype(np.float64)
    by_users = best_ends_by_hand(dense, kept_users, kept_items, cosines, cap)
    by_items = best_ends_by_hand(dense.T, kept_items, kept_users, cosines.T, cap)
    three = by_users[0] | {(user, item) for item, user in by_items[0]}
    five = (by_users[1] | {(user, item) for item, user in by_items[1]}) - three

    graph = rewire(matrix, retained, embeddings, cap=cap)
    rows, columns = graph.matrix.nonzero()
    edges = set(zip(graph.retained_users[rows].tolist(), graph.retained_items[columns].tolist(), strict=True))
    new = {(user, item) for user, item in edges if not dense[user, item]}
    assert graph.added_by_hops[:2] == (len(three), len(five))
    assert three | five <= new
    for user, item in new - three - five:
        similar = [cosines[user][kept_items].max(), cosines[:, item][kept_users].max()]
        assert min(abs(cosines[user, item] - best) for best in similar) < 1e-6


def test_three_hops_then_five_then_similarity() -> None:
    # User 0 reaches item 4 over item 0 and user 1, and user 2 reaches it over two pruned users more. The item
    # that user 5 has leads nowhere, so its most similar retained item has to do.
    edges = [(0, 0), (1, 0), (1, 4), (2, 1), (3, 1), (3, 0), (5, 5), (4, 4), (4, 6)]
    matrix = sparse.csr_matrix(
        (np.ones(len(edges), np.float32), tuple(zip(*edges, strict=True))), shape=(6, 7)
    )
    retained = np.zeros(13, bool)
    retained[[0, 2, 4, 5, 6 + 4, 6 + 6]] = True
    embeddings = np.zeros((13, 2), np.float32)
    embeddings[[5, 6 + 6]] = [0.0, 1.0]
    embeddings[6 + 4] = [1.0, 0.0]
    graph = rewire(matrix, retained, embeddings, cap=4)
    assert graph.retained_users.tolist() == [0, 2, 4, 5]
    assert graph.retained_items.tolist() == [4, 6]
    assert graph.matrix.toarray().tolist() == [[1, 0], [1, 0], [1, 1], [0, 1]]
    assert graph.added_by_hops == (1, 1, 1)


def test_equal_paths_are_told_apart_by_similarity() -> None:
    # Items 1 and 2 are reached over the same pruned item and user with the same weight; item 2 is more alike.
    matrix = sparse.csr_matrix(np.array([[1, 0, 0], [1, 1, 1]], np.float32))
    retained = np.array([True, False, False, True, True])
    embeddings = np.array([[1, 0], [0, 0], [0, 0], [0, 1], [1, 1]], np.float32)
    parts = rewiring._split(matrix, retained, embeddings)
    three, five = rewiring._proposals(parts, np.array([1]))
    assert three.toarray().tolist() == [[0, 1]]
    assert five.nnz == 0


@pytest.mark.parametrize("entries", [1, 7, 50])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    case = sparse_graph(3)
    whole = rewire(*case, cap=3)
    monkeypatch.setattr(rewiring, "_BLOCK_ENTRIES", entries)
    pieces = rewire(*case, cap=3)
    assert (whole.matrix != pieces.matrix).nnz == 0
    assert whole.added_by_hops == pieces.added_by_hops


def test_a_hub_passes_on_its_strongest_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewiring, "_FAN_OUT", 2)
    hop = sparse.csr_matrix(np.array([[0.1, 0.3, 0.2, 0.3], [0.5, 0.0, 0.0, 0.0], [0.2, 0.2, 0.2, 0.2]]))
    kept = rewiring._strongest(hop).toarray()
    assert kept.tolist() == [[0, 0.3, 0, 0.3], [0.5, 0, 0, 0], [0.2, 0.2, 0, 0]]


def test_nothing_pruned_changes_nothing_and_the_unconnected_stay_so() -> None:
    matrix = sparse.csr_matrix(np.array([[1, 1, 0], [0, 0, 0]], np.float32))
    graph = rewire(matrix, np.ones(5, bool), np.ones((5, 2), np.float32))
    assert (graph.matrix != matrix).nnz == 0
    assert (graph.added, graph.removed) == (0, 0)


def test_bad_arguments_are_named() -> None:
    matrix, retained, embeddings = sparse_graph(0)
    with pytest.raises(InputError, match="119"):
        rewire(matrix, retained[1:], embeddings)
    with pytest.raises(InputError, match="cap is -1"):
        rewire(matrix, retained, embeddings, cap=-1)
    with pytest.raises(InputError, match="no user or no item is retained"):
        rewire(matrix, np.arange(120) < 70, embeddings)


@given(pruned_graphs())
def test_without_rewiring_the_edges_between_the_retained_are_left(case) -> None:
    matrix, retained, embeddings = case
    users = matrix.shape[0]
    graph = induced(matrix, retained)
    expected = matrix.toarray()[retained[:users]][:, retained[users:]]
    np.testing.assert_array_equal(graph.matrix.toarray(), expected)
    assert (graph.added, graph.removed) == (0, matrix.nnz - int(expected.sum()))
    rewired = rewire(matrix, retained, embeddings)
    assert rewired.removed == graph.removed
    assert rewired.matrix.nnz == graph.matrix.nnz + rewired.added


def test_an_induced_graph_of_other_sizes_is_refused() -> None:
    with pytest.raises(InputError, match="retained has 3 rows"):
        induced(sparse.csr_matrix((2, 2), dtype=np.float32), np.ones(3, bool))
