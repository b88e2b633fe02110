"""A portable personal bundle in ExecuTorch's own Python runtime, with no operator and no module of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _person import ITEMS, write_person

from lerg_runtime.bundle import BundleFolder, pack

pytestmark = pytest.mark.native

STOCK = """
import json, sys
import numpy as np, torch
from executorch.extension.pybindings.portable_lib import _get_operator_names, _load_for_executorch

folder, inputs, outputs = sys.argv[1:4]
given = {name: torch.from_numpy(array) for name, array in np.load(inputs).items()}
program = _load_for_executorch(f"{folder}/model.pte")
table, metric = program.run_method("encode", [given["codebook"], given["step"]])
table, metric = table.clone(), metric.clone()
rest = [given[name] for name in ("item_slots", "history", "weights", "seen", "ranks")]
items, scores = program.run_method("recommend", [table, metric, *rest])
np.savez(outputs, items=items.numpy(), scores=scores.numpy(), metric=metric.numpy())
print(json.dumps({
    "operators": sorted(_get_operator_names()),
    "modules": sorted(name for name in sys.modules if name.startswith("lerg")),
}))
"""


@pytest.mark.parametrize("coding", ["rows", "rows of 4 bits", "product", "folded"])
def test_stock_executorch_gives_the_same_answer(coding: str, tmp_path: Path) -> None:
    bundle = write_person(tmp_path / "bundle", coding, lowering="portable")
    model, history = bundle.model, [3, 70, 12, 41]
    seen = np.zeros((1, ITEMS), np.uint8)
    seen[0, history] = 1
    weights = np.exp2(-np.arange(3, -1, -1) / 10.0) / np.sqrt((model.degrees()[history] + 1) * 4)
    np.savez(
        tmp_path / "inputs.npz",
        codebook=pack(model.items.integers(), bits=model.items.bits),
        step=model.items.step,
        item_slots=model.slots,
        history=model.slots[history].astype(np.int64),
        weights=weights.astype(np.float32),
        seen=seen,
        ranks=np.arange(8),
    )
    command = [sys.executable, "-c", STOCK, bundle.folder, tmp_path / "inputs.npz", tmp_path / "outputs.npz"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["modules"] == []
    named = {name for spec in BundleFolder.open(bundle.folder).contents.programs for name in spec.operators}
    assert named <= set(told["operators"])
    with np.load(tmp_path / "outputs.npz") as found:
        wanted, scores = bundle.wanted(history, barred=history, k=8)
        assert [bundle.ids[item] for item in found["items"][0]] == wanted
        np.testing.assert_allclose(found["scores"][0], scores, rtol=1e-4, atol=1e-5)
