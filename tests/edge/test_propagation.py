from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from lerg_edge.codes.assignment import Assignment, metis_assignment
from lerg_edge.codes.embedding import CompositionalEmbedding, compose_rows
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.propagation.layers import BipartiteGraph, mean_of_layers, propagate
from lerg_edge.training.spectral import singular_rows, spectral_codebook

USERS, ITEMS = 23, 17


def _matrix() -> sparse.csr_matrix:
    dense = np.random.default_rng(0).random((USERS, ITEMS)) < 0.2
    dense[4], dense[:, 6] = False, False
    return sparse.csr_matrix(dense.astype(np.float32))


def _dense(rows: np.ndarray, layers: int) -> np.ndarray:
    """The sum over powers, written out in float64."""
    adjacency = full_adjacency(normalised_bipartite(_matrix())).toarray().astype(np.float64)
    powers = [np.linalg.matrix_power(adjacency, layer) for layer in range(layers + 1)]
    return sum(powers) @ rows / (layers + 1)


@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-7)])
@pytest.mark.parametrize("dim", [1, 7, 64])
def test_matches_dense_powers(layers: int, dtype: torch.dtype, tolerance: float, dim: int) -> None:
    rows = np.random.default_rng(1).normal(size=(USERS + ITEMS, dim))
    graph = BipartiteGraph.from_interactions(_matrix(), dtype=dtype)
    table = torch.from_numpy(rows).to(dtype)
    found = mean_of_layers(graph, table, layers=layers).numpy()
    np.testing.assert_allclose(found, _dense(rows, layers), rtol=tolerance, atol=tolerance)


def test_inputs_stay_untouched() -> None:
    graph = BipartiteGraph.from_interactions(_matrix())
    table = torch.ones(USERS + ITEMS, 4)
    for layers in (0, 3):
        mean_of_layers(graph, table, layers=layers).zero_()
    assert (table == 1).all()


def test_isolated_entities_keep_a_share_of_their_own_row_only() -> None:
    graph = BipartiteGraph.from_interactions(_matrix())
    table = torch.randn(USERS + ITEMS, 4)
    found = mean_of_layers(graph, table, layers=3)
    torch.testing.assert_close(found[4], table[4] / 4)
    torch.testing.assert_close(found[USERS + 6], table[USERS + 6] / 4)


def test_gradient_is_the_adjoint() -> None:
    graph = BipartiteGraph.from_interactions(_matrix(), dtype=torch.float64)
    rows = torch.randn(USERS + ITEMS, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda table: propagate(graph, table, layers=3), (rows,))


def test_halves_are_the_blocks_of_the_whole() -> None:
    graph = BipartiteGraph.from_interactions(_matrix())
    table = torch.randn(USERS + ITEMS, 3)
    whole = graph.adjacency.product(table)
    assert torch.equal(whole[:USERS], graph.by_user.product(table[USERS:]))
    assert torch.equal(whole[USERS:], graph.by_item.product(table[:USERS]))


@pytest.mark.parametrize("codes_per_entity", [1, 2, 3])
def test_composition_and_its_gradient_are_products_with_the_assignment(codes_per_entity: int) -> None:
    assignment = metis_assignment(
        _matrix(), codebook_rows=11, codes_per_entity=codes_per_entity, anchor_weight=0.7, seed=0
    )
    dense = assignment.matrix().toarray().astype(np.float64)
    embedding = CompositionalEmbedding.from_assignment(assignment, dtype=torch.float64)
    codebook = torch.randn(11, 5, dtype=torch.float64, requires_grad=True)
    np.testing.assert_allclose(
        embedding.compose(codebook).detach().numpy(), dense @ codebook.detach().numpy()
    )
    assert torch.autograd.gradcheck(embedding.compose, (codebook,))


