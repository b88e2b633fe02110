"""A program whose plan asks a kernel for what it must not is refused when opened, before any of it runs.

Each edit is one that ExecuTorch's own verification lets pass.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _small_programs import called, calls, edited

from lerg_runtime import _native
from lerg_runtime.errors import BundleError

if TYPE_CHECKING:
    from executorch.exir.schema import ExecutionPlan

pytestmark = pytest.mark.native

Edit = Callable[["ExecutionPlan"], None]


def value_of(plan: ExecutionPlan, operator: str, argument: int) -> Any:
    return plan.values[called(plan, operator).args[argument]].val


def added(plan: ExecutionPlan, value: Any) -> int:
    from executorch.exir.schema import EValue

    plan.values.append(EValue(value))
    return len(plan.values) - 1


def drop_an_argument(plan: ExecutionPlan) -> None:
    del called(plan, "aten::addmm").args[-1]


def add_an_argument(plan: ExecutionPlan) -> None:
    called(plan, "aten::addmm").args.append(0)


def give_a_number_for_a_tensor(plan: ExecutionPlan) -> None:
    called(plan, "aten::addmm").args[0] = called(plan, "aten::addmm").args[3]


def give_a_tensor_for_a_number(plan: ExecutionPlan) -> None:
    called(plan, "aten::index_select").args[1] = called(plan, "aten::index_select").args[0]


def give_null_for_a_number(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import Null

    called(plan, "aten::index_select").args[1] = added(plan, Null())


def call_the_unknown(plan: ExecutionPlan) -> None:
    plan.operators[called(plan, "aten::addmm").op_index].overload = "dtype_out"


def call_another_operator(plan: ExecutionPlan) -> None:
    operator = plan.operators[called(plan, "aten::permute_copy").op_index]
    operator.name, operator.overload = "aten::view_as_real_copy", "out"


def write_another_type(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import ScalarType

    value_of(plan, "aten::index_select", 3).scalar_type = ScalarType.BYTE


def read_another_type(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import ScalarType

    value_of(plan, "aten::index_select", 2).scalar_type = ScalarType.FLOAT


def have_a_type_of_no_use(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import ScalarType

    value_of(plan, "aten::permute_copy", 2).scalar_type = ScalarType.HALF


def have_another_rank(plan: ExecutionPlan) -> None:
    index = value_of(plan, "aten::index_select", 2)
    index.sizes, index.dim_order = [7, 1], [0, 1]


def write_a_constant(plan: ExecutionPlan) -> None:
    call = called(plan, "aten::permute_copy")
    call.args[2:] = [call.args[0], call.args[0]]


def write_a_view_of_a_constant(plan: ExecutionPlan) -> None:
    write, read = value_of(plan, "aten::permute_copy", 2), value_of(plan, "aten::permute_copy", 0)
    write.allocation_info, write.data_buffer_idx = None, read.data_buffer_idx


def write_an_input(plan: ExecutionPlan) -> None:
    call = called(plan, "aten::addmm")
    call.args[5:] = [plan.inputs[0], plan.inputs[0]]


def return_what_is_not_written(plan: ExecutionPlan) -> None:
    called(plan, "aten::addmm").args[-1] = called(plan, "aten::addmm").args[2]


def overlap_what_is_read(plan: ExecutionPlan) -> None:
    call = called(plan, "aten::gather")
    plan.values[call.args[4]].val.allocation_info = plan.values[call.args[2]].val.allocation_info


def overlap_by_a_row(plan: ExecutionPlan) -> None:
    call = called(plan, "aten::gather")
    read, write = (plan.values[call.args[i]].val.allocation_info for i in (2, 4))
    write.memory_offset_low = read.memory_offset_low + 16


def be_unaligned(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).allocation_info.memory_offset_low += 4


def leave_the_arena(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).allocation_info.memory_offset_low = 1 << 20


def leave_the_arena_by_overflow(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).allocation_info.memory_offset_high = 0xFFFFFFFF


def name_an_arena_that_is_absent(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).allocation_info.memory_id = 2


def shrink_the_arena(plan: ExecutionPlan) -> None:
    plan.non_const_buffer_sizes[1] = 64


def have_too_many_elements(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).sizes = [2**31 - 1, 2**31 - 1]


def hide_many_elements_behind_none(plan: ExecutionPlan) -> None:
    tensor = value_of(plan, "aten::scatter_add", 4)
    tensor.sizes, tensor.dim_order = [2**31 - 1, 0], [0, 1]


def have_a_negative_size(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).sizes = [-32, 4]


def be_column_major(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).dim_order = [1, 0]


def repeat_a_dimension(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).dim_order = [0, 0]


def vary_without_bound(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import TensorShapeDynamism

    value_of(plan, "aten::gather", 4).shape_dynamism = TensorShapeDynamism.DYNAMIC_UNBOUND


def forget_a_tensors_memory(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::permute_copy", 2).allocation_info = None


def read_before_writing(plan: ExecutionPlan) -> None:
    instructions = plan.chains[0].instructions
    instructions[0], instructions[1] = instructions[1], instructions[0]


def read_what_was_written_over(plan: ExecutionPlan) -> None:
    first, second = (call for call in calls(plan) if plan.operators[call.op_index].name == "aten::gather")
    kept, other = (plan.values[call.args[4]].val.allocation_info for call in (first, second))
    other.memory_offset_low = kept.memory_offset_low - 16


def return_what_nothing_writes(plan: ExecutionPlan) -> None:
    del plan.chains[0].instructions[-1]


def grow_a_constant(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::permute_copy", 0).sizes = [5, 8000]


def name_a_constant_that_is_absent(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::permute_copy", 0).data_buffer_idx = 99


def start_a_value_in_memory(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::gather", 4).data_buffer_idx = 1


def plan_an_input(plan: ExecutionPlan) -> None:
    memory = value_of(plan, "aten::permute_copy", 2).allocation_info
    plan.values[plan.inputs[0]].val.allocation_info = memory


def give_an_input_twice(plan: ExecutionPlan) -> None:
    plan.inputs.append(plan.inputs[0])


def take_a_number_as_an_input(plan: ExecutionPlan) -> None:
    plan.inputs.append(called(plan, "aten::addmm").args[3])


def answer_a_number(plan: ExecutionPlan) -> None:
    plan.outputs.append(called(plan, "aten::addmm").args[3])


def name_a_value_past_the_table(plan: ExecutionPlan) -> None:
    plan.inputs[0] = len(plan.values)


def call_past_the_operators(plan: ExecutionPlan) -> None:
    calls(plan)[0].op_index = len(plan.operators)


def jump(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import Instruction, JumpFalseCall

    plan.chains[0].instructions.append(
        Instruction(JumpFalseCall(cond_value_index=0, destination_instruction=0))
    )


def move(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import Instruction, MoveCall

    plan.chains[0].instructions.append(Instruction(MoveCall(move_from=0, move_to=1)))


def have_two_chains(plan: ExecutionPlan) -> None:
    plan.chains.append(plan.chains[0])


def list_a_value_that_is_absent(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::permute_copy", 1).items[0] = len(plan.values)


def list_a_tensor_among_integers(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::permute_copy", 1).items[0] = plan.inputs[0]


def list_a_size_beyond_an_integer(plan: ExecutionPlan) -> None:
    sizes = value_of(plan, "aten::expand_copy", 1).items
    plan.values[sizes[1]].val.int_val = 2**32 + 4


def leave_two_sizes_open(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import Int

    open_size = added(plan, Int(-1))
    value_of(plan, "aten::view_copy", 1).items = [open_size, open_size]


def multiply_sizes_to_nothing(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import Int

    sizes = [added(plan, Int(number)) for number in (-1, 2**30, 2**30, 2**4)]
    value_of(plan, "aten::view_copy", 1).items = sizes


def measure_a_dimension_that_is_absent(plan: ExecutionPlan) -> None:
    value_of(plan, "aten::sym_size", 1).int_val = 3


def write_a_number_over_a_tensor(plan: ExecutionPlan) -> None:
    called(plan, "aten::sym_size").args[2] = called(plan, "aten::gather").args[0]


def read_a_number_too_early(plan: ExecutionPlan) -> None:
    instructions = plan.chains[0].instructions
    instructions.append(instructions.pop(0))


def write_a_parameter(plan: ExecutionPlan) -> None:
    parameter = called(plan, "aten::mul").args[0]
    called(plan, "aten::scatter_add").args[4:] = [parameter, parameter]


DENSE: dict[Edit, str] = {
    drop_an_argument: r"instruction 1 \(aten::addmm.out\): it has 6 arguments, and its kernel takes 7",
    add_an_argument: "it has 8 arguments",
    give_a_number_for_a_tensor: "argument 0 is not a tensor",
    give_a_tensor_for_a_number: r"\(aten::index_select.out\): argument 1 is not an integer",
    give_null_for_a_number: "argument 1 is not an integer",
    call_the_unknown: r"\(aten::addmm.dtype_out\): no program may call this operator",
    call_another_operator: r"\(aten::view_as_real_copy.out\): no program may call this operator",
    write_another_type: "argument 3 is a tensor of uint8 and not of float32",
    read_another_type: "argument 2 is a tensor of float32",
    have_a_type_of_no_use: "value 4 is of an element type that no program of ours has",
    have_another_rank: "argument 2 is a tensor of 2 dimensions",
    write_a_constant: "argument 2 is written and is a constant",
    write_a_view_of_a_constant: "argument 2 is written and is a constant",
    write_an_input: "argument 5 is written and is an input",
    return_what_is_not_written: "argument 6 is not what the instruction writes",
    forget_a_tensors_memory: "argument 2 is a tensor that has no memory",
    read_before_writing: "argument 2 is read before it is written",
    return_what_nothing_writes: "output 1 is read before it is written",
    grow_a_constant: "value 0 is a constant that leaves its segment",
    name_a_constant_that_is_absent: "value 0 is a constant that the program lacks",
    plan_an_input: "value 2 is an input and has memory of its own",
    give_an_input_twice: "an input is given twice",
    take_a_number_as_an_input: "an input is not a tensor",
    answer_a_number: "output 2 is not a tensor",
    name_a_value_past_the_table: "it names a value that it lacks",
    call_past_the_operators: "it calls an operator that it does not name",
    jump: "an instruction that is not a kernel call",
    move: "an instruction that is not a kernel call",
    have_two_chains: "it has 2 chains of instructions",
    list_a_value_that_is_absent: "lists a value that it cannot",
    list_a_tensor_among_integers: "lists a value of another kind",
}
FINETUNE: dict[Edit, str] = {
    overlap_what_is_read: "argument 4 overlaps what the instruction reads",
    overlap_by_a_row: "argument 4 overlaps what the instruction reads",
    be_unaligned: "is planned where it is not aligned",
    leave_the_arena: "is planned beyond its working memory",
    leave_the_arena_by_overflow: "is planned beyond its working memory",
    name_an_arena_that_is_absent: "is planned in a working memory that there is not",
    shrink_the_arena: "is planned beyond its working memory",
    have_too_many_elements: "has too many elements",
    hide_many_elements_behind_none: "has no element and too large sizes",
    have_a_negative_size: "has a negative size",
    be_column_major: "is not row-major",
    repeat_a_dimension: "is not row-major",
    vary_without_bound: "has sizes without a bound",
    read_what_was_written_over: "after something else was written there",
    start_a_value_in_memory: "is memory that starts with a value",
    list_a_size_beyond_an_integer: "lists an integer that is no size or dimension",
    leave_two_sizes_open: "leaves more than one size open",
    multiply_sizes_to_nothing: "has too large sizes",
    measure_a_dimension_that_is_absent: "argument 1 is no dimension of the tensor",
    write_a_number_over_a_tensor: "argument 2 is not an integer",
    read_a_number_too_early: "read before it is written",
    write_a_parameter: "is written and is a parameter",
}


@pytest.mark.parametrize(
    ("method", "edit"),
    [("dense", edit) for edit in DENSE] + [("finetune", edit) for edit in FINETUNE],
    ids=lambda part: part if isinstance(part, str) else part.__name__,
)
def test_refused_before_it_runs(tmp_path: Path, program_bytes: bytes, method: str, edit: Edit) -> None:
    path = tmp_path / "p.pte"
    path.write_bytes(edited(program_bytes, method, edit))
    rule = (DENSE if method == "dense" else FINETUNE)[edit]
    with pytest.raises(BundleError, match=rf"p\.pte is not a program .*: method {method}, .*{rule}"):
        _native.Program(str(path), _native.Budget(1 << 26))


def test_two_methods_of_one_name(tmp_path: Path, program_bytes: bytes) -> None:
    def rename(plan: ExecutionPlan) -> None:
        plan.name = "odd"

    path = tmp_path / "p.pte"
    path.write_bytes(edited(program_bytes, "dense", rename))
    with pytest.raises(BundleError, match="it has two methods odd"):
        _native.Program(str(path), _native.Budget(1 << 26))


def test_bookkeeping_runs_nothing(tmp_path: Path, program_bytes: bytes) -> None:
    """A method of the training protocol is a number or a text; one that computes goes by another name."""

    def rename(plan: ExecutionPlan) -> None:
        plan.name = "__et_training_loss"

    path = tmp_path / "p.pte"
    path.write_bytes(edited(program_bytes, "dense", rename))
    with pytest.raises(BundleError, match="method __et_training_loss, it is no constant answer"):
        _native.Program(str(path), _native.Budget(1 << 26))


def test_every_truncated_byte_of_the_segment(tmp_path: Path, program_bytes: bytes) -> None:
    """Constants lie behind the plans; a program without all of them is not opened."""
    path = tmp_path / "p.pte"
    base = int.from_bytes(program_bytes[24:32], "little")
    path.write_bytes(program_bytes[: base + 16])
    with pytest.raises(BundleError, match="its constants leave the file"):
        _native.Program(str(path), _native.Budget(1 << 26))


def test_parameters_are_told(small: Any) -> None:
    program = _native.Program(small.path, _native.Budget(0))
    assert sorted(program.parameters("finetune")) == [
        ("codebook", "float32", (20, 4)),
        ("step", "float32", (1,)),
    ]
    assert program.parameters("dense") == []
