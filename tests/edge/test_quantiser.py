from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.codes.quantiser import dequantise, fake_quantise, initial_step, least_error_step, quantise
from lerg_edge.codes.widths import bounds, check_bits
from lerg_edge.errors import InputError

BITS = [4, 8, 16]


def _weights(step: float, bits: int, *, rows: int = 6, columns: int = 5) -> torch.Tensor:
    """A row below the clip range, one above and the rest well inside; none near a rounding border."""
    low, high = bounds(bits)
    generator = torch.Generator().manual_seed(bits)
    whole = torch.randint(low // 2, high // 2, (rows, columns), generator=generator)
    whole[0], whole[1] = 5 * low // 4, 5 * high // 4
    fraction = torch.rand(rows, columns, generator=generator, dtype=torch.float64) * 0.9 - 0.45
    return (whole + fraction) * step


@pytest.mark.parametrize(("bits", "expected"), [(4, (-8, 7)), (8, (-128, 127)), (16, (-32768, 32767))])
def test_bounds(bits: int, expected: tuple[int, int]) -> None:
    assert bounds(bits) == expected


@pytest.mark.parametrize("bits", [0, 1, 5, 32])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match="bits"):
        bounds(bits)


@pytest.mark.parametrize("bits", BITS)
def test_forward_is_the_formula(bits: int) -> None:
    low, high = bounds(bits)
    step = 0.05
    weights = _weights(step, bits)
    expected = step * np.round(np.clip(weights.numpy() / step, low, high))
    found = fake_quantise(weights, torch.tensor([step], dtype=torch.float64), bits=bits)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("per_row", [False, True])
def test_gradients_are_the_formula(bits: int, per_row: bool) -> None:
    low, high = bounds(bits)
    rows, columns = 6, 5
    base = np.linspace(0.04, 0.07, rows)[:, None] if per_row else np.full((1, 1), 0.05)
    weights = _weights(1.0, bits) * torch.from_numpy(base)
    step = torch.from_numpy(base.copy() if per_row else base.reshape(1).copy()).requires_grad_()
    weights.requires_grad_()
    upstream = torch.randn(rows, columns, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fake_quantise(weights, step, bits=bits).backward(upstream)

    scaled = weights.detach().numpy() / base
    inside = (scaled >= low) & (scaled <= high)
    assert inside.any()
    assert not inside.all()
    np.testing.assert_allclose(weights.grad.numpy(), upstream.numpy() * inside)
    slope = np.where(inside, np.round(scaled) - scaled, np.where(scaled > high, high, low))
    sharing = columns if per_row else rows * columns
    total = (upstream.numpy() * slope).sum(axis=1 if per_row else None) / math.sqrt(sharing * high)
    np.testing.assert_allclose(step.grad.numpy().reshape(-1), np.atleast_1d(total), rtol=1e-12)


@pytest.mark.parametrize("bits", BITS)
def test_step_gradient_agrees_with_finite_differences_of_the_smooth_part(bits: int) -> None:
    """The integers are held: LSQ differentiates step * q with dq/dstep = -v/step^2 inside the range."""
    low, high = bounds(bits)
    weights, at, eps = _weights(0.05, bits), 0.05, 1e-5
    step = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    fake_quantise(weights, step, bits=bits).sum().backward()

    v = weights.numpy()
    offset = np.round(np.clip(v / at, low, high)) - np.clip(v / at, low, high)

    def surrogate(value: float) -> float:
        return float((value * (np.clip(v / value, low, high) + offset)).sum())

    slope = (surrogate(at + eps) - surrogate(at - eps)) / (2 * eps)
    assert float(step.grad) == pytest.approx(slope / math.sqrt(v.size * high), rel=1e-5)


@pytest.mark.parametrize("bits", BITS)
def test_weight_gradient_agrees_with_autograd_of_the_straight_through_idiom(bits: int) -> None:
    low, high = bounds(bits)
    first = _weights(0.05, bits).requires_grad_()
    second = first.detach().clone().requires_grad_()
    step = torch.tensor([0.05], dtype=torch.float64)
    fake_quantise(first, step, bits=bits).square().sum().backward()
    clipped = torch.clamp(second / step, low, high)
    ((clipped + (torch.round(clipped) - clipped).detach()) * step).square().sum().backward()
    torch.testing.assert_close(first.grad, second.grad)


@pytest.mark.parametrize("bits", BITS)
def test_stored_integers_give_what_training_saw(bits: int) -> None:
    weights = _weights(0.05, bits).float()
    for step in (torch.tensor([0.05]), torch.linspace(0.03, 0.08, 6)):
        column = step if step.numel() == 1 else step[:, None]
        seen = fake_quantise(weights, column, bits=bits).numpy()
        codes = quantise(weights.numpy(), step.numpy(), bits=bits)
        assert codes.dtype == (np.int16 if bits == 16 else np.int8)
        np.testing.assert_array_equal(dequantise(codes, step.numpy()), seen)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20),
    st.floats(2**-10, 1.0, width=32),
    st.sampled_from(BITS),
)
def test_error_is_at_most_half_a_step_inside_the_range(values: list[float], step: float, bits: int) -> None:
    low, high = bounds(bits)
    weights = np.array([values], np.float32)
    codes = quantise(weights, np.array([step], np.float32), bits=bits)
    assert codes.min() >= low
    assert codes.max() <= high
    inside = np.abs(weights / step) < high
    error = np.abs(dequantise(codes, np.array([step])) - weights)[inside]
    assert (error <= step * 0.5001 + 1e-4 * np.abs(weights[inside])).all()


@pytest.mark.parametrize("bits", BITS)
def test_initial_step_is_the_papers(bits: int) -> None:
    weights = torch.randn(7, 9, generator=torch.Generator().manual_seed(0))
    _, high = bounds(bits)
    one = initial_step(weights, bits=bits)
    assert one.shape == (1,)
    assert float(one) == pytest.approx(2 * float(weights.abs().mean()) / math.sqrt(high))
    rows = initial_step(weights, bits=bits, per_row=True)
    assert rows.shape == (7, 1)
    assert float(rows[3]) == pytest.approx(2 * float(weights[3].abs().mean()) / math.sqrt(high))


def test_a_codebook_of_zeros_still_has_a_positive_step() -> None:
    assert float(initial_step(torch.zeros(3, 4), bits=8)) > 0


@pytest.mark.parametrize("bits", BITS)
def test_steps_of_rows_are_those_of_each_row_alone(bits: int) -> None:
    rng = np.random.default_rng(3)
    weights = (rng.standard_normal((9, 40)) * np.geomspace(0.01, 10, 9)[:, None]).astype(np.float32)
    weights[4] = 0.0
    steps = least_error_step(weights, bits=bits, per_row=True)
    assert steps.shape == (9,)
    assert steps[4] == 1.0
    alone = [float(least_error_step(row[None], bits=bits)[0]) for row in weights]
    np.testing.assert_allclose(steps, alone, rtol=1e-6)


def test_32_bits_are_the_weights_themselves() -> None:
    weights = np.array([[1e-30, -3.5], [0.1, 7e20]], np.float32)
    step = least_error_step(weights, bits=32)
    assert step.tolist() == [1.0]
    stored = quantise(weights, step, bits=32)
    assert stored.dtype == np.float32
    assert dequantise(stored, step).tobytes() == stored.tobytes() == weights.tobytes()


@pytest.mark.parametrize("bits", [0, 5, 24, 64])
def test_widths_that_nothing_stores_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match=f"bits is {bits}; choose 4, 8 or 16, or 32"):
        check_bits(bits)
