"""Tracing a rewired model into the bytes of one ExecuTorch program, and reading back what it plans.

Inputs and outputs are not in the plan: they are the caller's memory.  The parameters of `finetune`
(`codebook`, `step`) are tagged as external data, so that the float32 weights never travel; the runtime
gives its own memory for them, and `parameter_data` writes them for a runtime that reads `.ptd` files.
"""

from __future__ import annotations

import gc
import hashlib
import operator
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from executorch.exir import (
    EdgeCompileConfig,
    EdgeProgramManager,
    ExecutorchBackendConfig,
    ExecutorchProgramManager,
)
from executorch.exir._serialize._serialize import serialize_for_executorch
from executorch.exir.passes import MemoryPlanningPass
from executorch.exir.program._program import _generate_edge_program
from executorch.exir.schema import ExecutionPlan, ScalarType, TensorDataLocation
from executorch.exir.schema import Tensor as PlannedTensor
from executorch.exir.tracer import _default_decomposition_table
from torch.export import ExportedProgram, export
from torch.export.experimental import _export_forward_backward
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.fx.passes.infra.pass_base import PassResult

from lerg_exporter.programs.method import Method

__all__ = ["MethodPlan", "Program", "TensorSpec", "trace", "with_parameters"]

PARAMETERS = "parameters"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, numpy dtype name and shape at its maximum of one input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MethodPlan:
    """What one method asks for, as its program says it.

    Attributes:
        arena_bytes: the planned memory, one number an arena; kernels' scratch comes on top.
        operators: names of the operators it calls, sorted.
    """

    method: str
    arena_bytes: tuple[int, ...]
    operators: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """One `.pte`.

    Attributes:
        data: its bytes.
        plans: of its methods.
        parameter_data: its external parameters as a `.ptd`, or None.
        constants: bytes of each constant tensor in `data`, by name; methods share equal ones.
        places: where in `data` each of them begins.
    """

    data: bytes
    plans: tuple[MethodPlan, ...]
    parameter_data: bytes | None
    constants: Mapping[str, int]
    places: Mapping[str, int]


def trace(methods: Mapping[str, Method], *, embed_parameters: bool = False) -> Program:
    """Trace methods into one program, in the order given.

    The bytes depend on the arguments alone: no path, time or stack trace enters them.

    Args:
        methods: by name, from `lerg_exporter.programs.choice.methods_of`.
        embed_parameters: keep the float32 parameters inside the program and plan memory for outputs too: the
            form that ExecuTorch's own TrainingModule runs from a single file.
    """
    with _garbage_left_alone(), _operators_looked_up_once(), warnings.catch_warnings():
        # Tracing calls deprecated corners of torch itself; none of it is the caller's to act on.
        warnings.simplefilter("ignore")
        stock = any(method.stock for method in methods.values())
        # The stock kernel that copies with an order of dimensions converts two hundred times slower.
        config = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=stock)
        lowered = {name: _generate_edge_program(config, _export(method)) for name, method in methods.items()}
        edge = EdgeProgramManager(lowered, compile_config=config)
        if stock:
            edge = edge.transform([_expand_sums])
        if not embed_parameters:
            for name, method in methods.items():
                if method.trains:
                    _make_parameters_external(edge.exported_program(name))
        planning = MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=embed_parameters or stock)
        backend = ExecutorchBackendConfig(memory_planning_pass=planning, emit_stacktrace=False)
        manager = edge.to_executorch(backend)
    data, parameter_data = _serialised(manager, backend)
    plans = {plan.name: plan for plan in manager.executorch_program.execution_plan}
    constants, places = _constants(edge, data, methods)
    return Program(
        data=data,
        plans=tuple(_method_plan(plans[name], method) for name, method in methods.items()),
        parameter_data=parameter_data,
        constants=constants,
        places=places,
    )


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """No search for cyclic garbage inside the block: among a trace's objects it is a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _operators_looked_up_once() -> Iterator[None]:
    """Let torch look up its composite operators once inside the block, not for each table of decompositions.

    It does so because operators may be registered at any time; none are while a trace runs, and the look-up
    is a fifth of a small trace.
    """
    from torch._export import utils

    look_up = utils._materialize_cpp_cia_ops
    look_up()
    utils._materialize_cpp_cia_ops = lambda: None
    try:
        yield
    finally:
        utils._materialize_cpp_cia_ops = look_up


def with_parameters(data: bytes, values: Mapping[str, np.ndarray]) -> bytes:
    """A `.ptd` with other values for parameters that it has, all of them float32 of the same shapes."""
    from executorch.exir._serialize._cord import Cord
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

    serializer = FlatTensorSerializer()
    payload = serializer.deserialize(Cord(data))
    buffers = list(payload.buffers)
    for name, value in values.items():
        content, entry = np.ascontiguousarray(value, dtype=np.float32).tobytes(), payload.named_data[name]
        if len(content) != len(buffers[entry.buffer_index]):
            raise ValueError(f"{name} has {len(content)} bytes, not {len(buffers[entry.buffer_index])}")
        buffers[entry.buffer_index] = content
    return bytes(serializer.serialize(replace(payload, buffers=buffers)))


def _export(method: Method) -> ExportedProgram:
    shapes = tuple(dict(method.dynamic.get(name, {})) or None for name in method.inputs)
    inputs = tuple(method.inputs.values())
    exported = export(method.module, inputs, strict=False, dynamic_shapes=shapes)
    if method.trains:
        exported = _export_forward_backward(exported)
    table = _default_decomposition_table()
    if method.stock:
        from lerg_exporter.programs.portable.ops import DECOMPOSITIONS, share_puts

        share_puts(exported.graph)
        table.update(DECOMPOSITIONS)
    # Which also makes a graph functional. One with nothing to change is left as it is.
    if any(node.target in table or _is_in_place(node) for node in exported.graph.nodes):
        exported = exported.run_decompositions(table)
    _drop_expansions(exported.graph)
    return exported


def _is_in_place(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _drop_expansions(graph: Graph) -> None:
    """Let products broadcast what they are given expanded: the stock `expand` copies an element at a time."""
    aten = torch.ops.aten
    for node in list(graph.nodes):
        if node.target != aten.expand.default:
            continue
        for user in list(node.users):
            factors = [factor for factor in user.all_input_nodes if factor is not node]
            if user.target == aten.mul.Tensor and any(_same_shape(node, factor) for factor in factors):
                user.replace_input_with(node, node.args[0])
        if not node.users:
            graph.erase_node(node)


def _same_shape(one: Node, other: Node) -> bool:
    sizes, others = one.meta["val"].shape, other.meta["val"].shape
    return len(sizes) == len(others) and all(map(statically_known_true, map(operator.eq, sizes, others)))


def _expand_sums(module: GraphModule) -> PassResult:
    from lerg_exporter.programs.portable.lowering import expand_sums

    return expand_sums(module)


def _make_parameters_external(exported: ExportedProgram) -> None:
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.target in exported.graph_signature.inputs_to_parameters:
            node.meta["constant_tag"] = PARAMETERS


def _constants(
    edge: EdgeProgramManager, data: bytes, methods: Iterable[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Sizes and places of the tensors of methods that are found in the program, each content once.

    Equal ones have the name that stands first: in the order of `methods`, constants before parameters, which
    may only look like a constant that is stored.
    """
    sizes: dict[str, int] = {}
    places: dict[str, int] = {}
    seen = set()
    exported = {method: edge.exported_program(method) for method in methods}
    held = [(method, each.state_dict | each.constants, each) for method, each in exported.items()]
    named = [
        (method, name, tensor)
        for parameters in (False, True)
        for method, tensors, each in held
        for name, tensor in tensors.items()
        if (name in each.graph_signature.parameters) == parameters
    ]
    for method, name, tensor in named:
        content = tensor.detach().cpu().numpy().tobytes()
        digest = hashlib.sha256(content).digest()
        if not content or digest in seen or content not in data:
            continue
        seen.add(digest)
        short = name.rsplit(".", 1)[-1]
        told = short if short not in sizes else f"{short} of {method}"
        sizes[told], places[told] = len(content), data.rindex(content)
    return sizes, places


