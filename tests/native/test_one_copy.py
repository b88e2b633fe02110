"""A process that also holds ExecuTorch's Python extension has one copy of the engine, whoever is first."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _small_programs import SmallProgram

pytest.importorskip("executorch", reason="ExecuTorch's Python extension is part of the extra `export`")
pytestmark = pytest.mark.native

PARTS = {
    "ours": """
from lerg_runtime import _native
program = _native.Program(sys.argv[1], _native.Budget(0))
x, columns = np.ones((3, 8), np.float32), np.arange(4)
assert program.load("dense").execute(x, columns)[0].shape == (3, 5)
try:
    program.load("dense").execute(x, columns + 99)
except LergRuntimeError:
    pass
else:
    raise SystemExit("an index out of range went through")
""",
    "theirs": """
import torch
from executorch.extension.pybindings import portable_lib
program = portable_lib._load_for_executorch(sys.argv[1])
outputs = program.run_method("dense", [torch.ones(3, 8), torch.arange(4)])
assert outputs[0].shape == (3, 5)
""",
}

CHECK = """
names = portable_lib._get_operator_names()
repeated = {name for name in names if names.count(name) > 1}
assert "lerg::top_items.out" in names, "our kernels are not in their registry"
mapped = {line.split()[-1] for line in open("/proc/self/maps") if "/libexecutorch.so" in line}
print(len(repeated), len(mapped))
"""


@pytest.mark.parametrize("order", [("ours", "theirs"), ("theirs", "ours")], ids="-first".join)
def test_one_engine_and_each_kernel_once(small: SmallProgram, order: tuple[str, str]) -> None:
    head = "import sys\nimport numpy as np\nfrom lerg_runtime.errors import LergRuntimeError\n"
    code = head + PARTS[order[0]] + PARTS[order[1]] + PARTS["ours"] + CHECK
    done = subprocess.run(
        [sys.executable, "-c", code, small.path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1"]
    assert "register_pal" not in done.stderr
