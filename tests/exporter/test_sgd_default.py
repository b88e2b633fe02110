"""Stochastic gradient descent at what an export sets for it, and the refusals that lead there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from traced import built

from lerg_runtime import Recommender
from lerg_runtime.errors import BudgetError

pytestmark = pytest.mark.native


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_learns_at_the_bundles_own_rate(momentum: float) -> None:
    with Recommender.open(built(epochs=1)) as recommender:  # trained so briefly that there is much to learn
        before = recommender.state
        report = recommender.finetune(epochs=4, optimiser="sgd", momentum=momentum)
        losses = [epoch.loss for epoch in report.epochs]
        assert losses[-1] < losses[0]
        assert recommender.state.codebook.tobytes() != before.codebook.tobytes()


def named(refusal: str) -> dict[str, Any]:
    """The change that a refusal names, as arguments of `finetune`; {} if it names a budget alone."""
    text = refusal.rpartition("; ")[2].partition(" would fit")[0] if " would fit" in refusal else ""
    found: dict[str, Any] = {
        name: int(value) for name, value in re.findall(r"(batch|negative_candidates) (\d+)", text)
    }
    for name in re.findall(r"optimiser '(\w+)'", text):
        found["optimiser"] = name
    for value in re.findall(r"momentum (\d+)", text):
        found["momentum"] = float(value)
    return found


def test_what_a_refusal_names_fits(tmp_path: Path) -> None:
    # So large that fine-tuning takes more than opening, and the optimiser more than the rest of it.
    kind: dict[str, Any] = {"users": 700, "items": 500, "interactions": 6000, "dim": 64, "codebook_rows": 800}
    kind |= {"batch": 4096}
    folder = shutil.copytree(built(**kind), tmp_path / "bundle")
    wanted = {"batch": 4096, "negative_candidates": 4}
    with Recommender.open(folder) as recommender:
        phases = recommender.plan(batch=4096)
        enough = phases.phase("finetune").total_bytes
        least = max(phases.phase(name).total_bytes for name in ("open", "encode"))
    assert least < enough
    followed = set()
    for budget in range(least, enough, max(1, (enough - least) // 23)):
        with Recommender.open(folder, memory_budget=budget) as recommender:
            with pytest.raises(BudgetError) as caught:
                recommender.finetune(epochs=1, **wanted)
            change = named(str(caught.value))
            if change:
                recommender.finetune(epochs=1, **{**wanted, **change})
        if not change:
            with Recommender.open(folder, memory_budget=caught.value.needed_bytes) as recommender:
                recommender.finetune(epochs=1, **wanted)
        followed.add(tuple(sorted(change)))
    assert ("batch", "momentum", "negative_candidates", "optimiser") in followed
