"""A bundle whose hashes are right and whose program is not: refused when opened, exit 4, nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _oracles import reseal, unpack
from _shell import Shell

from lerg_exporter.bundles.verification import verify_bundle
from lerg_runtime import BundleError, Recommender
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.programs import check_program, operator_signatures

if TYPE_CHECKING:
    from executorch.exir.schema import ExecutionPlan, KernelCall

pytestmark = pytest.mark.native


def first_call(plan: ExecutionPlan) -> KernelCall:
    """Of those that write a tensor, which is returned too."""
    calls = (instruction.instr_args for instruction in plan.chains[0].instructions)
    return next(call for call in calls if call.args[-1:] == call.args[-2:-1])


def drop_an_argument(plan: ExecutionPlan) -> None:
    first_call(plan).args.pop()


def write_an_input(plan: ExecutionPlan) -> None:
    call = first_call(plan)
    call.args[-2:] = [plan.inputs[0], plan.inputs[0]]


def call_what_no_program_calls(plan: ExecutionPlan) -> None:
    plan.operators[first_call(plan).op_index].name = "aten::as_strided_copy"


EDITS: dict[Callable[..., None], str] = {
    drop_an_argument: "arguments, and its kernel takes",
    write_an_input: "argument [0-9]+ (is written and is an input|is a tensor of)",
    call_what_no_program_calls: "no program may call this operator",
}


def edit_program(bundle: Path, method: str, edit: Callable[..., None]) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    path = unpack(bundle)
    file = deserialize_pte_binary(path.read_bytes())
    edit(next(plan for plan in file.program.execution_plan if plan.name == method))
    path.write_bytes(bytes(serialize_pte_binary(file)))
    reseal(bundle)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("method", ["encode", "finetune", "recommend"])
def test_refused_with_method_instruction_and_operator(
    bundle: Path, shell: Shell, method: str, edit: Callable[..., None]
) -> None:
    edit_program(bundle, method, edit)
    where = rf"method {method}, instruction [0-9]+ \([a-z_:.A-Z]+\)"
    sentence = rf"model\.pte is not a program .*: {where}: .*{EDITS[edit]}"
    for open_bundle in (Recommender.open, verify_bundle):
        with pytest.raises(BundleError, match=sentence):
            open_bundle(bundle)
    status, out, err = shell("recommend", bundle, "--all-users")
    assert (status, out) == (4, "")
    assert "Traceback" not in err
    assert f"method {method}" in err


def test_a_parameter_of_another_name(bundle: Path) -> None:
    def rename(plan: ExecutionPlan) -> None:
        for value in plan.values:
            extra = getattr(value.val, "extra_tensor_info", None)
            if extra is not None and extra.fully_qualified_name == "codebook":
                extra.fully_qualified_name = "passwords"

    edit_program(bundle, "finetune", rename)
    with pytest.raises(BundleError, match="asks for other parameters of finetune than the manifest says"):
        Recommender.open(bundle)


def test_what_is_exported_is_allowed(bundle: Path) -> None:
    check_program(unpack(bundle))
    allowed = operator_signatures()
    for program in BundleFolder.open(bundle).manifest.programs:
        assert set(program.operators) <= set(allowed)
