"""Tiny programs of one operator each, and the graphs to run them on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from executorch.exir import schema
from executorch.exir._serialize._program import PTEFile, serialize_pte_binary
from executorch.exir.tensor import scalar_type_enum
from torch._subclasses.fake_tensor import FakeTensorMode

import lerg_exporter.programs.native.ops  # noqa: F401 - defines torch.ops.lerg


@dataclass(frozen=True)
class Call:
    """One operator applied to tensors, which become the program's inputs, and numbers, which it carries."""

    operator: str
    tensors: tuple[torch.Tensor, ...]
    numbers: tuple[float, ...] = ()

    def arrays(self) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in self.tensors]

    def expected(self) -> np.ndarray:
        """What the reference gives, worked out in float64."""
        wide = [tensor.double() if tensor.dtype == torch.float32 else tensor for tensor in self.tensors]
        return getattr(torch.ops.lerg, self.operator)(*wide, *self.numbers).numpy()


Runner = Callable[[dict[str, Call]], dict[str, np.ndarray]]
"""Runs calls, each a program of its own, and gives their results by name."""


MOST = (70_000, 128)


def write_program(
    path: Path, calls: Mapping[str, Call], *, dynamic: bool = False, most: tuple[int, int] = MOST
) -> Path:
    """One method for each call, memory of inputs and outputs the caller's.

    With `dynamic` every dimension of every input may have another size when the program runs, up to `most`.

    A program of one operator is written down rather than traced, which takes a thousandth of the time;
    `test_written_programs_are_those_that_tracing_gives` holds the two to be the same.
    """
    program = schema.Program(
        version=0,
        execution_plan=[_plan(name, call, most if dynamic else None) for name, call in calls.items()],
        constant_buffer=[],
        backend_delegate_data=[],
        segments=[schema.DataSegment(offset=0, size=0)],
        constant_segment=schema.SubsegmentOffsets(segment_index=0, offsets=[0]),
    )
    path.write_bytes(bytes(serialize_pte_binary(PTEFile(program=program))))
    return path


def trace_program(
    path: Path, calls: Mapping[str, Call], *, dynamic: bool = False, most: tuple[int, int] = MOST
) -> Path:
    """The same program as `write_program`, by the exporter's way: torch.export and ExecuTorch's emitter."""
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
    from executorch.exir.passes import MemoryPlanningPass

    methods = {}
    for name, call in calls.items():
        sizes = tuple(
            {axis: torch.export.Dim(f"s{i}_{axis}", min=1, max=most[axis]) for axis in range(tensor.dim())}
            for i, tensor in enumerate(call.tensors)
        )
        shapes = (sizes,) if dynamic else None
        methods[name] = torch.export.export(_Apply(call), call.tensors, dynamic_shapes=shapes, strict=False)
    edge = to_edge(methods, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    planning = MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=False)
    path.write_bytes(edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning)).buffer)
    return path


class _Apply(torch.nn.Module):
    def __init__(self, call: Call) -> None:
        super().__init__()
        self.operator = getattr(torch.ops.lerg, call.operator)
        self.numbers = call.numbers

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.operator(*tensors, *self.numbers)


def _plan(name: str, call: Call, most: tuple[int, int] | None) -> schema.ExecutionPlan:
    """A method that calls the operator's `.out` form: inputs, the output, then the numbers."""
    operator = getattr(torch.ops.lerg, call.operator).default
    shapes = [tuple(tensor.shape) if most is None else most[: tensor.dim()] for tensor in call.tensors]
    with FakeTensorMode():
        inputs = [torch.empty(shape, dtype=t.dtype) for shape, t in zip(shapes, call.tensors, strict=True)]
        output = operator(*inputs, *call.numbers)
    arguments = operator._schema.arguments[len(inputs) :]
    given = [*call.numbers, *(argument.default_value for argument in arguments[len(call.numbers) :])]
    numbers = [_number(value, argument.type) for value, argument in zip(given, arguments, strict=True)]
    count = len(inputs)
    read = [*range(count), *range(count + 1, count + 1 + len(numbers))]
    return schema.ExecutionPlan(
        name=name,
        container_meta_type=schema.ContainerMetadata("", ""),
        values=[schema.EValue(value) for value in (*(_tensor(t, most) for t in (*inputs, output)), *numbers)],
        inputs=list(range(count)),
        outputs=[count],
        chains=[
            schema.Chain(
                inputs=[],
                outputs=[],
                instructions=[schema.Instruction(schema.KernelCall(0, [*read, count, count]))],
                stacktrace=None,
            )
        ],
        operators=[schema.Operator(f"lerg::{call.operator}", "out")],
        delegates=[],
        non_const_buffer_sizes=[0, 0],
    )


