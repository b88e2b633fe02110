"""The reference operators against dense float64 matrices, finite differences and formulas written out."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch
from _operators import (
    CODES,
    DIM,
    FOLDED_PLACES,
    FOLDED_USERS,
    ITEMS,
    USERS,
    Case,
    folded_case,
    make,
)

from lerg_edge.codes import quantiser
from lerg_exporter.programs.native import ops

LERG = torch.ops.lerg


def slot_table(case: Case, propagated: np.ndarray, side: int) -> np.ndarray:
    own = propagated[:USERS] if side == 0 else propagated[USERS:]
    return np.concatenate([own, case.placeholders[side].numpy()])


@pytest.mark.parametrize("index", [torch.uint8, torch.uint16, torch.int32])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("per_row", [1, 2, 3])
def test_propagation_equals_dense_matrices(per_row: int, side: int, layers: int, index: torch.dtype) -> None:
    case = make(per_row, index)
    arguments = (case.codebook, *case.graph, case.placeholders[side])
    table = LERG.propagate_table(*arguments, side, layers, case.anchor_weight)
    rows = LERG.propagate_rows(*arguments, case.rows[side], side, layers, case.anchor_weight)
    expected = slot_table(case, case.dense(layers) @ case.codebook.numpy(), side)
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(rows, expected[case.rows[side]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("per_row", [1, 2, 3])
def test_gradient_is_the_dense_transpose(per_row: int, side: int, layers: int) -> None:
    case = make(per_row)
    rows = case.rows[side]
    grad = torch.tensor(np.random.default_rng(9).normal(size=(len(rows), DIM)))
    result = LERG.propagate_rows_grad(grad, *case.graph, rows, side, layers, case.anchor_weight, CODES)
    count, first = ((USERS, 0), (ITEMS, USERS))[side]
    retained = rows.numpy() < count
    matrix = case.dense(layers)[first + rows.numpy()[retained]]
    np.testing.assert_allclose(result, matrix.T @ grad.numpy()[retained], rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_blocks_are_put_side_by_side_and_propagated(blocks: int, side: int, layers: int) -> None:
    case = make(blocks)
    width, codes = DIM // blocks, np.concatenate([case.graph[0], case.graph[1]])
    book = case.codebook.numpy()
    first = np.zeros((USERS + ITEMS, DIM))
    for entity, block in np.ndindex(codes.shape):
        columns = slice(block * width, (block + 1) * width)
        first[entity, columns] = book[codes[entity, block], columns]
    powers = [np.linalg.matrix_power(case.adjacency, layer) @ first for layer in range(layers + 1)]
    expected = slot_table(case, sum(powers) / (layers + 1), side)
    arguments = (case.codebook, *case.graph, case.placeholders[side])
    table = LERG.propagate_table(*arguments, side, layers, 0.3, 32, True)
    rows = LERG.propagate_rows(*arguments, case.rows[side], side, layers, 0.3, 32, True)
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(rows, expected[case.rows[side]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("side", [0, 1])
def test_autograd_agrees_with_finite_differences(side: int, blocks: bool) -> None:
    case = make(2)

    def forward(codebook: torch.Tensor) -> torch.Tensor:
        where = (side, 3, case.anchor_weight, 32, blocks)
        return LERG.propagate_rows(codebook, *case.graph, case.placeholders[side], case.rows[side], *where)

    assert torch.autograd.gradcheck(forward, (case.codebook.clone().requires_grad_(),))


def lsq(weights: np.ndarray, steps: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, slope by weight and slope by step, one weight at a time, as the paper's cases read."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    value, by_weight, by_step = (np.zeros(weights.shape) for _ in range(3))
    for place, weight in np.ndenumerate(weights):
        step = steps[place[0] % len(steps)]
        ratio = weight / step
        if ratio < low:
            value[place], by_step[place] = low * step, low
        elif ratio > high:
            value[place], by_step[place] = high * step, high
        else:
            nearest = round(float(ratio))  # halves to even, as torch does
            value[place], by_weight[place], by_step[place] = nearest * step, 1, nearest - ratio
    return value, by_weight, by_step


def quantiser_inputs(bits: int, steps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(bits + steps)
    high = 2 ** (bits - 1) - 1
    step = torch.tensor(rng.uniform(0.5, 2, steps))
    # About a sixth of the weights are clipped at each end, and one sits on each tie and bound.
    codebook = torch.tensor(rng.uniform(-1.5, 1.5, (4, 7))) * high * step[:, None]
    codebook[0, :4] = torch.tensor([0.5, 1.5, high, -high - 1], dtype=torch.float64) * step[0]
    return codebook, step, torch.tensor(rng.normal(size=(4, 7)))


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_quantiser_follows_lsq_formula(bits: int, steps: int) -> None:
    codebook, step, grad = quantiser_inputs(bits, steps)
    value, by_weight, by_step = lsq(codebook.numpy(), step.numpy(), bits)
    contributions = grad.numpy() * by_step
    total = contributions.sum(1) if steps > 1 else contributions.sum(keepdims=True).ravel()
    total = total / math.sqrt(codebook.numel() / steps * (2 ** (bits - 1) - 1))

    codebook.requires_grad_()
    step.requires_grad_()
    result = LERG.fake_quantise(codebook, step, bits)
    np.testing.assert_allclose(result.detach(), value, rtol=1e-12)
    result.backward(grad)
    np.testing.assert_allclose(codebook.grad, grad.numpy() * by_weight, rtol=1e-12)
    np.testing.assert_allclose(step.grad, total, rtol=1e-9)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("bits", [4, 8])
def test_quantiser_gradients_agree_with_finite_differences(bits: int, steps: int) -> None:
    """Straight through: of step * (clip(v / step) + r), the residue r of rounding held fixed."""
    codebook, step, grad = quantiser_inputs(bits, steps)
    codebook[0, :4] *= 0.9  # off the bounds, where there is no derivative
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    clipped = (codebook / step[:, None]).clamp(low, high)
    residue = clipped.round() - clipped

    def surrogate(weights: torch.Tensor, steps: torch.Tensor) -> float:
        return float((grad * steps[:, None] * ((weights / steps[:, None]).clamp(low, high) + residue)).sum())

    scale = math.sqrt(codebook.numel() / steps * high)
    by_step = LERG.fake_quantise_grad_step(grad, codebook, step, bits) * scale
    by_weight = LERG.fake_quantise_grad_codebook(grad, codebook, step, bits)
    width = 1e-6
    for place in range(steps):
        nudge = torch.zeros(steps, dtype=torch.float64)
        nudge[place] = width
        slope = (surrogate(codebook, step + nudge) - surrogate(codebook, step - nudge)) / (2 * width)
        assert float(by_step[place]) == pytest.approx(slope, rel=1e-5, abs=1e-5)
    for place in np.ndindex(*codebook.shape):
        nudge = torch.zeros_like(codebook)
        nudge[place] = width
        slope = (surrogate(codebook + nudge, step) - surrogate(codebook - nudge, step)) / (2 * width)
        assert float(by_weight[place]) == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_quantiser_equals_the_one_that_trains() -> None:
    codebook, step, grad = quantiser_inputs(8, 4)
    results = []
    for function in (
        lambda weights, steps: LERG.fake_quantise(weights, steps, 8),
        lambda weights, steps: quantiser.fake_quantise(weights, steps[:, None], bits=8),
    ):
        leaves = codebook.clone().requires_grad_(), step.clone().requires_grad_()
        function(*leaves).backward(grad)
        results.append([leaf.grad.numpy() for leaf in leaves])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_dequantise_unpacks_low_nibble_first() -> None:
    packed = torch.tensor([[0x80, 0xF7], [0x10, 0x29]], dtype=torch.uint8)
    assert LERG.dequantise(packed, torch.tensor([1.0, 2.0]), 4).tolist() == [[0, -8, 7, -1], [0, 2, -14, 4]]


@pytest.mark.parametrize(("bits", "dtype"), [(8, torch.int8), (16, torch.int16)])
def test_dequantise_multiplies_by_the_step(bits: int, dtype: torch.dtype) -> None:
    codes = torch.tensor([[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 3]], dtype=dtype)
    assert LERG.dequantise(codes, torch.tensor([0.5]), bits).tolist() == [
        [-(2.0 ** (bits - 2)), 2.0 ** (bits - 2) - 0.5, 1.5]
    ]


def test_top_items_breaks_ties_by_item_and_marks_what_is_missing() -> None:
    user_rows = torch.tensor([[1.0], [-1.0], [math.nan]])
    item_table = torch.tensor([[2.0], [1.0], [3.0]])
    item_slots = torch.tensor([1, 0, 2, 0, 1], dtype=torch.int32)  # scores 1 2 3 2 1
    seen = torch.zeros(3, 5, dtype=torch.bool)
    seen[0, 2] = True
    items = LERG.top_items(user_rows, item_table, item_slots, seen, torch.arange(6))
    assert items.tolist() == [[1, 3, 0, 4, -1, -1], [0, 4, 1, 3, 2, -1], [-1] * 6]
    scores = LERG.score_items(user_rows[:2], item_table, item_slots, items[:2])
    nothing = -math.inf
    assert scores.tolist() == [[2, 2, 1, 1, nothing, nothing], [-1, -1, -2, -2, -3, nothing]]


def operator_inputs() -> dict[str, tuple[object, ...]]:
    case = make(2, torch.uint16, torch.float32)
    entries, triples, rest = folded_case(torch.float32)
    places = (FOLDED_USERS, FOLDED_PLACES[0])
    made = torch.randn(12, DIM)
    trained = case.codebook.clone().requires_grad_()
    step = torch.tensor([0.1], requires_grad=True)
    grad = torch.ones(CODES, DIM)
    where = (0, 2, case.anchor_weight)
    slots = torch.arange(5, dtype=torch.int32)
    catalogue = (torch.randn(3, 4), torch.randn(5, 4), slots)
    codes = (torch.randn(3, 4), torch.randint(-127, 128, (5, 4), dtype=torch.int8), torch.rand(5), slots)
    return {
        "fake_quantise": (trained, step, 8),
        "fake_quantise_grad_codebook": (grad, case.codebook, step.detach(), 8),
        "fake_quantise_grad_step": (grad, case.codebook, step.detach(), 8),
        "dequantise": (torch.ones(3, 2, dtype=torch.uint8), step.detach(), 4),
        "propagate_rows": (trained, *case.graph, case.placeholders[0], case.rows[0], *where),
        "propagate_rows_grad": (torch.ones(6, DIM), *case.graph, case.rows[0], *where, CODES),
        "propagate_table": (case.codebook, *case.graph, case.placeholders[0], *where),
        "folded_rows": (case.codebook, step.detach(), *entries, rest, *triples, *places, 8),
        "folded_loss": (made, trained, step, *entries, *triples, FOLDED_USERS, 8, 0.1),
        "folded_loss_grad": (torch.tensor(2.0), made, *entries, *triples, FOLDED_USERS, CODES, 0.1),
        "folded_table": (
            torch.ones(CODES, DIM, dtype=torch.int8),
            step.detach(),
            *entries,
            rest,
            *places,
            1,
            8,
        ),
        "top_items": (*catalogue, torch.zeros(3, 5, dtype=torch.bool), torch.arange(2)),
        "score_items": (*catalogue, torch.tensor([[0, 4, -1]] * 3)),
        "row_scales": (torch.randn(5, 4),),
        "quantise_rows": (torch.randn(5, 4),),
        "top_items_int8": (*codes, torch.zeros(3, 5, dtype=torch.bool), torch.arange(2)),
        "score_items_int8": (*codes, torch.tensor([[0, 4, -1]] * 3)),
    }


@pytest.mark.parametrize("name", sorted(operator_inputs()))
def test_operator_traces_with_its_true_shape(name: str) -> None:
    inputs = operator_inputs()[name]
    torch.library.opcheck(getattr(LERG, name).default, inputs)
    detached = tuple(value.detach() if isinstance(value, torch.Tensor) else value for value in inputs)
    result = getattr(LERG, name)(*detached)
    out = torch.empty(0, dtype=result.dtype)
    assert torch.equal(getattr(LERG, name).out(*detached, out=out), result)
    assert torch.equal(out, result)


def test_operators_are_all_of_the_contract() -> None:
    assert set(ops.OPERATORS) == set(operator_inputs())


def test_importing_again_leaves_the_operators_alone() -> None:
    before = LERG.propagate_rows.default
    importlib.reload(ops)
    assert torch.ops.lerg.propagate_rows.default is before
