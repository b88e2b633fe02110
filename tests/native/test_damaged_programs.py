"""A program that is truncated, altered or hostile gives an error with a name, and never ends the process."""

from __future__ import annotations

import platform
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.export import export

from lerg_runtime import _native
from lerg_runtime.errors import BundleError, LergRuntimeError

if TYPE_CHECKING:
    from executorch.exir.schema import ExecutionPlan

pytestmark = pytest.mark.native


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


class Counted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.arange(0, 5) + x


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere it stays above 0")
def test_a_failed_check_of_the_engine_is_an_exception(tmp_path: Path) -> None:
    """A count that wraps to a negative one: ExecuTorch aborts the process there."""
    from _small_programs import calls, edited, lowered

    def count_far(plan: ExecutionPlan) -> None:
        plan.values[calls(plan)[0].args[1]].val.int_val = 2**31 + 5

    program = lowered({"counted": export(Counted(), (torch.zeros(5, dtype=torch.int64),), strict=False)})
    method = opened(tmp_path / "p.pte", edited(program, "counted", count_far)).load("counted")
    with pytest.raises(LergRuntimeError, match=r"counted failed .* assert failed"):
        method.execute(np.zeros(5, np.int64))