def test_codes_that_nobody_has_get_no_gradient() -> None:
    assignment = Assignment(np.array([[0, 2], [2, 0]], np.int32), 4, 0.9)
    codebook = torch.randn(4, 3, requires_grad=True)
    CompositionalEmbedding.from_assignment(assignment).compose(codebook).sum().backward()
    np.testing.assert_allclose(codebook.grad.numpy()[:, 0], [1.0, 0.0, 1.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize(("blocks", "width"), [(1, 3), (2, 3), (4, 1), (3, 8), (6, 1)])
def test_blocks_are_laid_side_by_side_and_their_gradient_goes_back(blocks: int, width: int) -> None:
    rng = np.random.default_rng(blocks)
    assignment = Assignment.of_blocks(rng.integers(0, 300, (USERS + ITEMS, blocks)), 300)
    embedding = CompositionalEmbedding.from_assignment(assignment, dtype=torch.float64)
    codebook = torch.randn(300, blocks * width, dtype=torch.float64, requires_grad=True)
    rows = embedding.compose(codebook)
    grad = torch.randn(USERS + ITEMS, blocks * width, dtype=torch.float64)
    rows.backward(grad)
    expected = torch.zeros_like(codebook)
    for entity, row in enumerate(assignment.codes):
        for block, code in enumerate(row):
            columns = slice(block * width, (block + 1) * width)
            assert torch.equal(rows[entity, columns], codebook[code, columns])
            expected[code, columns] += grad[entity, columns]
    torch.testing.assert_close(codebook.grad, expected)
    found = embedding.adjoint(embedding.product(codebook.detach()))
    torch.testing.assert_close((found * codebook).sum(), rows.square().sum())


def test_blocks_that_are_not_equally_wide_are_refused() -> None:
    assignment = Assignment.of_blocks(np.zeros((2, 3)), 4)
    with pytest.raises(InputError, match="dim is 8 and a row has 3 blocks; make dim a multiple"):
        CompositionalEmbedding.from_assignment(assignment).compose(torch.zeros(4, 8))


def test_blocks_have_no_weights_and_other_compositions_do_not_exist() -> None:
    with pytest.raises(InputError, match="composed by blocks has no weights"):
        _ = Assignment.of_blocks(np.zeros((2, 3)), 4).weights
    with pytest.raises(InputError, match="composition is 'product'; choose sum or blocks"):
        Assignment(np.zeros((2, 3), np.int32), 4, 1.0, "product")  # type: ignore[arg-type]


@pytest.mark.parametrize("dim", [6, 24])
def test_a_codebook_of_blocks_starts_at_the_singular_vectors(dim: int) -> None:
    """Everyone has codes of his own, so that each row can be met; 24 columns are more than the rank."""
    count, rank = USERS + ITEMS, min(dim, USERS, ITEMS)
    codes = np.stack([np.random.default_rng(seed).permutation(count) for seed in range(3)], axis=1)
    embedding = CompositionalEmbedding.from_assignment(Assignment.of_blocks(codes, count))
    graph = BipartiteGraph.from_interactions(_matrix())
    start = spectral_codebook(graph, embedding, codebook_rows=count, dim=dim, scale=0.4, seed=3)
    exact = singular_rows(graph, dim=dim, generator=torch.Generator().manual_seed(3))
    exact *= 0.4 / exact.square().mean().sqrt()
    torch.testing.assert_close(embedding.product(start)[:, :rank] * 1.01, exact, rtol=1e-4, atol=1e-5)
    assert start.shape == (count, dim)
    assert (start[:, rank:] != 0).all()


def test_compose_rows_from_numpy() -> None:
    assignment = Assignment(np.array([[0, 1], [2, 1]], np.int32), 3, 0.75)
    codebook = np.array([[4, 8], [0, 4], [8, 0]], np.float32)
    np.testing.assert_allclose(compose_rows(assignment, codebook), [[3, 7], [6, 1]])


def test_threads_do_not_change_a_bit() -> None:
    graph = BipartiteGraph.from_interactions(_matrix())
    table = torch.randn(USERS + ITEMS, 64)
    codes = np.random.default_rng(0).integers(0, 5, (USERS + ITEMS, 8))
    blocks = CompositionalEmbedding.from_assignment(Assignment.of_blocks(codes, 5))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append([mean_of_layers(graph, table, layers=3), blocks.adjoint(table)])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *found))
