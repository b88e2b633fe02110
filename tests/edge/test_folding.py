"""P in blocks against dense matrices, its largest entries, and how rows are stored."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.codes.assignment import Assignment, metis_assignment
from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import InputError
from lerg_edge.folding.matrix import FoldedRows, largest_entries, propagation_blocks
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite

CODES = 23
COLUMN_BYTES = 24 * 210  # six tables of one column of 120 users and 90 items


@pytest.fixture(scope="module")
def assignment(interactions: Interactions) -> Assignment:
    return metis_assignment(interactions.matrix(), codebook_rows=CODES, anchor_weight=0.7, seed=0)


@pytest.fixture(scope="module")
def dense(interactions: Interactions, assignment: Assignment) -> np.ndarray:
    """P = 1/4 sum over l = 0..3 of A^l S in float64."""
    adjacency = full_adjacency(normalised_bipartite(interactions.matrix())).toarray().astype(np.float64)
    start = assignment.matrix().toarray()
    return sum(np.linalg.matrix_power(adjacency, layer) @ start for layer in range(4)) / 4


@pytest.mark.parametrize("columns", [1, 5, 23, 1000])
def test_blocks_are_those_of_the_dense_matrix(
    columns: int, interactions: Interactions, assignment: Assignment, dense: np.ndarray
) -> None:
    blocks = list(
        propagation_blocks(
            interactions.matrix(), assignment, layers=3, memory_limit=columns * COLUMN_BYTES + 7
        )
    )
    assert [first for first, _ in blocks] == list(range(0, CODES, columns))
    assert all(block.shape[1] <= columns for _, block in blocks)
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks], axis=1), dense, atol=1e-6)


@pytest.mark.parametrize("entries", [1, 4, 23])
@pytest.mark.parametrize("columns", [2, 7, 1000])
def test_the_largest_entries_are_kept_whatever_the_blocks(
    entries: int, columns: int, interactions: Interactions, assignment: Assignment, dense: np.ndarray
) -> None:
    found = largest_entries(
        interactions.matrix(), assignment, layers=3, entries=entries, memory_limit=2 * columns * COLUMN_BYTES
    )
    expected = -np.sort(-dense, axis=1)[:, :entries]
    values = np.take_along_axis(dense, found.codes.astype(np.int64), axis=1)
    np.testing.assert_allclose(-np.sort(-values, axis=1), expected, atol=1e-6)
    assert all(len(set(row)) == entries for row in found.codes.tolist())
    # An eighth bit's worth of the row's scale, which is at most 2.1 % above what the row needs here.
    assert (np.abs(found.values() - values).max(axis=1) <= 0.52 * expected[:, 0] / 127 + 1e-7).all()


def test_equal_entries_are_kept_from_the_lowest_column() -> None:
    from scipy import sparse

    nothing = sparse.csr_matrix((3, 2), dtype=np.float32)
    codes = np.array([[4, 1, 3, 0]] * 5, np.int32)  # a quarter each: all four are equal
    for memory_limit in (2 * 24 * 5, 1 << 20):
        found = largest_entries(
            nothing, Assignment(codes, 6, 0.25), layers=2, entries=3, memory_limit=memory_limit
        )
        assert found.codes.tolist() == [[0, 1, 3]] * 5


MEASURE = """
import resource, sys
import numpy as np, torch
from scipy import sparse
from lerg_edge.codes.assignment import Assignment
from lerg_edge.folding.matrix import largest_entries
torch.set_num_threads(1)
rng = np.random.default_rng(0)
users, items, codes = 12_000, 8_000, 6_000
rows = rng.integers(0, users, 40_000), rng.integers(0, items, 40_000)
matrix = sparse.csr_matrix((np.ones(40_000, np.float32), rows), shape=(users, items))
matrix.sum_duplicates()
assignment = Assignment(rng.integers(0, codes, (users + items, 1)).astype(np.int32), codes, 1.0)
largest_entries(matrix, Assignment(assignment.codes % 8, 8, 1.0), layers=2, entries=4, memory_limit=1 << 22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
largest_entries(matrix, assignment, layers=2, entries=4, memory_limit=24 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_below_the_limit() -> None:
    """A dense P would be 480 MB; the limit is 24 MiB, and another 8 are granted to the allocators."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 <= (24 + 8) << 20


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"entries": 0}, "entries is 0"),
        ({"entries": 24}, "entries is 24"),
        ({"entries": 3, "memory_limit": COLUMN_BYTES}, "memory_limit"),
    ],
)
def test_wrong_arguments_are_named(
    wrong: dict[str, int], message: str, interactions: Interactions, assignment: Assignment
) -> None:
    with pytest.raises(InputError, match=message):
        largest_entries(interactions.matrix(), assignment, layers=3, **wrong)


def test_rows_of_blocks_have_no_such_matrix(interactions: Interactions, assignment: Assignment) -> None:
    blocks = Assignment.of_blocks(assignment.codes, assignment.codebook_rows)
    with pytest.raises(InputError, match="composes by blocks; approximate the propagated rows instead"):
        largest_entries(interactions.matrix(), blocks, layers=3, entries=3)


@given(
    rows=st.integers(1, 20),
    entries=st.integers(1, 6),
    spread=st.floats(0, 12),
    seed=st.integers(0, 99),
)
def test_quantised_rows_are_near(rows: int, entries: int, spread: float, seed: int) -> None:
    """Rounding costs at most half a step; a step is at most the table's ratio above what the row needs."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(rows, entries)) * np.exp(rng.uniform(-spread, spread, (rows, 1)))
    weights[rng.random(rows) < 0.2] = 0
    found = FoldedRows.quantised(
        np.tile(np.arange(entries), (rows, 1)), weights.astype(np.float32), codebook_rows=entries
    )
    ratio = np.exp(2 * spread / 255) * 1.2
    largest = np.abs(weights).max(axis=1, keepdims=True)
    assert (np.abs(found.values() - weights) <= 0.51 * ratio * largest / 127 + 1e-30).all()
    assert np.abs(found.weights.astype(int)).max() <= 127
    np.testing.assert_allclose(found.matrix().toarray(), found.values(), rtol=1e-6)
    codebook = rng.normal(size=(entries, 3)).astype(np.float32)
    np.testing.assert_allclose(
        found.compose(codebook), found.matrix() @ codebook, rtol=1e-4, atol=1e-5 * largest.max(initial=1)
    )


def test_rows_survive_their_stage_and_a_selection() -> None:
    rng = np.random.default_rng(0)
    rows = FoldedRows.quantised(rng.integers(0, 9, (12, 3)), rng.normal(size=(12, 3)), codebook_rows=9)
    again = FoldedRows.from_stage(rows.to_stage(), codebook_rows=9)
    assert (again.matrix() != rows.matrix()).nnz == 0
    kept = np.arange(12) % 3 == 0
    assert (rows.take(kept).matrix() != rows.matrix()[kept]).nnz == 0


def test_parts_that_do_not_fit_are_refused() -> None:
    rows = FoldedRows.quantised(np.zeros((4, 2), np.int32), np.ones((4, 2)), codebook_rows=3)
    with pytest.raises(InputError, match="one weight a code"):
        FoldedRows(rows.codes, rows.weights[:3], rows.scales, rows.scale_table, 3)
    with pytest.raises(InputError, match="ascend"):
        FoldedRows(np.array([[1, 0]]), rows.weights[:1], rows.scales[:1], rows.scale_table, 3)
    with pytest.raises(InputError, match="not between 0 and 2"):
        FoldedRows(rows.codes + 3, rows.weights, rows.scales, rows.scale_table, 3)
