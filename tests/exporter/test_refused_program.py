"""The exporter writes no program that a device would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import ModelFactory

from lerg_edge.errors import LergError
from lerg_exporter.bundles.measure import footprints
from lerg_exporter.programs import trace as programs
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_runtime.programs import check_program


class Tangent(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tan(x)


def test_an_operator_outside_the_table_is_not_written() -> None:
    method = Method(module=Tangent(), inputs={"x": torch.zeros(3)}, dynamic={"x": {}}, outputs=("y",))
    with pytest.raises(
        LergError,
        match=r"devices would refuse .* method encode, instruction 0 \(aten::tan.out\): no program may",
    ):
        footprints(programs.trace({"encode": method}), slots=(1, 1))


@pytest.mark.parametrize("kept", [33_000, 66_000])
def test_portable_programs_of_many_entities_pass_the_check(
    make_model: ModelFactory, kept: int, tmp_path: Path
) -> None:
    """Above 32,768 and 65,536 indices are stored in other types, and widened by other operators."""
    model = make_model(users=kept + 500, items=300, kept_users=kept, kept_items=200, edges=kept, layers=1)
    limits = ProgramLimits(max_batch=8, max_users=1, max_k=10, l2=1e-4)
    file = tmp_path / "model.pte"
    file.write_bytes(programs.trace(methods_of(model, limits, lowering="portable")).data)
    check_program(file)
