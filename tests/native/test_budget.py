"""Every byte that a session holds is counted, bounded and given back."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lerg_runtime import _native
from lerg_runtime.errors import BudgetError

if TYPE_CHECKING:
    from _small_programs import SmallProgram

pytestmark = pytest.mark.native

X, IDS = np.ones((16, 8), np.float32), np.arange(4)
LARGE = 1 << 20


def test_an_array_is_counted_until_its_last_view_is_gone() -> None:
    budget = _native.Budget(1000)
    array = budget.empty((3, 5), "float32")
    assert (array.shape, array.dtype, array.flags.writeable) == ((3, 5), np.float32, True)
    assert array.ctypes.data % 64 == 0
    assert budget.used == 64
    view = array[1:]
    del array
    assert budget.used == 64
    del view
    assert (budget.used, budget.peak, budget.limit) == (0, 64, 1000)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool"])
def test_arrays_of_each_type_hold_what_is_written(dtype: str) -> None:
    array = _native.Budget(0).empty([2, 3], dtype)
    array[...] = np.arange(6).reshape(2, 3) % 2
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == (np.arange(6).reshape(2, 3) % 2).astype(dtype).tolist()


def test_a_large_array_is_counted_and_given_back_too() -> None:
    budget = _native.Budget(2 * LARGE)
    arrays = [budget.empty([LARGE], "uint8") for _ in range(2)]
    with pytest.raises(BudgetError):
        budget.empty([1], "uint8")
    arrays.clear()
    assert budget.empty([2 * LARGE], "uint8").nbytes == budget.used == 2 * LARGE


def test_a_refusal_says_what_was_asked_and_allocates_nothing() -> None:
    budget = _native.Budget(1000)
    held = budget.empty([100], "uint8")
    with pytest.raises(
        BudgetError, match=r"float32 \[300\] needs 1216 bytes, but only 872 .* of 1000"
    ) as refused:
        budget.empty([300], "float32")
    assert refused.value.items == (("an array of float32 [300]", 1216),)
    assert (refused.value.needed_bytes, refused.value.budget_bytes) == (1344, 1000)
    assert budget.used == budget.peak == 128
    del held


@pytest.mark.parametrize("shape", [[-1], [2**31], [2**30, 2**30, 2**30]])
def test_impossible_shapes(shape: list[int]) -> None:
    with pytest.raises((ValueError, BudgetError)):
        _native.Budget(1 << 30).empty(shape, "float32")


def test_impossible_arguments() -> None:
    with pytest.raises(ValueError, match="limit_bytes must not be negative"):
        _native.Budget(-1)
    with pytest.raises(ValueError, match="not complex64"):
        _native.Budget(0).empty([1], "complex64")


def test_all_of_a_session_is_given_back(small: SmallProgram) -> None:
    budget = _native.Budget(0)
    program = _native.Program(small.path, budget)
    assert budget.used == 0
    method = program.load("dense", scratch_bytes=4096)
    loaded = budget.used
    assert loaded >= 160 + 4096
    results = method.execute(X, IDS)
    assert budget.used == loaded + 320 + 192  # two outputs at their largest, in units of 64
    del results
    assert budget.used == loaded
    del method
    gc.collect()
    assert budget.used == 0


def test_a_refused_load_gives_back_what_it_took(small: SmallProgram) -> None:
    measured = _native.Budget(0)
    method = _native.Program(small.path, measured).load("dense")
    needed = measured.used
    for limit in range(64, needed, 320):
        budget = _native.Budget(limit)
        with pytest.raises(BudgetError):
            _native.Program(small.path, budget).load("dense")
        assert budget.used == 0
        assert budget.peak <= limit
    budget = _native.Budget(measured.peak)
    again = _native.Program(small.path, budget).load("dense")
    assert budget.used == needed
    del method, again


def test_outputs_that_do_not_fit_are_refused_before_the_run(small: SmallProgram) -> None:
    budget = _native.Budget(LARGE)
    method = _native.Program(small.path, budget).load("dense")
    rest = budget.empty([LARGE - budget.used - 320], "uint8")  # room for the first output alone
    before = budget.used
    with pytest.raises(BudgetError, match="an output of dense"):
        method.execute(X, IDS)
    assert budget.used == before
    del rest


def test_measured_scratch_is_enough_and_less_is_refused(small: SmallProgram) -> None:
    program = _native.Program(small.path, _native.Budget(0))
    given = {"codebook": np.ones((20, 4), np.float32), "step": np.ones(1, np.float32)}
    measuring = program.load("finetune", given)
    expected = measuring.execute(np.arange(32) % 20, np.arange(32) % 7)
    peak = measuring.scratch_peak
    assert peak > 0
    exact = program.load("finetune", given, scratch_bytes=peak)
    for value, other in zip(exact.execute(np.arange(32) % 20, np.arange(32) % 7), expected, strict=True):
        np.testing.assert_array_equal(value, other)
    assert exact.scratch_peak == peak


def test_negative_scratch_is_refused(small: SmallProgram) -> None:
    with pytest.raises(ValueError, match="scratch_bytes must not be negative"):
        _native.Program(small.path, _native.Budget(0)).load("dense", scratch_bytes=-1)


def test_what_the_system_does_not_have_is_said_with_its_size() -> None:
    budget = _native.Budget(0)
    with pytest.raises(MemoryError, match=r"needs \d{16} bytes, which the system does not have$"):
        budget.empty((2**31 - 1, 2**20), "uint8")  # more than a process has addresses
    assert budget.used == 0
