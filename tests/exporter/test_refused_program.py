"""The exporter writes no program that a device would refuse."""

from __future__ import annotations

import pytest
import torch

from lerg_edge.errors import LergError
from lerg_exporter.bundles.measure import footprints
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.trace import trace


class Tangent(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tan(x)


def test_an_operator_outside_the_table_is_not_written() -> None:
    method = Method(module=Tangent(), inputs={"x": torch.zeros(3)}, dynamic={"x": {}}, outputs=("y",))
    with pytest.raises(
        LergError,
        match=r"devices would refuse .* method encode, instruction 0 \(aten::tan.out\): no program may",
    ):
        footprints(trace({"encode": method}), slots=(1, 1))
