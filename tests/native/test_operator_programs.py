"""The programs that the kernels are tested through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from executorch.exir import schema
from executorch.exir._serialize._program import deserialize_pte_binary
from operator_programs import Call, GraphSpec, trace_program, write_program


def plans(path: Path) -> dict[str, schema.ExecutionPlan]:
    """Methods of a program, without the names of the Python containers that inputs came in."""
    plans = deserialize_pte_binary(path.read_bytes()).program.execution_plan
    return {plan.name: replace(plan, container_meta_type=schema.ContainerMetadata("", "")) for plan in plans}


@pytest.mark.parametrize("dynamic", [False, True])
def test_written_programs_are_those_that_tracing_gives(dynamic: bool, tmp_path: Path) -> None:
    calls = GraphSpec(users=23, items=31, dim=6, edges=90).calls(3)
    weights = torch.linspace(-1, 1, 24).reshape(4, 6)
    calls["quantiser"] = Call(
        "fake_quantise_grad_codebook", (weights, weights.flip(0), torch.full((4,), 0.1)), (8,)
    )
    written = write_program(tmp_path / "written.pte", calls, dynamic=dynamic)
    traced = trace_program(tmp_path / "traced.pte", calls, dynamic=dynamic)
    assert plans(written) == plans(traced)
