"""A portable bundle in ExecuTorch's own Python runtime: no operator, no library and no module of ours in it.

The answers are compared with those of our runtime, on the same bundle and on its native twin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from _real import RealBundle, write_real

from lerg_edge.codes.quantiser import quantise
from lerg_exporter.bundles.stock_android import registered_operators
from lerg_runtime import Recommender, _native
from lerg_runtime.bundle import BundleFolder, pack

pytestmark = pytest.mark.native

RATE, STEPS = 0.5, 4

# Runs with the bundle's folder, a file of inputs and one for outputs.
STOCK = """
import json, sys
import numpy as np, torch
from executorch.extension.pybindings.portable_lib import (
    _get_operator_names, _load_for_executorch, _load_for_executorch_from_buffer,
)
from executorch.extension.training import TrainingModule, get_sgd_optimizer

folder, inputs, outputs, rate = sys.argv[1:5]
given = {name: torch.from_numpy(array) for name, array in np.load(inputs).items()}
found = {}

# From buffers: a file that is given by its path is mapped, and an optimiser cannot write to it.
program, weights = (open(f"{folder}/model.{kind}", "rb").read() for kind in ("pte", "ptd"))
module = TrainingModule(_load_for_executorch_from_buffer(program, weights))
optimiser, number = None, 0
while f"users{number}" in given:
    batch = [given[f"{name}{number}"] for name in ("users", "positives", "negatives")]
    (loss,) = module.forward_backward("finetune", batch)
    found[f"loss{number}"] = loss.numpy()
    for name, gradient in module.named_gradients().items():
        found[f"{name}_gradient{number}"] = gradient.numpy().copy()
    optimiser = optimiser or get_sgd_optimizer(module.named_parameters(), lr=float(rate))
    optimiser.step(module.named_gradients())
    number += 1
for name, value in module.named_parameters().items():
    found[name] = value.numpy().copy()

