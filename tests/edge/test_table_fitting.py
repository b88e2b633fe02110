"""Tables made fit for coding: every score is what it was, or the best that so few numbers can say."""

from __future__ import annotations

import numpy as np
import pytest

from lerg_edge.tables.fitting import fitted


def tables(dim: int = 6, *, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    users, items = (rng.standard_normal((count, dim)).astype(np.float32) for count in (30, 20))
    return users * np.float32(scale), items


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dim", [6, 8])
def test_scores_stay_and_sides_are_alike(scale: float, dim: int) -> None:
    users, items = tables(scale=scale)
    found = fitted(users, items, dim=dim, layers=0)
    assert [rows.shape for rows in found] == [(30, dim), (20, dim)]
    assert all(rows.dtype == np.float32 for rows in found)
    assert np.allclose(found[0] @ found[1].T, users @ items.T, rtol=1e-4, atol=1e-5 * scale)
    sizes = [np.sqrt(np.square(rows).mean()) for rows in found]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)


def test_narrower_rows_have_the_least_error_of_all() -> None:
    users, items = tables()
    found = fitted(users, items, dim=3, layers=0)
    left, values, right = np.linalg.svd(users.astype(np.float64) @ items.T)
    best = (left[:, :3] * values[:3]) @ right[:3]
    assert np.allclose(found[0] @ found[1].T, best, atol=1e-4)


def test_rows_that_are_propagated_keep_one_map() -> None:
    """A sum of a user's row and an item's must still mean something, so both sides are only turned."""
    users, items = tables(scale=20.0)
    assert np.array_equal(fitted(users, items, dim=8, layers=2)[0][:, :6], users)
    found = np.concatenate(fitted(users, items, dim=4, layers=2))
    rows = np.concatenate([users, items]).astype(np.float64)
    _, values, axes = np.linalg.svd(rows, full_matrices=False)
    assert np.allclose(found @ found.T, (rows @ axes[:4].T) @ (rows @ axes[:4].T).T, rtol=1e-3, atol=1e-2)
    assert np.square(found).sum() == pytest.approx(np.square(values[:4]).sum(), rel=1e-4)


def test_all_zero() -> None:
    nothing = np.zeros((3, 2), np.float32)
    assert not np.concatenate(fitted(nothing, nothing, dim=2, layers=0)).any()
