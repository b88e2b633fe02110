"""Optimiser steps, the packed codebook and negative sampling, each against an independent oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lerg_runtime import _native

pytestmark = pytest.mark.native

Floats = NDArray[np.float32]


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_adam_takes_the_steps_of_torch(weight_decay: float) -> None:
    torch = pytest.importorskip("torch")
    ours = normal(37, 5)
    m, v = np.zeros_like(ours), np.zeros_like(ours)
    theirs = torch.nn.Parameter(torch.tensor(ours.copy()))
    optimiser = torch.optim.Adam([theirs], lr=0.03, betas=(0.8, 0.99), eps=1e-6, weight_decay=weight_decay)
    for step in range(1, 8):
        gradient = normal(37, 5, seed=step)
        options = {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6}
        _native.adam_step(ours, gradient, m, v, step=step, weight_decay=weight_decay, **options)
        theirs.grad = torch.tensor(gradient)
        optimiser.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_takes_the_steps_of_torch(momentum: float) -> None:
    torch = pytest.importorskip("torch")
    ours = normal(11)
    velocity = np.zeros_like(ours) if momentum else None
    theirs = torch.nn.Parameter(torch.tensor(ours.copy()))
    optimiser = torch.optim.SGD([theirs], lr=0.1, momentum=momentum)
    for step in range(5):
        gradient = normal(11, seed=step + 1)
        _native.sgd_step(ours, gradient, velocity, learning_rate=0.1, momentum=momentum)
        theirs.grad = torch.tensor(gradient)
        optimiser.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


ADAM: dict[str, Any] = {"step": 1, "learning_rate": 0.1}
BAD_STEPS = {
    "another size": (
        lambda p: _native.adam_step(p, normal(3), p.copy(), p.copy(), **ADAM),
        "grad must have as many",
    ),
    "another type": (
        lambda p: _native.adam_step(p, p.astype(float), p.copy(), p.copy(), **ADAM),
        "grad must be float32",
    ),
    "step 0": (
        lambda p: _native.adam_step(p, p.copy(), p.copy(), p.copy(), **(ADAM | {"step": 0})),
        "step must count from 1",
    ),
    "beta 1": (
        lambda p: _native.adam_step(p, p.copy(), p.copy(), p.copy(), beta1=1.0, **ADAM),
        "beta1 and beta2",
    ),
    "not a number": (lambda p: _native.sgd_step(p, p.copy(), None, learning_rate=np.nan), "must be finite"),
    "no velocity": (
        lambda p: _native.sgd_step(p, p.copy(), None, learning_rate=0.1, momentum=0.9),
        "velocity is needed",
    ),
}


@pytest.mark.parametrize("name", BAD_STEPS)
def test_a_bad_step_changes_nothing(name: str) -> None:
    call, message = BAD_STEPS[name]
    parameter = normal(4)
    before = parameter.copy()
    with pytest.raises(ValueError, match=message):
        call(parameter)
    np.testing.assert_array_equal(parameter, before)


def packed(weights: Floats, step: Floats, bits: int) -> NDArray[Any]:
    rows, columns = weights.shape
    dtype, width = {4: (np.uint8, columns // 2), 8: (np.int8, columns), 16: (np.int16, columns)}[bits]
    out = np.zeros((rows, width), dtype)
    _native.quantise(weights, step, bits, out)
    return out


def codes_of(out: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """Integers of the packed form, by its definition."""
    if bits != 4:
        return out.astype(np.int64)
    nibbles = np.stack([out & 0xF, out >> 4], axis=2).reshape(len(out), -1).astype(np.int64)
    return np.where(nibbles >= 8, nibbles - 16, nibbles)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("shape", [(1, 2), (3, 2), (17, 6), (5, 64)])
def test_codes_are_rounded_and_clipped(bits: int, per_row: bool, shape: tuple[int, int]) -> None:
    weights = normal(*shape)
    step = np.linspace(0.01, 0.3, shape[0] if per_row else 1, dtype=np.float32)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = np.clip(np.round(weights / step[:, None]), low, high).astype(np.int64)
    out = packed(weights, step, bits)
    np.testing.assert_array_equal(codes_of(out, bits), expected)
    back = np.empty_like(weights)
    _native.dequantise(out, step, bits, back)
    np.testing.assert_array_equal(back, expected.astype(np.float32) * step[:, None])


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_ties_go_to_even_and_the_bounds_hold(bits: int) -> None:
    high = 2 ** (bits - 1) - 1
    weights = np.array([[0.5, 1.5, -0.5, -2.5, 1e30, -1e30]], np.float32)
    out = packed(weights, np.ones(1, np.float32), bits)
    assert codes_of(out, bits).tolist() == [[0, 2, 0, -2, high, -high - 1]]


def test_32_bits_are_the_weights_themselves() -> None:
    weights = normal(5, 6)
    out, back = np.empty_like(weights), np.empty_like(weights)
    _native.quantise(weights, np.ones(1, np.float32), 32, out)
    _native.dequantise(out, np.ones(1, np.float32), 32, back)
    assert out.tobytes() == back.tobytes() == weights.tobytes()
    weights[2, 3] = np.inf
    with pytest.raises(ValueError, match="weights must be finite"):
        _native.quantise(weights, np.ones(1, np.float32), 32, out)


def test_the_packing_of_nibbles_is_as_documented() -> None:
    out = packed(np.array([[1, -2, 7, -8]], np.float32), np.ones(1, np.float32), 4)
    assert out.tolist() == [[0xE1, 0x87]]


GOOD = (np.ones((2, 4), np.float32), np.ones(1, np.float32), 8, np.zeros((2, 4), np.int8))
BAD_CODEBOOKS = {
    "bits": ((*GOOD[:2], 5, GOOD[3]), "bits must be 4, 8, 16 or 32, not 5"),
    "odd columns": (
        (np.ones((2, 3), np.float32), GOOD[1], 4, np.zeros((2, 1), np.uint8)),
        "even number of columns",
    ),
    "shape": ((*GOOD[:3], np.zeros((2, 5), np.int8)), r"must have the shape \[2, 4\]"),
    "type": ((*GOOD[:3], np.zeros((2, 4), np.int16)), "out must be int8, but is int16"),
    "steps": ((GOOD[0], np.ones(3, np.float32), *GOOD[2:]), "step must have one element or one a row"),
    "zero step": ((GOOD[0], np.zeros(1, np.float32), *GOOD[2:]), "step finite and positive"),
    "not a number": ((GOOD[0] * np.float32(np.nan), *GOOD[1:]), "weights must be finite"),
    "rank": ((np.ones(4, np.float32), *GOOD[1:]), "a codebook must have two dimensions"),
}


@pytest.mark.parametrize("name", BAD_CODEBOOKS)
def test_a_bad_codebook_is_named(name: str) -> None:
    arguments, message = BAD_CODEBOOKS[name]
    with pytest.raises(ValueError, match=message):
        _native.quantise(*arguments)


def sampled(
    users: list[int],
    rows: list[list[int]],
    items: int,
    seed: int,
    *,
    pointer: Any = np.int64,
    index: Any = np.uint16,
) -> NDArray[np.int32]:
    indptr = np.cumsum([0] + [len(row) for row in rows]).astype(pointer)
    indices = np.array([item for row in rows for item in row], index)
    out = np.full(len(users), -9, np.int32)
    _native.sample_negatives(np.array(users, np.int32), indptr, indices, items, seed, out)
    return out


@given(
    rows=st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=5),
    seed=st.integers(0, 2**64 - 1),
    pointer=st.sampled_from([np.int32, np.int64]),
    index=st.sampled_from([np.uint8, np.uint16, np.int32]),
)
def test_a_negative_was_never_touched(rows: list[set[int]], seed: int, pointer: Any, index: Any) -> None:
    users = [user for user in range(len(rows)) for _ in range(8)]
    out = sampled(users, [sorted(row) for row in rows], 12, seed, pointer=pointer, index=index)
    for user, item in zip(users, out.tolist(), strict=True):
        left = set(range(12)) - rows[user]
        assert item in left if left else item == -1


def test_negatives_are_uniform_and_cover_all() -> None:
    out = sampled([0] * 30_000, [[0, 3, 4, 9]], 10, seed=1)
    counts = np.bincount(out, minlength=10)
    assert set(np.flatnonzero(counts)) == {1, 2, 5, 6, 7, 8}
    # Chi-square with 5 degrees of freedom: above 20.5 in one case of a thousand.
    assert float(((counts[counts > 0] - 5_000) ** 2 / 5_000).sum()) < 20.5


def test_negatives_repeat_by_seed_and_position() -> None:
    rows = [[1, 2], [0]]
    together = sampled([0, 1, 0, 1], rows, 1_000, seed=7)
    assert together.tolist() == sampled([0, 1, 0, 1], rows, 1_000, seed=7).tolist()
    assert together.tolist() != sampled([0, 1, 0, 1], rows, 1_000, seed=8).tolist()
    assert together[:2].tolist() == sampled([0, 1], rows, 1_000, seed=7).tolist()


def test_neighbouring_seeds_share_no_stream() -> None:
    """Draw i of seed s must not be draw i + 1 of seed s - 1, as with a counter that is only added."""
    draws = [sampled([0] * 50, [[]], 2**31 - 1, seed=seed) for seed in range(6)]
    assert len(set(np.concatenate(draws).tolist())) == 300


BAD_SAMPLES = {
    "user": (([2], [[0], [1]], 5, 0), "users must be from 0 to 2 exclusive"),
    "negative user": (([-1], [[0], [1]], 5, 0), "users must be from 0 to 2 exclusive"),
    "too many items": (([0], [[0, 1, 2]], 2, 0), "at most item_count items"),
    "item count": (([0], [[0]], -1, 0), "item_count must be from 0"),
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_a_bad_sample_is_named(name: str) -> None:
    arguments, message = BAD_SAMPLES[name]
    with pytest.raises(ValueError, match=message):
        sampled(*arguments)


def hardest(
    user_table: NDArray[np.float32],
    item_table: NDArray[Any],
    users: list[int],
    candidates: list[list[int]],
    scales: NDArray[np.float32] | None = None,
) -> list[int]:
    out = np.full(len(users), -9, np.int32)
    _native.hardest_candidates(
        user_table, item_table, scales, np.array(users, np.int32), np.array(candidates, np.int32), out
    )
    return out.tolist()


@pytest.mark.parametrize("dim", [1, 7, 8, 9, 64])
def test_the_hardest_candidate_scores_highest(dim: int) -> None:
    random = np.random.default_rng(dim)
    users = random.standard_normal((5, dim)).astype(np.float32)
    items = random.standard_normal((40, dim)).astype(np.float32)
    who, drawn = random.integers(0, 5, 300), random.integers(0, 40, (6, 300))
    scores = np.einsum("nd,knd->kn", users[who].astype(np.float64), items[drawn].astype(np.float64))
    assert hardest(users, items, who.tolist(), drawn.tolist()) == scores.argmax(0).tolist()


def test_the_hardest_candidate_of_int8_rows() -> None:
    random = np.random.default_rng(1)
    users = random.standard_normal((5, 20)).astype(np.float32)
    items, scales = random.integers(-127, 128, (40, 20)).astype(np.int8), random.random(40).astype(np.float32)
    who, drawn = random.integers(0, 5, 300), random.integers(0, 40, (6, 300))
    rows = items.astype(np.float64) * scales[:, None]
    best = np.einsum("nd,knd->kn", users[who].astype(np.float64), rows[drawn]).argmax(0)
    assert hardest(users, items, who.tolist(), drawn.tolist(), scales) == best.tolist()
    with pytest.raises(ValueError, match="int8 with item_scales"):
        hardest(users, items, [0], [[0]])
    with pytest.raises(ValueError, match="one element for each row"):
        hardest(users, items, [0], [[0]], scales[:3])


def test_equal_candidates_give_the_first() -> None:
    items = np.array([[1], [1], [0]], np.float32)
    assert hardest(np.ones((1, 1), np.float32), items, [0, 0], [[2, 2], [1, 2], [0, 2]]) == [1, 0]


BAD_CANDIDATES = {
    "user": (([1], [[0]]), "must be rows of their tables"),
    "item": (([0], [[2]]), "must be rows of their tables"),
    "negative": (([0], [[-1]]), "must be rows of their tables"),
    "columns": (([0], [[0, 1]]), "a column for each of users"),
}


@pytest.mark.parametrize("name", BAD_CANDIDATES)
def test_bad_candidates_are_named(name: str) -> None:
    arguments, message = BAD_CANDIDATES[name]
    with pytest.raises(ValueError, match=message):
        hardest(np.ones((1, 3), np.float32), np.ones((2, 3), np.float32), *arguments)


def test_rows_that_leave_the_indices() -> None:
    for indptr in ([0, 3], [2, 1], [-1, 1]):
        with pytest.raises(ValueError, match="indptr must ascend within indices"):
            _native.sample_negatives(
                np.zeros(1, np.int32),
                np.array(indptr),
                np.zeros(2, np.uint8),
                9,
                0,
                np.zeros(1, np.int32),
            )
