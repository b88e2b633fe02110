"""One small program for all tests of the native session, traced once, and a runner of single operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np
    from _small_programs import SmallProgram
    from operator_programs import Call, Runner

pytest.importorskip("executorch", reason="programs are traced here, which needs the extra `export`")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallProgram:
    import torch
    from _small_programs import Dense, SmallProgram, build

    torch.manual_seed(0)
    dense = Dense()
    path = tmp_path_factory.mktemp("programs") / "small.pte"
    path.write_bytes(build(dense))
    return SmallProgram(
        path=str(path),
        weight=dense.linear.weight.detach().numpy().copy(),
        bias=dense.linear.bias.detach().numpy().copy(),
    )


@pytest.fixture
def program_bytes(small: SmallProgram) -> bytes:
    return Path(small.path).read_bytes()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operators")


@pytest.fixture(scope="session")
def run(folder: Path) -> Runner:
    """Compiles calls into one program, runs each and returns the results."""
    from operator_programs import write_program

    from lerg_runtime import _native

    def runner(calls: dict[str, Call]) -> dict[str, np.ndarray]:
        program = _native.Program(str(write_program(folder / "calls.pte", calls)), _native.Budget(0))
        return {name: program.load(name).execute(*call.arrays())[0] for name, call in calls.items()}

    return runner
