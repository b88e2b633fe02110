"""Programs of a few stock operators, small enough to know every result, for tests of the native session.

`dense(x f32[B, 8], columns i64[K]) -> [x W^T + b, W[:, columns]]`, 1 <= B <= 16, 1 <= K <= 7.
`odd(x f32[3, 2]) -> [x, a constant, 2 x, 2 x]`: outputs that are an input, a constant and one value twice.
`finetune(users i64[B], items i64[B]) -> [loss, gradients, parameters]`, 2 <= B <= 32, parameters external.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
from executorch.exir.passes import MemoryPlanningPass
from executorch.exir.schema import ExecutionPlan, KernelCall
from numpy.typing import NDArray
from torch.export import Dim, ExportedProgram, export
from torch.export.experimental import _export_forward_backward

MAX_BATCH, MAX_COLUMNS, MAX_PAIRS = 16, 7, 32
CODES, DIM = 20, 4


@dataclass(frozen=True, slots=True)
class SmallProgram:
    """A program file with the weights that `dense` was traced with: float32 [5, 8] and [5]."""

    path: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Dense(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(x), torch.index_select(self.linear.weight, 1, columns)


class Odd(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("constant", torch.arange(6.0))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        twice = x * 2
        return x, self.constant, twice, twice


class Pairs(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codebook = torch.nn.Parameter(torch.randn(CODES, DIM))
        self.step = torch.nn.Parameter(torch.full((1,), 0.5))

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor]:
        rows = self.codebook * self.step
        users, items = (ids.unsqueeze(1).expand(-1, DIM) for ids in (users, items))
        return (torch.nn.functional.softplus(-(rows.gather(0, users) * rows.gather(0, items)).sum(1)).mean(),)


def lowered(methods: dict[str, ExportedProgram], *, trained: str | None = None) -> bytes:
    """One `.pte` of the methods; `trained` names the one whose parameters are external."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        edge = to_edge(methods, compile_config=EdgeCompileConfig(_check_ir_validity=False))
        if trained is not None:
            program = edge.exported_program(trained)
            for node in program.graph.nodes:
                if node.op == "placeholder" and node.target in program.graph_signature.inputs_to_parameters:
                    node.meta["constant_tag"] = "parameters"
        planning = MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=False)
        manager = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
    return bytes(manager.buffer)


def build(dense: Dense) -> bytes:
    """The program of the module's docstring."""
    batch, columns = Dim("batch", min=1, max=MAX_BATCH), Dim("columns", min=1, max=MAX_COLUMNS)
    pairs = Dim("pairs", min=2, max=MAX_PAIRS)
    ids = (torch.arange(4), torch.arange(4) + 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        methods = {
            "dense": export(
                dense,
                (torch.randn(3, 8), torch.arange(4)),
                strict=False,
                dynamic_shapes=({0: batch}, {0: columns}),
            ),
            "odd": export(Odd(), (torch.randn(3, 2),), strict=False),
            "finetune": _export_forward_backward(
                export(Pairs(), ids, strict=False, dynamic_shapes=({0: pairs}, {0: pairs}))
            ),
        }
    return lowered(methods, trained="finetune")


def edited(program: bytes, method: str, edit: Callable[[ExecutionPlan], None]) -> bytes:
    """The program with one method's plan changed by hand: what a careless or hostile maker could send."""
    file = deserialize_pte_binary(program)
    plan = next(plan for plan in file.program.execution_plan if plan.name == method)
    edit(plan)
    return bytes(serialize_pte_binary(file))


def calls(plan: ExecutionPlan) -> list[KernelCall]:
    """What its instructions call, in order."""
    return [instruction.instr_args for instruction in plan.chains[0].instructions]


def called(plan: ExecutionPlan, operator: str) -> KernelCall:
    """The first call of an operator, by its name with or without the overload."""
    for call in calls(plan):
        found = plan.operators[call.op_index]
        if operator in (found.name, f"{found.name}.{found.overload}"):
            return call
    raise LookupError(f"{plan.name} does not call {operator}")