def _serialised(
    manager: ExecutorchProgramManager, backend: ExecutorchBackendConfig
) -> tuple[bytes, bytes | None]:
    """The program's bytes, and those of its external parameters.

    An output that is an external parameter with buffer index 0, which the first one gets, looks to stock
    ExecuTorch like one without memory: its Python runtime points it elsewhere, and the weights are lost. The
    index of an external tensor means nothing else, so all are moved by one.
    """
    for plan in manager.executorch_program.execution_plan:
        for value in plan.values:
            tensor = value.val
            if (
                isinstance(tensor, PlannedTensor)
                and tensor.extra_tensor_info is not None
                and tensor.extra_tensor_info.location is TensorDataLocation.EXTERNAL
            ):
                tensor.data_buffer_idx += 1
    program, external = serialize_for_executorch(
        manager._emitter_output, backend, manager._data_serializer, manager._named_data
    )
    return bytes(program), bytes(external[PARAMETERS]) if PARAMETERS in external else None


def _method_plan(plan: ExecutionPlan, method: Method) -> MethodPlan:
    outputs = list(method.outputs)
    if method.trains:
        names = [name for name, _ in method.module.named_parameters()]
        outputs += [f"{name}_gradient" for name in names] + names
    return MethodPlan(
        method=plan.name,
        # The first arena is reserved by the format and always empty.
        arena_bytes=tuple(int(size) for size in plan.non_const_buffer_sizes[1:]),
        operators=tuple(sorted({_operator_name(op.name, op.overload) for op in plan.operators})),
        inputs=_specs(plan, plan.inputs, list(method.inputs)),
        outputs=_specs(plan, plan.outputs, outputs),
    )


def _operator_name(name: str, overload: str) -> str:
    return f"{name}.{overload}" if overload else name


def _specs(plan: ExecutionPlan, indices: list[int], names: list[str]) -> tuple[TensorSpec, ...]:
    values = [plan.values[index].val for index in indices]
    if len(values) != len(names) or not all(isinstance(value, PlannedTensor) for value in values):
        raise RuntimeError(f"method {plan.name} has {len(values)} values where {names} were traced")
    return tuple(
        TensorSpec(name=name, dtype=_dtype_name(value.scalar_type), shape=tuple(int(n) for n in value.sizes))
        for name, value in zip(names, values, strict=True)
    )


def _dtype_name(scalar_type: ScalarType) -> str:
    return _DTYPES[ScalarType(scalar_type)]


_DTYPES = {
    ScalarType.BYTE: "uint8",
    ScalarType.CHAR: "int8",
    ScalarType.SHORT: "int16",
    ScalarType.INT: "int32",
    ScalarType.LONG: "int64",
    ScalarType.FLOAT: "float32",
    ScalarType.BOOL: "bool",
}
