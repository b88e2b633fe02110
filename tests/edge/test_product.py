"""Product codes against what must hold: exact where codes suffice, and better the more propagation keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from lerg_edge.assigning.product import product_codes
from lerg_edge.codes.embedding import compose_rows
from lerg_edge.errors import InputError
from lerg_edge.propagation.layers import BipartiteGraph, mean_of_layers

USERS, ITEMS, DIM, LAYERS = 90, 70, 12, 3


def _matrix() -> sparse.csr_matrix:
    return sparse.csr_matrix((np.random.default_rng(0).random((USERS, ITEMS)) < 0.1).astype(np.float32))


def _rows() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((USERS + ITEMS, DIM)).astype(np.float32)


def _propagated(rows: np.ndarray) -> np.ndarray:
    graph = BipartiteGraph.from_interactions(_matrix())
    return mean_of_layers(graph, torch.from_numpy(rows), layers=LAYERS).numpy()


def test_a_code_for_every_entity_gives_the_teachers_scores() -> None:
    rows = _rows()
    learned = product_codes(rows, _matrix(), blocks=3, layers=LAYERS, codebook_rows=USERS + ITEMS, seed=0)
    mine, theirs = compose_rows(learned.assignment, learned.codebook), rows
    # The rows are rotated, so it is their products that must be equal.
    np.testing.assert_allclose(mine @ mine.T, theirs @ theirs.T, atol=2e-3)
    assert learned.error < 1e-6


def test_error_is_that_of_the_propagated_rows() -> None:
    rows = _rows()
    learned = product_codes(rows, _matrix(), blocks=4, layers=LAYERS, codebook_rows=8, seed=0)
    mine = _propagated(compose_rows(learned.assignment, learned.codebook))
    theirs = _propagated(rows)
    # Found from Gram matrices, which no rotation changes: the best rotation of one onto the other.
    overlap = np.linalg.svd(theirs.T @ mine, compute_uv=False).sum()
    best = (np.square(mine).sum() + np.square(theirs).sum() - 2 * overlap) / np.square(theirs).sum()
    assert best <= learned.error + 1e-6
    assert learned.error == pytest.approx(best, rel=0.15)


def test_choosing_by_the_propagated_error_beats_nearest_codes() -> None:
    settings = {"blocks": 4, "layers": LAYERS, "codebook_rows": 8, "seed": 0}
    plain = product_codes(_rows(), _matrix(), sweeps=0, **settings)  # type: ignore[arg-type]
    shaped = product_codes(_rows(), _matrix(), **settings)  # type: ignore[arg-type]
    assert shaped.error < 0.8 * plain.error


def test_shapes_and_the_same_seed() -> None:
    first, second = (
        product_codes(_rows(), _matrix(), blocks=6, layers=2, codebook_rows=5, seed=3) for _ in range(2)
    )
    assert first.assignment.codes.shape == (USERS + ITEMS, 6)
    assert first.assignment.composition == "blocks"
    assert 0 <= first.assignment.codes.min() <= first.assignment.codes.max() < 5
    assert first.codebook.shape == (5, DIM)
    np.testing.assert_array_equal(first.assignment.codes, second.assignment.codes)
    np.testing.assert_array_equal(first.codebook, second.codebook)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 5}, "multiple of the number of blocks"),
        ({"codebook_rows": 0}, "codebook_rows is 0"),
        ({"codebook_rows": USERS + ITEMS + 1}, "number of entities"),
    ],
)
def test_refusals(change: dict[str, int], message: str) -> None:
    settings = {"blocks": 3, "layers": LAYERS, "codebook_rows": 8, "seed": 0} | change
    with pytest.raises(InputError, match=message):
        product_codes(_rows(), _matrix(), **settings)  # type: ignore[arg-type]


def test_rows_of_other_entities_are_refused() -> None:
    with pytest.raises(InputError, match="159 rows"):
        product_codes(_rows()[:-1], _matrix(), blocks=3, layers=LAYERS, seed=0)
