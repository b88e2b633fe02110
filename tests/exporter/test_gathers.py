"""Gather plans against scipy's sparse product, and the bounds that they state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from lerg_exporter.programs.portable.gathers import GatherPlan, chunk_entries, transposed


def planned_product(plan: GatherPlan, table: np.ndarray) -> np.ndarray:
    """What a program does with a plan: gather, add up, put one below the other."""
    left = iter(plan.chunks)
    padded = np.vstack([table, np.zeros((1, table.shape[1]))])
    groups = [sum(padded[next(left)].sum(1) for _ in range(count)) for count in plan.parts]
    assert next(left, None) is None
    return np.vstack([*groups, np.zeros((plan.empty, table.shape[1]))])


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.integers(16, 64),
    st.integers(1, 3),
    st.integers(0, 2**31 - 1),
)
def test_a_plan_multiplies_and_keeps_its_bounds(lengths: list[int], most: int, runs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = 41
    rows = [rng.permutation(columns)[:length] for length in lengths]
    matrix = sparse.csr_matrix(
        (np.ones(sum(lengths)), np.concatenate(rows).astype(np.int64), np.cumsum([0, *lengths])),
        shape=(len(lengths), columns),
    )
    run = np.arange(len(lengths)) % runs
    ordered = matrix[np.lexsort((-np.array(lengths), run, np.array(lengths) == 0))]
    plan = GatherPlan.of(ordered.indptr, ordered.indices, table_rows=columns, most=most)
    table = rng.integers(-4, 5, (columns, 3)).astype(np.float64)
    np.testing.assert_array_equal(planned_product(plan, table), ordered @ table)
    assert all(chunk.size <= most for chunk in plan.chunks)
    padding = plan.entries - sum(lengths)
    assert padding <= runs * most * (1 + math.log(max(1, max(lengths))))


def test_a_row_longer_than_a_chunk_is_added_up_from_parts() -> None:
    indices = np.arange(1000)
    plan = GatherPlan.of(np.array([0, 990, 1000, 1000]), indices, table_rows=1000, most=64)
    assert plan.parts[0] == 16
    assert max(chunk.size for chunk in plan.chunks) <= 64
    assert plan.empty == 1
    table = np.arange(1000.0)[:, None]
    np.testing.assert_array_equal(
        planned_product(plan, table)[:, 0], [table[:990].sum(), table[990:].sum(), 0.0]
    )


def test_a_matrix_without_entries_has_no_chunks() -> None:
    plan = GatherPlan.of(np.zeros(6, np.int64), np.empty(0, np.int64), table_rows=3, most=16)
    assert (plan.chunks, plan.parts, plan.empty) == ((), (), 5)


def test_empty_rows_before_others_are_refused() -> None:
    with pytest.raises(ValueError, match="must come last"):
        GatherPlan.of(np.array([0, 0, 2]), np.array([0, 1]), table_rows=3, most=16)


def test_transposed_is_the_transpose() -> None:
    matrix = sparse.random(30, 20, 0.2, format="csr", random_state=np.random.default_rng(0))
    indptr, indices = transposed(matrix.indptr, matrix.indices, columns=20)
    expected = matrix.T.tocsr()
    expected.sort_indices()
    np.testing.assert_array_equal(indptr, expected.indptr)
    np.testing.assert_array_equal(indices, expected.indices)


def test_a_chunk_gathers_a_megabyte() -> None:
    assert chunk_entries(64) * 64 * 4 == 1 << 20
    assert chunk_entries(1 << 20) == 16
