"""A program that is truncated, altered or hostile gives an error with a name, and never ends the process."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lerg_runtime import _native
from lerg_runtime.errors import BundleError, LergRuntimeError

if TYPE_CHECKING:
    from executorch.exir.schema import ExecutionPlan

pytestmark = pytest.mark.native

X, IDS = np.ones((3, 8), np.float32), np.arange(4)


def opened(path: Path, data: bytes | None = None) -> _native.Program:
    if data is not None:
        path.write_bytes(data)
    return _native.Program(str(path), _native.Budget(1 << 26))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*absent\.pte: No such file"):
        opened(tmp_path / "absent.pte")
    with pytest.raises(BundleError, match="not a regular file"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"ET12", bytes(64), b"\xff" * 4096, b"not a program, but text. " * 100]
)
def test_garbage(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BundleError, match="is not a program that can be run"):
        opened(tmp_path / "p.pte", data)


def test_every_truncation(tmp_path: Path, program_bytes: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for size in [*range(0, 128, 3), *range(128, len(program_bytes), 509), len(program_bytes) - 1]:
        with pytest.raises(BundleError):
            opened(tmp_path / "p.pte", program_bytes[:size])
    assert capfd.readouterr() == ("", "")


FLIP = """
import sys, numpy as np
from lerg_runtime import _native
from lerg_runtime.errors import LergRuntimeError
finetune = {"codebook": np.ones((20, 4), np.float32), "step": np.ones(1, np.float32)}
for path in sys.argv[1:]:
    try:
        program = _native.Program(path, _native.Budget(1 << 26))
    except LergRuntimeError:
        continue
    for name in program.methods():
        try:
            method = program.load(name, finetune if name == "finetune" else {})
            method.execute(*[np.zeros(shape, dtype) for dtype, shape in method.input_specs])
        except (LergRuntimeError, ValueError, MemoryError):
            pass
print("survived")
"""


def test_altered_bytes_never_end_the_process(tmp_path: Path, program_bytes: bytes) -> None:
    rng = random.Random(5)
    flatbuffer_size = int.from_bytes(program_bytes[16:24], "little")
    paths = []
    for i in range(150):
        data = bytearray(program_bytes)
        for _ in range(rng.choice([1, 1, 2, 4])):
            at = rng.randrange(flatbuffer_size)
            data[at] = rng.choice([rng.randrange(256), data[at] ^ 1 << rng.randrange(8), 0, 255])
        paths.append(tmp_path / f"{i}.pte")
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", FLIP, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr


def calls(plan: ExecutionPlan) -> list:
    return [instruction.instr_args for instruction in plan.chains[0].instructions]


def call_past_the_operators(plan: ExecutionPlan) -> None:
    calls(plan)[0].op_index = len(plan.operators)


def call_a_missing_operator(plan: ExecutionPlan) -> None:
    plan.operators[0].name = "lerg::absent"


def forget_a_tensors_memory(plan: ExecutionPlan) -> None:
    out = plan.values[calls(plan)[0].args[-1]].val
    out.allocation_info = None


def name_a_value_past_the_table(plan: ExecutionPlan) -> None:
    plan.inputs[0] = len(plan.values)


def jump(plan: ExecutionPlan) -> None:
    from executorch.exir.schema import Instruction, JumpFalseCall

    plan.chains[0].instructions.append(
        Instruction(JumpFalseCall(cond_value_index=0, destination_instruction=0))
    )


def plan_memory_past_the_arena(plan: ExecutionPlan) -> None:
    plan.values[calls(plan)[0].args[-1]].val.allocation_info.memory_offset_low = 1 << 20


EDITS: dict[Callable[..., None], str] = {
    call_past_the_operators: "it calls an operator that it does not name",
    call_a_missing_operator: "the method dense .* cannot be loaded: .*lerg::absent",
    forget_a_tensors_memory: "it computes with a tensor that has no memory",
    name_a_value_past_the_table: "it names a value that it lacks",
    jump: "an instruction that is not a kernel call",
    plan_memory_past_the_arena: "the method dense .* cannot be loaded: .*Error::MemoryAllocationFailed",
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_hostile_plans_are_refused_when_loaded(
    tmp_path: Path, program_bytes: bytes, edit: Callable[..., None]
) -> None:
    from _small_programs import edited

    program = opened(tmp_path / "p.pte", edited(program_bytes, "dense", edit))
    with pytest.raises(BundleError, match=EDITS[edit]):
        program.load("dense")
    assert len(program.load("odd").execute(np.zeros((3, 2), np.float32))) == 4  # the others still run


def test_a_failed_check_of_the_engine_is_an_exception(tmp_path: Path, program_bytes: bytes) -> None:
    """A number where a kernel wants a tensor: ExecuTorch aborts the process there."""
    from _small_programs import edited

    def number_for_a_tensor(plan: ExecutionPlan) -> None:
        from executorch.exir.schema import EValue, Int

        plan.values.append(EValue(Int(3)))
        calls(plan)[1].args[0] = len(plan.values) - 1

    method = opened(tmp_path / "p.pte", edited(program_bytes, "dense", number_for_a_tensor)).load("dense")
    with pytest.raises(LergRuntimeError, match="dense failed: an internal check of ExecuTorch failed"):
        method.execute(X, IDS)
    with pytest.raises(LergRuntimeError, match="load it anew"):
        method.execute(X, IDS)
