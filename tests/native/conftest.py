"""One small program for all tests of the native session, traced once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _small_programs import SmallProgram

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
