"""Alternating least squares against its normal equations, and against the loss that it lowers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from lerg_edge.data.synthetic import generate
from lerg_edge.errors import InputError
from lerg_edge.training.least_squares import (
    LeastSquaresOptions,
    alternating_least_squares,
    default_confidence,
)

OPTIONS = LeastSquaresOptions(dim=6, confidence=8.0, penalty=0.7, rounds=4, seed=1)


def pairs() -> sparse.csr_matrix:
    """60 users and 40 items; nobody has touched the last item, and the first user has touched nothing."""
    made = generate(60, 40, 500, communities=3, seed=4).matrix().tolil()
    made[0, :] = 0
    made[:, 39] = 0
    found: sparse.csr_matrix = made.tocsr()
    found.eliminate_zeros()
    return found


def loss(matrix: sparse.csr_matrix, users: np.ndarray, items: np.ndarray) -> float:
    """The sum of the module's text, over all pairs of a user and an item."""
    touched = matrix.toarray() > 0
    errors = np.square(touched - users.astype(np.float64) @ items.T.astype(np.float64))
    weighed = np.where(touched, OPTIONS.confidence, 1.0) * errors
    penalty = np.square(users, dtype=np.float64).sum() + np.square(items, dtype=np.float64).sum()
    return float(weighed.sum() + OPTIONS.penalty * penalty)


def test_items_solve_their_normal_equations() -> None:
    matrix = pairs()
    users, items = (rows.astype(np.float64) for rows in alternating_least_squares(matrix, OPTIONS))
    touched = matrix.toarray() > 0
    for item in range(39):
        weights = np.where(touched[:, item], OPTIONS.confidence, 1.0)
        system = (users * weights[:, None]).T @ users + OPTIONS.penalty * np.eye(6)
        expected = np.linalg.solve(system, (users * (weights * touched[:, item])[:, None]).sum(axis=0))
        assert items[item] == pytest.approx(expected, abs=1e-4)


def test_rounds_lower_the_loss() -> None:
    matrix = pairs()
    losses = [
        loss(matrix, *alternating_least_squares(matrix, LeastSquaresOptions(
            dim=6, confidence=8.0, penalty=0.7, rounds=rounds, seed=1)))
        for rounds in (1, 2, 4, 8)
    ]  # fmt: skip
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


def test_who_has_touched_nothing_has_zeros() -> None:
    users, items = alternating_least_squares(pairs(), OPTIONS)
    assert users.dtype == items.dtype == np.float32
    assert not users[0].any()
    assert not items[39].any()
    assert np.abs(users[1:]).sum(axis=1).min() > 0


def test_values_do_not_count_and_the_seed_decides() -> None:
    matrix = pairs()
    again = alternating_least_squares(matrix * 5.0, OPTIONS)
    found = alternating_least_squares(matrix, OPTIONS)
    other = alternating_least_squares(
        matrix, LeastSquaresOptions(dim=6, confidence=8.0, penalty=0.7, rounds=4, seed=2)
    )
    assert all(np.array_equal(one, two) for one, two in zip(found, again, strict=True))
    assert not np.array_equal(found[1], other[1])


def test_rounds_are_told() -> None:
    told: list[int] = []
    alternating_least_squares(pairs(), OPTIONS, on_round=told.append)
    assert told == [1, 2, 3, 4]


def test_nothing_at_all_gives_zeros() -> None:
    users, items = alternating_least_squares(sparse.csr_matrix((3, 2), dtype=np.float32), OPTIONS)
    assert (users.shape, items.shape) == ((3, 6), (2, 6))
    assert not users.any()
    assert not items.any()


def test_more_items_want_more_confidence_within_bounds() -> None:
    assert default_confidence(4_500) == pytest.approx(10)
    assert default_confidence(4 * 4_500) == pytest.approx(20)
    assert (default_confidence(0), default_confidence(10**9)) == (2, 100)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"confidence": 1.0}, "confidence is 1.0; it must be above 1"),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"penalty": 0.0}, "penalty is 0.0; it must be above 0"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        LeastSquaresOptions(**wrong)  # type: ignore[arg-type]