plain = _load_for_executorch(f"{folder}/model.pte")
tables = plain.run_method("encode", [given["codebook"], given["step"]])
found["user_table"], found["item_table"] = (table.numpy() for table in tables)
ranked = [
    plain.run_method("recommend", [row[None], tables[1], given["item_slots"], seen[None], given["ranks"]])
    for row, seen in zip(tables[0], given["seen"])
]
found["items"], found["scores"] = (np.concatenate([one[n].numpy() for one in ranked]) for n in (0, 1))
np.savez(outputs, **found)
print(json.dumps({
    "operators": sorted(_get_operator_names()),
    "modules": sorted(name for name in sys.modules if name.startswith("lerg")),
}))
"""


@dataclass(frozen=True)
class Answers:
    """A portable bundle and its native twin, what was asked, and what stock ExecuTorch answered."""

    portable: RealBundle
    native: RealBundle
    given: Mapping[str, np.ndarray]
    found: Mapping[str, np.ndarray]
    rate: float
    operators: frozenset[str]
    modules: list[str]


@pytest.fixture(
    scope="module", params=["8 bits", "4 bits a row", "16 bits", "blocks", "folded", "folded, 16 bits"]
)
def stock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("stock")
    kind: dict[str, Any] = {
        "8 bits": {"bits": 8},
        "4 bits a row": {"bits": 4, "per_row": True},
        "16 bits": {"bits": 16},
        "blocks": {"blocks": 4},
        "folded": {"bits": 4, "per_row": True, "entries": 6},
        "folded, 16 bits": {"bits": 16, "entries": 6},
    }[request.param]
    portable, native = (
        write_real(folder / lowering, lowering=lowering, **kind) for lowering in ("portable", "native")
    )
    model = portable.model
    rng = np.random.default_rng(5)
    sides = [len(table) for table in model.tables()]
    given: dict[str, np.ndarray] = {}
    for number in range(STEPS):
        size = (256, 3, 40, 2)[number]
        for name, side in (("users", 0), ("positives", 1), ("negatives", 1)):
            given[f"{name}{number}"] = rng.integers(0, sides[side], size)
    codes = pack(quantise(model.codebook, model.step, bits=model.bits), bits=model.bits)
    given["codebook"] = codes.view(np.uint8) if model.bits == 16 else codes
    given["step"] = model.step
    given["item_slots"] = model.slots()[1].astype(np.int32)
    given["seen"] = rng.random((sides[0], model.item_count)) < 0.1
    given["seen"] = given["seen"].astype(np.uint8)
    given["ranks"] = np.arange(20)
    np.savez(folder / "inputs.npz", **given)
    # On the grid of 16 bits v / step has no digits left behind the point: its step would learn from noise.
    rate = 0.0 if model.bits == 16 else RATE
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            STOCK,
            portable.folder,
            folder / "inputs.npz",
            folder / "outputs.npz",
            str(rate),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    with np.load(folder / "outputs.npz") as outputs:
        found = dict(outputs)
    return Answers(portable, native, given, found, rate, frozenset(told["operators"]), told["modules"])


def test_the_process_has_nothing_of_ours(stock: Answers) -> None:
    assert stock.modules == []
    assert not any(name.startswith("lerg") for name in stock.operators)


def test_every_operator_is_a_stock_one(stock: Answers) -> None:
    with Recommender.open(stock.portable.folder) as recommender:
        named = {name for spec in recommender.manifest.programs for name in spec.operators}
    assert named <= stock.operators, named - stock.operators


def test_the_list_of_androids_operators_is_that_of_the_installed_release(stock: Answers) -> None:
    assert stock.operators == registered_operators()


def program_file(bundle: RealBundle) -> str:
    """Path of the program as ExecuTorch reads it: a native one is packed in its bundle."""
    path = bundle.folder.parent / f"{bundle.folder.name}.pte"
    path.write_bytes(BundleFolder.open(bundle.folder).read_program().tobytes())
    return str(path)


@pytest.mark.parametrize("lowering", ["portable", "native"])
def test_training_steps_are_those_of_our_runtime(stock: Answers, lowering: str) -> None:
    bundle: RealBundle = getattr(stock, lowering)
    with Recommender.open(stock.portable.folder) as recommender:
        state = recommender.state
    latent = np.empty(bundle.model.codebook.shape, np.float32)
    _native.dequantise(state.codebook, state.step, bundle.model.bits, latent)
    parameters = {"codebook": latent, "step": state.step.copy()}
    program = _native.Program(program_file(bundle), _native.Budget(0))
    method = program.load("finetune", parameters)
    for number in range(STEPS):
        loss, *gradients = method.execute(
            *(stock.given[f"{name}{number}"] for name in ("users", "positives", "negatives"))
        )
        assert stock.found[f"loss{number}"] == pytest.approx(loss, rel=1e-5)
        scale = np.abs(gradients[0]).max()
        for (name, value), gradient in zip(parameters.items(), gradients, strict=False):
            if name == "step" and stock.rate == 0:
                continue
            # On the grid, v / step is a whole number and the step's gradient nothing but rounding.
            near(stock.found[f"{name}_gradient{number}"], gradient, scale=scale)
            value -= stock.rate * gradient
    for name, value in parameters.items():
        near(stock.found[name], value)


@pytest.mark.parametrize("lowering", ["portable", "native"])
def test_tables_and_rankings_are_those_of_our_runtime(stock: Answers, lowering: str) -> None:
    bundle: RealBundle = getattr(stock, lowering)
    program = _native.Program(program_file(bundle), _native.Budget(0))
    codes = stock.given["codebook"]
    if lowering == "native" and bundle.model.bits == 16:
        codes = codes.view(np.int16)
    tables = program.load("encode").execute(codes, stock.given["step"])
    for name, table in zip(("user_table", "item_table"), tables, strict=True):
        near(stock.found[name], table)
    method = program.load("recommend")
    for user, seen in enumerate(stock.given["seen"]):
        items, scores = method.execute(
            stock.found["user_table"][user : user + 1],
            stock.found["item_table"],
            stock.given["item_slots"],
            seen[None].astype(np.uint8 if lowering == "portable" else bool),
            stock.given["ranks"],
        )
        near(stock.found["scores"][user], scores[0])
        if lowering == "portable":
            np.testing.assert_array_equal(stock.found["items"][user], items[0])


def near(found: np.ndarray, expected: np.ndarray, *, scale: float = 0.0) -> None:
    """Equal within float32; `scale` is the magnitude of what `expected` was worked out from, if larger."""
    atol = max(2e-5 * np.abs(expected).max(), 1e-6 * scale)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)
