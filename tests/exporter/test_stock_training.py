"""ExecuTorch's own TrainingModule and SGD drive the fine-tune method, with the losses that our runtime has.

In a process of its own: ExecuTorch's Python extension, our native module and our kernels meet in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs import trace as programs
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits

SCRIPT = """
import ctypes, json, sys
from pathlib import Path
import numpy as np, torch
import lerg_runtime

def stock(program, batches, rate, momentum):
    from executorch.extension.pybindings.portable_lib import _load_for_executorch_from_buffer
    from executorch.extension.training import TrainingModule, get_sgd_optimizer
    ctypes.CDLL(str(lerg_runtime.kernels_path()), mode=ctypes.RTLD_GLOBAL)
    module, optimiser, losses = TrainingModule(_load_for_executorch_from_buffer(program)), None, []
    for batch in batches:
        (loss,) = module.forward_backward("finetune", [torch.from_numpy(part) for part in batch])
        optimiser = optimiser or get_sgd_optimizer(module.named_parameters(), lr=rate, momentum=momentum)
        optimiser.step(module.named_gradients())
        losses.append(loss.item())
    return losses, {name: value.numpy().copy() for name, value in module.named_parameters().items()}

def ours(program, batches, rate, momentum, parameters):
    from lerg_runtime import _native
    method = _native.Program(program, _native.Budget(0)).load("finetune", parameters)
    velocities = {name: np.zeros_like(value) for name, value in parameters.items()}
    losses = []
    for batch in batches:
        loss, *rest = method.execute(*batch)
        losses.append(float(loss))
        for (name, value), gradient in zip(parameters.items(), rest):
            _native.sgd_step(value, gradient, velocities[name], learning_rate=rate, momentum=momentum)
    return losses, parameters

folder, momentum, native_first = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "native"
rng = np.random.default_rng(0)
batches = [tuple(rng.integers(0, slots, size) for slots in (44, 38, 38)) for size in (32, 7, 2, 32, 16)]
shipped = dict(np.load(folder / "parameters.npz"))
parameters = {name: value.copy() for name, value in shipped.items()}
runs = [
    lambda: stock((folder / "embedded.pte").read_bytes(), batches, 2.0, momentum),
    lambda: ours(str(folder / "external.pte"), batches, 2.0, momentum, parameters),
]
first = runs[native_first]()
second = runs[not native_first]()
print(json.dumps({
    "losses": [first[0], second[0]],
    "difference": max(float(np.abs(first[1][name] - second[1][name]).max()) for name in parameters),
    "moved": float(np.abs(first[1]["codebook"] - shipped["codebook"]).max()),
}))
"""


@pytest.mark.native
@pytest.mark.parametrize(("bits", "momentum", "order"), [(8, 0.0, "native"), (4, 0.5, "stock")])
def test_stock_training_module_has_our_losses(
    bits: int, momentum: float, order: str, make_model: Callable[..., RewiredModel], tmp_path: Path
) -> None:
    model = make_model(bits=bits, codebook_rows=64, dim=16, edges=600)
    methods = {"finetune": methods_of(model, ProgramLimits(max_batch=32))["finetune"]}
    for name, embedded in (("embedded", True), ("external", False)):
        program = programs.trace(methods, embed_parameters=embedded)
        (tmp_path / f"{name}.pte").write_bytes(program.data)
    np.savez(tmp_path / "parameters.npz", codebook=model.codebook, step=model.step)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(momentum), order],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    one, other = found["losses"]
    assert one == pytest.approx(other, rel=1e-6)
    assert len(set(one)) == len(one)
    assert found["difference"] <= 1e-6
    assert found["moved"] > 1e-3
