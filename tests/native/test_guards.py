"""What stock kernels trust too far: an error where they would read beyond a tensor or end the process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from _small_programs import called, edited, lowered
from torch.export import export

from lerg_runtime import _native
from lerg_runtime.errors import LergRuntimeError

if TYPE_CHECKING:
    from executorch.exir.schema import ExecutionPlan

pytestmark = pytest.mark.native


class Divided(torch.nn.Module):
    def forward(self, a: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return torch.div(a, by, rounding_mode="floor")


class Joined(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, y[:2]])


def loaded(folder: Path, program: bytes, method: str) -> _native.Method:
    path = folder / "p.pte"
    path.write_bytes(program)
    return _native.Program(str(path), _native.Budget(1 << 26)).load(method)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_the_lowest_integer_by_minus_one(tmp_path: Path, dtype: type) -> None:
    pair = (torch.from_numpy(np.ones(3, dtype)), torch.from_numpy(np.ones(3, dtype)))
    method = loaded(tmp_path, lowered({"divided": export(Divided(), pair, strict=False)}), "divided")
    a = np.array([np.iinfo(dtype).min, -7, 7], dtype)
    (result,) = method.execute(a, np.array([1, 2, 2], dtype))
    assert result.tolist() == [np.iinfo(dtype).min, -4, 3]
    for divisor in (-1, 0):
        with pytest.raises(LergRuntimeError, match="a divisor is not above 0"):
            method.execute(a, np.full(3, divisor, dtype))


def test_joining_with_nothing_of_another_width(tmp_path: Path) -> None:
    pair = (torch.zeros(3, 8), torch.zeros(5, 8))
    program = lowered({"joined": export(Joined(), pair, strict=False)})
    (result,) = loaded(tmp_path, program, "joined").execute(
        np.ones((3, 8), np.float32), np.full((5, 8), 2, np.float32)
    )
    assert result[:, 0].tolist() == [1, 1, 1, 2, 2]

    def widen_nothing(plan: ExecutionPlan) -> None:
        part = called(plan, "aten::slice_copy")
        plan.values[part.args[3]].val.int_val = 0
        plan.values[part.args[0]].val.sizes = [5, 1000]
        plan.values[part.args[5]].val.sizes = [0, 1000]
        plan.values[plan.outputs[0]].val.sizes = [3, 1000]

    method = loaded(tmp_path, edited(program, "joined", widen_nothing), "joined")
    with pytest.raises(LergRuntimeError, match="tensors of several shapes cannot be joined"):
        method.execute(np.ones((3, 8), np.float32), np.ones((5, 1000), np.float32))