def _tensor(like: torch.Tensor, most: tuple[int, int] | None) -> schema.Tensor:
    return schema.Tensor(
        scalar_type=scalar_type_enum(like.dtype),
        storage_offset=0,
        sizes=list(like.shape),
        dim_order=list(range(like.dim())),
        requires_grad=False,
        layout=0,
        data_buffer_idx=0,
        allocation_info=None,
        shape_dynamism=schema.TensorShapeDynamism(int(most is not None)),
    )


def _number(value: float, kind: torch.Type) -> schema.Bool | schema.Double | schema.Int:
    if kind.kind() == "BoolType":
        return schema.Bool(bool(value))
    return schema.Double(float(value)) if kind.kind() == "FloatType" else schema.Int(int(value))


_RUN_ELSEWHERE = """
import sys, numpy as np
from lerg_runtime import _native
program = _native.Program(sys.argv[1], _native.Budget(0))
inputs = np.load(sys.argv[2])
results = {}
for name in sorted({key.rsplit("/", 1)[0] for key in inputs}):
    count = sum(key.rsplit("/", 1)[0] == name for key in inputs)
    method = program.load(name.split(" of ")[0])
    results[name] = method.execute(*[inputs[f"{name}/{i}"] for i in range(count)])[0]
np.savez(sys.argv[3], isa=_native.build_info()["isa"], **results)
"""


def run_with_isa(isa: str, program: Path, calls: Mapping[str, Call], folder: Path) -> Any:
    """Results of calls by name, from another process with LERG_ISA set; skips where the processor lacks it.

    A method is named by its call, or by what stands before " of " in the call's name.
    """
    inputs = {f"{name}/{i}": array for name, call in calls.items() for i, array in enumerate(call.arrays())}
    np.savez(folder / "inputs.npz", **inputs)
    files = [str(program), str(folder / "inputs.npz"), str(folder / f"{isa}.npz")]
    environment = {**os.environ, "LERG_ISA": isa}
    subprocess.run([sys.executable, "-c", _RUN_ELSEWHERE, *files], check=True, env=environment)
    results = np.load(files[2])
    if results["isa"] != isa:
        pytest.skip(f"this processor runs {results['isa']} when asked for {isa}")
    return results


@dataclass(frozen=True)
class GraphSpec:
    """Sizes of a generated graph, and the types of what is stored."""

    users: int
    items: int
    dim: int
    edges: int
    codebook_rows: int = 11
    per_row: int = 2
    code_type: torch.dtype = torch.uint16
    index_type: torch.dtype = torch.uint16
    requests: int = 9
    blocks: bool = False

    def tensors(self) -> dict[str, Any]:
        """Rows without edges are common; the last user and the last item are joined, whatever the sizes."""
        rng = np.random.default_rng(self.users * 31 + self.items * 7 + self.dim)
        cells = np.unique(rng.integers(0, self.users * self.items, self.edges))
        if self.edges:
            cells = np.union1d(cells, [self.users * self.items - 1])
        indptr = np.searchsorted(cells, np.arange(self.users + 1) * self.items)
        counts, centroids = (self.users, self.items), 3

        def floats(*shape: int) -> torch.Tensor:
            return torch.tensor(rng.normal(size=shape), dtype=torch.float32)

        requests = [rng.integers(0, count + centroids, self.requests) for count in counts]
        for side, count in enumerate(counts):
            # A row twice, the last row, and the last placeholder are always among them.
            requests[side][:4] = [requests[side][-1], count - 1, count, count + centroids - 1]
        return {
            "codebook": floats(self.codebook_rows, self.dim),
            "graph": (
                torch.tensor(rng.integers(0, self.codebook_rows, (self.users, self.per_row))).to(
                    self.code_type
                ),
                torch.tensor(rng.integers(0, self.codebook_rows, (self.items, self.per_row))).to(
                    self.code_type
                ),
                torch.tensor(indptr, dtype=torch.int32),
                torch.tensor(cells % self.items).to(self.index_type),
            ),
            "placeholders": [floats(centroids, self.dim) for _ in counts],
            "rows": [torch.tensor(rows) for rows in requests],
            "grads": [floats(self.requests, self.dim) for _ in counts],
        }

    def calls(self, layers: int, *, anchor_weight: float = 0.8, layer_bits: int = 32) -> dict[str, Call]:
        """Rows, gradient and table of both sides."""
        made = self.tensors()
        codebook, graph = made["codebook"], made["graph"]
        calls = {}
        for side, (placeholders, rows, grad) in enumerate(
            zip(made["placeholders"], made["rows"], made["grads"], strict=True)
        ):
            where = (side, layers, anchor_weight)
            forward = (codebook, *graph, placeholders)
            calls[f"rows{side}"] = Call("propagate_rows", (*forward, rows), (*where, layer_bits, self.blocks))
            calls[f"grad{side}"] = Call(
                "propagate_rows_grad",
                (grad, *graph, rows),
                (*where, self.codebook_rows, layer_bits, self.blocks),
            )
            calls[f"table{side}"] = Call("propagate_table", forward, (*where, layer_bits, self.blocks))
        return calls
