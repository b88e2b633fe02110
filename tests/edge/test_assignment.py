from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import pymetis
import pytest
from scipy import sparse

from lerg_edge.codes import _metis
from lerg_edge.codes.assignment import identity_assignment, metis_assignment
from lerg_edge.errors import InputError


def _random_graph(
    users: int = 60, items: int = 40, *, density: float = 0.08, seed: int = 0
) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix((rng.random((users, items)) < density).astype(np.float32))


def _blocks(count: int, *, users: int = 6, items: int = 5) -> sparse.csr_matrix:
    """Complete communities without a single interaction between them."""
    return sparse.block_diag([np.ones((users, items), np.float32)] * count, format="csr")


@pytest.mark.parametrize("codebook_rows", [1, 2, 7, 30, 99, 100])
@pytest.mark.parametrize("auxiliaries", ["neighbours", "random"])
def test_every_code_anchors_an_entity_and_no_row_repeats_a_code(codebook_rows: int, auxiliaries: Any) -> None:
    codes_per_entity = min(3, codebook_rows)
    found = metis_assignment(
        _random_graph(),
        codebook_rows=codebook_rows,
        codes_per_entity=codes_per_entity,
        auxiliaries=auxiliaries,
        seed=3,
    )
    assert found.codes.shape == (100, codes_per_entity)
    assert found.codes.dtype == np.int32
    assert np.bincount(found.codes[:, 0], minlength=codebook_rows).min() >= 1
    assert found.codes.min() >= 0
    assert found.codes.max() < codebook_rows
    assert all(len(set(row)) == codes_per_entity for row in found.codes.tolist())


def test_many_isolated_entities_are_spread_evenly() -> None:
    matrix = sparse.csr_matrix((400, 100), dtype=np.float32)
    matrix = sparse.vstack([matrix, sparse.csr_matrix(np.eye(1, 100, dtype=np.float32))]).tocsr()
    found = metis_assignment(matrix, codebook_rows=50, codes_per_entity=2, seed=0)
    sizes = np.bincount(found.codes[:, 0], minlength=50)
    assert sizes.max() - sizes.min() <= 1


def test_no_interactions_at_all() -> None:
    found = metis_assignment(
        sparse.csr_matrix((4, 3), dtype=np.float32), codebook_rows=7, codes_per_entity=2, seed=0
    )
    assert sorted(found.codes[:, 0]) == list(range(7))


def test_separate_communities_become_separate_parts() -> None:
    found = metis_assignment(_blocks(8), codebook_rows=8, codes_per_entity=1, seed=0)
    users, items = found.codes[:48, 0].reshape(8, 6), found.codes[48:, 0].reshape(8, 5)
    for community in range(8):
        assert set(users[community]) == set(items[community])
        assert len(set(users[community])) == 1
    assert len(set(users[:, 0])) == 8


def test_neighbouring_parts_are_those_that_interactions_lead_to() -> None:
    """A user between two communities has the second one as an auxiliary; the others have nowhere to go."""
    matrix = _blocks(6).tolil()
    matrix[0, 25:28] = 1.0
    found = metis_assignment(matrix.tocsr(), codebook_rows=6, codes_per_entity=2, seed=0)
    parts_of_items = found.codes[36:, 0].reshape(6, 5)
    bridge = set(found.codes[0])
    assert bridge == {parts_of_items[0, 0], parts_of_items[5, 0]}


def test_random_auxiliaries_are_uniform_over_the_other_codes() -> None:
    matrix = sparse.csr_matrix((9000, 1), dtype=np.float32)
    found = metis_assignment(matrix, codebook_rows=4, codes_per_entity=3, auxiliaries="random", seed=1)
    for anchor in range(4):
        rows = found.codes[found.codes[:, 0] == anchor]
        counts = np.bincount(rows[:, 1:].reshape(-1), minlength=4)
        assert counts[anchor] == 0
        expected = len(rows) * 2 / 3
        assert np.abs(np.delete(counts, anchor) - expected).max() < 5 * np.sqrt(expected)


def test_seed_decides() -> None:
    matrix = _random_graph(300, 200, density=0.03)
    first, again, other = (metis_assignment(matrix, codebook_rows=60, seed=seed).codes for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("codes_per_entity", "expected"), [(1, [1.0]), (2, [0.7, 0.3]), (4, [0.7, 0.1, 0.1, 0.1])]
)
def test_weights_sum_to_one_and_matrix_carries_them(codes_per_entity: int, expected: list[float]) -> None:
    found = metis_assignment(
        _random_graph(), codebook_rows=10, codes_per_entity=codes_per_entity, anchor_weight=0.7, seed=0
    )
    np.testing.assert_allclose(found.weights, expected, rtol=1e-6)
    matrix = found.matrix()
    assert matrix.shape == (100, 10)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-6)
    assert matrix[17, found.codes[17, 0]] == pytest.approx(expected[0])


def test_identity_is_the_full_table() -> None:
    np.testing.assert_array_equal(identity_assignment(5).matrix().toarray(), np.eye(5))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"codebook_rows": 0}, "codebook_rows"),
        ({"codebook_rows": 101}, "codebook_rows"),
        ({"codebook_rows": 10, "codes_per_entity": 0}, "codes_per_entity"),
        ({"codebook_rows": 10, "codes_per_entity": 11}, "codes_per_entity"),
        ({"codebook_rows": 10, "anchor_weight": 0.0}, "anchor_weight"),
        ({"codebook_rows": 10, "anchor_weight": 1.5}, "anchor_weight"),
        ({"codebook_rows": 10, "auxiliaries": "best"}, "auxiliaries"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        metis_assignment(_random_graph(), seed=0, **values)


def test_where_metis_runs_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = _random_graph(300, 200)
    here = metis_assignment(matrix, codebook_rows=40, seed=1)
    monkeypatch.setattr(_metis, "_OWN_PROCESS_ENTRIES", 0)
    np.testing.assert_array_equal(metis_assignment(matrix, codebook_rows=40, seed=1).codes, here.codes)


def test_a_partition_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_metis, "_OWN_PROCESS_ENTRIES", 0)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MemoryError, match="METIS"):
        metis_assignment(_random_graph(300, 200), codebook_rows=40, seed=1)


def test_what_metis_prints_does_not_reach_standard_output(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It remarks on empty parts of large graphs by printf, where a command prints its answer."""
    part_graph = pymetis.part_graph

    def remarking(*arguments: Any, **options: Any) -> Any:
        ctypes.CDLL(None).puts(b"***Cannot bisect a graph with 0 vertices!")
        return part_graph(*arguments, **options)

    monkeypatch.setattr(pymetis, "part_graph", remarking)
    metis_assignment(_random_graph(), codebook_rows=7, seed=0)
    print("answer")
    assert capfd.readouterr() == ("answer\n", "")
