"""Sparse approximation against least squares and exhaustive search, and dictionaries that are learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerg_edge.codes.quantiser import quantise
from lerg_edge.errors import InputError
from lerg_edge.folding.dictionary import approximate, learn_dictionary
from lerg_edge.folding.pursuit import pursue

LIMIT = 1 << 24


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_rows_made_of_orthogonal_codes_are_found_again() -> None:
    codebook = np.linalg.qr(random(12, 12))[0] * np.linspace(0.5, 2, 12)[:, None].astype(np.float32)
    rng = np.random.default_rng(1)
    chosen = np.stack([rng.permutation(12)[:4] for _ in range(50)])
    weights = rng.uniform(0.5, 2, (50, 4)) * rng.choice([-1, 1], (50, 4))
    rows = np.einsum("nk,nkd->nd", weights, codebook[chosen]).astype(np.float32)
    codes, found = pursue(
        torch.from_numpy(rows), torch.from_numpy(codebook.astype(np.float32)), entries=4, memory_limit=LIMIT
    )
    for row in range(50):
        assert set(codes[row].tolist()) == set(chosen[row].tolist())
        order = [chosen[row].tolist().index(code) for code in codes[row].tolist()]
        np.testing.assert_allclose(found[row], weights[row, order], rtol=1e-3)


def test_weights_are_least_squares_and_codes_are_greedy() -> None:
    rows, codebook = random(40, 6), random(30, 6, seed=1)
    codes, weights = pursue(torch.from_numpy(rows), torch.from_numpy(codebook), entries=3, memory_limit=LIMIT)
    directions = codebook / np.linalg.norm(codebook, axis=1, keepdims=True)
    for row, chosen, found in zip(rows, codes.numpy(), weights.numpy(), strict=True):
        expected, *_ = np.linalg.lstsq(codebook[chosen].T.astype(np.float64), row, rcond=None)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        for taken in range(3):
            before = codebook[chosen[:taken]].T
            left = row - before @ np.linalg.lstsq(before, row, rcond=None)[0] if taken else row
            assert np.argmax(np.abs(directions @ left)) == chosen[taken]


def test_blocks_do_not_show() -> None:
    rows, codebook = torch.from_numpy(random(100, 8)), torch.from_numpy(random(40, 8, seed=1))
    whole = pursue(rows, codebook, entries=5, memory_limit=LIMIT)
    parts = pursue(rows, codebook, entries=5, memory_limit=16 * 40 * 7)
    assert torch.equal(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1], rtol=1e-4, atol=1e-5)


def test_rows_of_zeros_and_codes_that_repeat_do_no_harm() -> None:
    rows = random(5, 4)
    rows[2] = 0
    codebook = np.repeat(random(3, 4, seed=1), 2, axis=0)
    codebook[5] = 0
    codes, weights = pursue(torch.from_numpy(rows), torch.from_numpy(codebook), entries=6, memory_limit=LIMIT)
    assert all(sorted(row) == list(range(6)) for row in codes.tolist())
    assert torch.isfinite(weights).all()
    assert (weights[2] == 0).all()


def communities(count: int = 600, dim: int = 16) -> np.ndarray:
    """Rows near sums of three out of forty directions."""
    rng = np.random.default_rng(3)
    directions = random(40, dim, seed=4)
    chosen = rng.integers(0, 40, (count, 3))
    return (directions[chosen].sum(1) + 0.05 * rng.normal(size=(count, dim))).astype(np.float32)


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_a_learned_codebook_beats_rows_taken_as_they_are(bits: int) -> None:
    rows = communities()
    errors = []
    for rounds in (0, 6):
        dictionary = learn_dictionary(rows, codebook_rows=60, entries=4, bits=bits, seed=0, rounds=rounds)
        folded = approximate(rows, dictionary, entries=4)
        found = folded.compose(dictionary.quantised())
        errors.append(float(np.square(found - rows).sum() / np.square(rows).sum()))
        assert folded.codebook_rows == 60
        assert folded.codes.shape == folded.weights.shape == (600, 4)
    assert errors[1] < 0.7 * errors[0]
    assert errors[1] < (0.25 if bits == 4 else 0.2)


def test_rounding_the_codebook_is_made_up_for() -> None:
    """Codes chosen for the codebook before it was rounded do worse on the rounded one."""
    rows = communities()
    dictionary = learn_dictionary(rows, codebook_rows=60, entries=4, bits=4, seed=0)
    codebook = torch.from_numpy(dictionary.codebook)
    codes, weights = pursue(torch.from_numpy(rows), codebook, entries=4, memory_limit=LIMIT)
    careless = np.einsum("nk,nkd->nd", weights.numpy(), dictionary.quantised()[codes])
    careful = approximate(rows, dictionary, entries=4).compose(dictionary.quantised())
    assert np.square(careful - rows).sum() < 0.95 * np.square(careless - rows).sum()


def test_the_step_uses_the_integers_there_are() -> None:
    dictionary = learn_dictionary(communities(), codebook_rows=60, entries=4, bits=4, seed=0)
    integers = quantise(dictionary.codebook, dictionary.step, bits=4)
    assert set(np.unique(integers)) >= set(range(-7, 8))


def test_the_same_seed_gives_the_same_dictionary() -> None:
    first, second = (
        learn_dictionary(communities(), codebook_rows=50, entries=3, bits=8, seed=5).codebook
        for _ in range(2)
    )
    other = learn_dictionary(communities(), codebook_rows=50, entries=3, bits=8, seed=6).codebook
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"entries": 0}, "entries is 0"),
        ({"entries": 51}, "entries is 51"),
        ({"codebook_rows": 700}, "600 rows"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        learn_dictionary(communities(), **{"codebook_rows": 50, "entries": 3, "bits": 8, "seed": 0, **wrong})


def test_more_entries_than_dimensions_leave_nothing_over() -> None:
    rows, codebook = torch.from_numpy(random(30, 4)), torch.from_numpy(random(20, 4, seed=1))
    codes, weights = pursue(rows, codebook, entries=9, memory_limit=LIMIT)
    assert all(len(set(row)) == 9 for row in codes.tolist())
    assert (weights[:, 5:] == 0).all()
    found = torch.einsum("nk,nkd->nd", weights, codebook[codes])
    torch.testing.assert_close(found, rows, rtol=1e-3, atol=1e-4)
