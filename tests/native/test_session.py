"""The native session: programs run as traced, in the caller's arrays, and errors have names."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from lerg_runtime import _native
from lerg_runtime.errors import LergRuntimeError

if TYPE_CHECKING:
    from _small_programs import SmallProgram

pytestmark = pytest.mark.native

IDS = np.arange(4)


def parameters() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return {
        "codebook": rng.standard_normal((20, 4), dtype=np.float32),
        "step": np.full(1, 0.5, np.float32),
    }


def load(small: SmallProgram, method: str, **options: object) -> _native.Method:
    return _native.Program(small.path, _native.Budget(0)).load(method, **options)  # type: ignore[arg-type]


@pytest.fixture
def dense(small: SmallProgram) -> _native.Method:
    return load(small, "dense")


@pytest.fixture
def batch() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((16, 8), dtype=np.float32)


def test_what_a_program_says_about_itself(small: SmallProgram) -> None:
    program = _native.Program(small.path, _native.Budget(0))
    assert {"dense", "odd", "finetune"} <= set(program.methods())
    assert program.operators("dense") == [
        "aten::permute_copy.out",
        "aten::addmm.out",
        "aten::index_select.out",
    ]
    method = program.load("dense")
    assert method.name == "dense"
    assert method.input_specs == [("float32", (16, 8)), ("int64", (7,))]
    assert method.output_specs == [("float32", (16, 5)), ("float32", (5, 7))]
    assert method.arena_bytes == program.arena_bytes("dense") == [160]


@pytest.mark.parametrize("rows", [1, 2, 15, 16])
@pytest.mark.parametrize("columns", [1, 7])
def test_every_size_up_to_the_largest(
    small: SmallProgram, dense: _native.Method, batch: NDArray[np.float32], rows: int, columns: int
) -> None:
    chosen = np.arange(columns) % 3
    product, picked = dense.execute(batch[:rows], chosen)
    np.testing.assert_allclose(product, batch[:rows] @ small.weight.T + small.bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(picked, small.weight[:, chosen])


def test_a_batch_equals_its_single_rows(dense: _native.Method, batch: NDArray[np.float32]) -> None:
    together = dense.execute(batch, IDS)[0].copy()
    for row in range(len(batch)):
        np.testing.assert_allclose(dense.execute(batch[row : row + 1], IDS)[0][0], together[row], rtol=1e-6)


def test_results_are_written_to_the_given_arrays(dense: _native.Method, batch: NDArray[np.float32]) -> None:
    expected = dense.execute(batch, IDS)
    target = np.full((16, 5), np.nan, np.float32)
    whole, other = dense.execute(batch, IDS, outputs=[target, None])
    assert whole is target
    np.testing.assert_array_equal(target, expected[0])
    np.testing.assert_array_equal(other, expected[1])
    part, _ = dense.execute(batch[:3], IDS, outputs=[target, None])
    assert part.shape == (3, 5)
    assert np.shares_memory(part, target)


def test_a_result_outlives_its_method(small: SmallProgram, batch: NDArray[np.float32]) -> None:
    result = load(small, "dense").execute(batch[:3], IDS)[0]
    np.testing.assert_allclose(result, batch[:3] @ small.weight.T + small.bias, rtol=1e-5, atol=1e-6)


def test_inputs_are_not_written_and_may_be_read_only(
    dense: _native.Method, batch: NDArray[np.float32]
) -> None:
    before = batch.copy()
    batch.flags.writeable = False
    dense.execute(batch, IDS)
    np.testing.assert_array_equal(batch, before)


def test_outputs_that_are_inputs_constants_or_repeated(small: SmallProgram) -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    odd = load(small, "odd")
    for _ in range(2):  # what the first run left behind must not matter
        same, constant, twice, again = odd.execute(x)
        np.testing.assert_array_equal(same, x)
        assert not np.shares_memory(same, x)
        np.testing.assert_array_equal(constant, np.arange(6))
        np.testing.assert_array_equal(twice, 2 * x)
        np.testing.assert_array_equal(again, 2 * x)
        assert not np.shares_memory(twice, again)
        constant[:] = -1  # the program's own is not the caller's to change


def test_parameters_are_the_callers_arrays(small: SmallProgram) -> None:
    given = parameters()
    finetune = load(small, "finetune", parameters=given)
    loss, *_, codebook, step = finetune.execute(IDS, IDS + 5)
    assert codebook is given["codebook"]
    assert step is given["step"]
    given["codebook"][:] = 0
    assert finetune.execute(IDS, IDS + 5)[0] == pytest.approx(np.log(2))
    assert loss != pytest.approx(np.log(2))


def test_an_array_given_for_a_parameter_output_is_left_alone(small: SmallProgram) -> None:
    given = parameters()
    finetune = load(small, "finetune", parameters=given)
    bait = np.full((20, 4), 7, np.float32)
    results = finetune.execute(IDS, IDS + 5, outputs=[None, None, None, bait, None])
    assert results[3] is given["codebook"]
    assert np.all(bait == 7)
    # Were the parameter moved to the output's memory, the next loss would be that of the bait.
    assert finetune.execute(IDS, IDS + 5)[0] == results[0]


def test_gradients_are_those_of_eager_torch(small: SmallProgram) -> None:
    import torch

    given = parameters()
    users, items = np.array([0, 3, 3, 19]), np.array([5, 6, 3, 0])
    loss, codebook_gradient, step_gradient, *_ = load(small, "finetune", parameters=given).execute(
        users, items
    )
    codebook = torch.tensor(given["codebook"], requires_grad=True)
    step = torch.tensor(given["step"], requires_grad=True)
    rows = codebook * step
    eager = torch.nn.functional.softplus(-(rows[users] * rows[items]).sum(1)).mean()
    eager.backward()
    assert codebook.grad is not None
    assert step.grad is not None
    assert loss == pytest.approx(eager.item(), rel=1e-6)
    np.testing.assert_allclose(codebook_gradient, codebook.grad.numpy(), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(step_gradient, step.grad.numpy(), rtol=1e-5)


def test_descending_lowers_the_loss(small: SmallProgram) -> None:
    given = parameters()
    finetune = load(small, "finetune", parameters=given)
    losses = []
    for _ in range(20):
        loss, gradient, *_ = finetune.execute(IDS, IDS + 5)
        losses.append(float(loss))
        _native.sgd_step(given["codebook"], gradient, None, learning_rate=0.5)
    assert losses[-1] < losses[0] - 0.1


X, WIDE = np.zeros((3, 8), np.float32), np.zeros((3, 9), np.float32)
BAD_CALLS = {
    "too few inputs": (lambda m: m.execute(X), "dense takes 2 inputs, but 1"),
    "a list": (lambda m: m.execute([1.0], IDS), "dense: input 0 must be a numpy array"),
    "another type": (lambda m: m.execute(X, IDS.astype(np.int32)), "input 1 must be int64, but is int32"),
    "strings": (lambda m: m.execute(X, np.array(["a"])), "input 1 must be a numpy array"),
    "another rank": (lambda m: m.execute(X[0], IDS), "input 0 must have 2 dimensions, but has 1"),
    "too large": (
        lambda m: m.execute(np.zeros((17, 8), np.float32), IDS),
        r"up to \[16, 8\], but has \[17, 8\]",
    ),
    "too wide": (lambda m: m.execute(WIDE, IDS), r"input 0 .* but has \[3, 9\]"),
    "empty": (lambda m: m.execute(X[:0], IDS), "input 0 must be from 1"),
    "strided": (
        lambda m: m.execute(np.zeros((3, 16), np.float32)[:, ::2], IDS),
        "input 0 must be contiguous",
    ),
    "column-major": (lambda m: m.execute(np.asfortranarray(X), IDS), "input 0 must be contiguous"),
    "too few outputs": (lambda m: m.execute(X, IDS, outputs=[None]), "dense has 2 outputs, but 1"),
    "a small output": (lambda m: m.execute(X, IDS, outputs=[np.zeros((3, 5), np.float32), None]), "room for"),
    "an output's type": (
        lambda m: m.execute(X, IDS, outputs=[np.zeros((16, 5)), None]),
        "output 0 must be float32",
    ),
    "a fixed output": (
        lambda m: m.execute(X, IDS, outputs=[np.broadcast_to(np.float32(0), (16, 5)), None]),
        "output 0 must be writable",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_call_names_the_rule_that_it_breaks(dense: _native.Method, name: str) -> None:
    call, message = BAD_CALLS[name]
    with pytest.raises(ValueError, match=message):
        call(dense)
    assert len(dense.execute(X, IDS)) == 2  # and the method still works


def test_a_fixed_shape_must_be_met(small: SmallProgram) -> None:
    with pytest.raises(ValueError, match=r"odd: input 0 must have the shape \[3, 2\], but has \[2, 2\]"):
        load(small, "odd").execute(np.zeros((2, 2), np.float32))


BAD_PARAMETERS = {
    "none": ({}, "finetune needs the parameter codebook"),
    "one missing": ({"codebook": np.zeros((20, 4), np.float32)}, "finetune needs the parameter step"),
    "a shape": (
        parameters() | {"codebook": np.zeros((19, 4), np.float32)},
        "finetune: the parameter codebook does not fit: Sizes mismatch",
    ),
    "a type": (parameters() | {"step": np.ones(1)}, "the parameter step must be float32, but is float64"),
    "a fixed one": (
        parameters() | {"codebook": np.broadcast_to(np.float32(0), (20, 4))},
        "the parameter codebook must be writable",
    ),
}


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_a_bad_parameter_is_named(small: SmallProgram, name: str) -> None:
    given, message = BAD_PARAMETERS[name]
    with pytest.raises(ValueError, match=message):
        load(small, "finetune", parameters=given)


def test_a_method_that_is_not_there(small: SmallProgram) -> None:
    with pytest.raises(ValueError, match="has no method named absent"):
        load(small, "absent")


def test_a_failing_operator_names_method_and_error(
    small: SmallProgram, dense: _native.Method, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LergRuntimeError, match=r"dense failed with Error::InvalidArgument: .*99"):
        dense.execute(X, IDS + 99)
    np.testing.assert_array_equal(dense.execute(X, IDS)[1], small.weight[:, :4])
    assert capfd.readouterr() == ("", "")  # the reason is in the exception and nowhere else


def test_events_name_each_call(small: SmallProgram) -> None:
    method = load(small, "dense", trace=True)
    assert method.events() == []
    for _ in range(2):
        method.execute(X, IDS)
        names, times = zip(*method.events(), strict=True)
        assert names == ("aten::permute_copy.out", "aten::addmm.out", "aten::index_select.out")
        assert all(0 <= milliseconds < 10_000 for milliseconds in times)
    untraced = load(small, "dense")
    untraced.execute(X, IDS)
    assert untraced.events() == []


def test_threads_take_turns(small: SmallProgram, dense: _native.Method, batch: NDArray[np.float32]) -> None:
    wrong: list[int] = []

    def run(rows: int) -> None:
        expected = batch[:rows] @ small.weight.T + small.bias
        for _ in range(200):
            if not np.allclose(dense.execute(batch[:rows], IDS)[0], expected, rtol=1e-5, atol=1e-5):
                wrong.append(rows)

    threads = [threading.Thread(target=run, args=(rows,)) for rows in (3, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_build_info_and_threads() -> None:
    info = _native.build_info()
    assert info["executorch"].startswith("1.5.")
    known = {
        "avx512": {"avx512", "vnni"},
        "avx2": {"avx2"},
        "generic": {"generic"},
        "neon": {"neon", "dotprod"},
    }
    assert info["codes"] in known[info["isa"]]
    assert info["rows"] in known[info["isa"]] - {"dotprod"}
    assert info["half"] == {"generic": "software", "neon": "neon"}.get(info["isa"], "f16c")
    try:
        _native.set_threads(3)
        assert _native.build_info()["threads"] == 3
    finally:
        _native.set_threads(info["threads"])
    with pytest.raises(ValueError, match="count must be from 1"):
        _native.set_threads(0)
