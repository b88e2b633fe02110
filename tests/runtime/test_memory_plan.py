"""The memory plan: enough is enough, one byte less is refused before anything is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _fake_native
import pytest
from _tiny import TinyModel, others, raw_ids, tiny_model, write_tiny

from lerg_runtime import BudgetError, Recommender
from lerg_runtime.planning._fitting import check_phase
from lerg_runtime.planning._phases import Phase, PlanItem

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")
NEW = [(USERS[0], ITEMS[1]), (USERS[7], ITEMS[30])]


def needed(folder: Path, phase: str, **workload: Any) -> int:
    bundle = Recommender.open(folder)._open
    return bundle.plan(bundle.workload(**workload)).phase(phase).total_bytes


@pytest.fixture(params=["text", "integer", "local interactions", "4 bits a row", "pairs seen only"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, fake_native: None) -> Path:
    model = tiny_model(bits=4, per_row=True) if request.param == "4 bits a row" else tiny_model()
    seen_only = others(model, "held_out", "disliked") if request.param == "pairs seen only" else None
    ids = "integer" if request.param == "integer" else "text"
    path = write_tiny(tmp_path / "b", model, ids=ids, seen_only=seen_only)
    if request.param == "local interactions":
        rec = Recommender.open(path)
        rec.finetune([(USERS[3], ITEMS[4]), (USERS[3], ITEMS[6])], epochs=1)
        rec.save()
    return path


def test_what_the_plan_says_is_enough_to_recommend(folder: Path) -> None:
    least = max(needed(folder, phase, users_at_once=1) for phase in ("open", "encode", "recommend"))
    rec = Recommender.open(folder, memory_budget=least)
    rec.recommend(rec.user_ids.take([0, 1, 2, 3, 4]).tolist(), k=20)
    # The fake program takes an eighth of what is set aside for ExecuTorch's own structures.
    slack = 64 * 1024 - _fake_native.STRUCTURE_BYTES
    assert least - slack - 1024 <= rec.memory[1] <= least - slack
    with pytest.raises(BudgetError):
        Recommender.open(folder, memory_budget=least - 1)


@pytest.mark.parametrize(
    ("optimiser", "new", "candidates"),
    [("adam", False, 1), ("adam", True, 1), ("sgd", False, 1), ("sgd", True, 1), ("adam", True, 5)],
)
def test_what_the_plan_says_is_enough_to_fine_tune(
    folder: Path, optimiser: str, new: bool, candidates: int
) -> None:
    users = Recommender.open(folder)
    pairs = [(users.user_ids.take([0])[0], users.item_ids.take([at])[0]) for at in (1, 2)] if new else None
    least = needed(
        folder,
        "finetune",
        optimiser=optimiser,
        batch=8,
        new_interactions=2 if new else 0,
        replayed=8 if new else None,
        negative_candidates=candidates,
    )
    rec = Recommender.open(
        folder, memory_budget=max(least, needed(folder, "encode"), needed(folder, "recommend"))
    )
    opened = rec.memory[1]
    report = rec.finetune(
        pairs,
        epochs=2,
        batch=8,
        optimiser=optimiser,
        learning_rate=0.01,
        negative_candidates=candidates,
    )
    slack = 64 * 1024 - _fake_native.STRUCTURE_BYTES
    assert opened <= report.peak_bytes <= least - slack
    # Arrays of the batch are numpy's, so the plan may set aside a little more than the budget sees.
    assert report.peak_bytes >= least - slack - 2048


def test_a_refusal_lists_what_is_needed_and_allocates_nothing(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("something was allocated")

    monkeypatch.setattr(_fake_native, "Budget", never)
    with pytest.raises(BudgetError) as caught:
        Recommender.open(tiny_bundle, memory_budget="10KiB")
    error = caught.value
    assert error.budget_bytes == 10 * 1024
    assert error.needed_bytes == sum(size for _, size in error.items) > error.budget_bytes
    assert {"user ids", "item table", "program encode"} <= {name for name, _ in error.items}
    message = str(error)
    for name, size in error.items:
        assert f"{name} {size}" in message
    assert f"give at least {error.needed_bytes} bytes" in message
    assert "\n" not in message


def test_fine_tuning_is_refused_with_the_smallest_change(tiny_bundle: Path) -> None:
    for batch, short, remedy in (
        (64, 640, "batch 54 "),
        (64, 4300, "optimiser 'sgd' with momentum 0, a learning_rate for it and batch 10 "),
        (2, 640, "optimiser 'sgd' with momentum 0, a learning_rate for it "),
    ):
        enough = needed(tiny_bundle, "finetune", batch=batch)
        rec = Recommender.open(tiny_bundle, memory_budget=enough - short)
        used = rec.memory
        with pytest.raises(BudgetError, match=f"fine-tuning needs {enough} bytes.*; {remedy}would") as caught:
            rec.finetune(epochs=1, batch=batch)
        assert rec.memory == used
        assert "would fit, or give at least" in str(caught.value)


def test_uniform_negatives_are_the_first_remedy(tiny_bundle: Path) -> None:
    enough = needed(tiny_bundle, "finetune", batch=8, negative_candidates=9)
    rec = Recommender.open(tiny_bundle, memory_budget=enough - 1024)
    with pytest.raises(BudgetError, match=r"user table \d+.*; negative_candidates 1 would fit, or give"):
        rec.finetune(epochs=1, batch=8, negative_candidates=9)
    rec.finetune(epochs=1, batch=8, negative_candidates=1)


def test_the_change_that_a_refusal_names_does_fit(tiny_bundle: Path) -> None:
    enough = needed(tiny_bundle, "finetune", batch=64)
    followed = []
    for short in range(64, 5200, 128):
        rec = Recommender.open(tiny_bundle, memory_budget=enough - short)
        with pytest.raises(BudgetError) as caught:
            rec.finetune(epochs=1, batch=64)
        text = str(caught.value).rpartition("; ")[2]
        options: dict[str, Any] = {"batch": 64}
        if "batch " in text:
            options["batch"] = int(text.partition("batch ")[2].split()[0])
        if "sgd" in text:
            options.update(optimiser="sgd", momentum=0.0)
        if "a learning_rate for it" in text:
            options["learning_rate"] = 0.1
        if "would fit" not in text:
            rec = Recommender.open(tiny_bundle, memory_budget=caught.value.needed_bytes)
        rec.finetune(epochs=1, **options)
        followed.append(sorted(options))
    assert ["batch"] in followed
    assert ["batch", "learning_rate", "momentum", "optimiser"] in followed


def test_fewer_users_at_once_when_memory_is_short(
    tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    folder = write_tiny(tmp_path / "b", model, max_users=64)
    wide = Recommender.open(folder)
    narrow = Recommender.open(folder, memory_budget=needed(folder, "recommend", users_at_once=9))
    with wide._open.serving() as one, narrow._open.serving() as other:
        assert (one.users_at_once, other.users_at_once) == (64, 8)
    for one, other in zip(wide.recommend(USERS, k=9), narrow.recommend(USERS, k=9), strict=True):
        assert one.shape == other.shape
    assert wide.recommend(USERS, k=9)[0].tolist() == narrow.recommend(USERS, k=9)[0].tolist()


def test_plan_is_told_by_phase(tiny_bundle: Path) -> None:
    plan = Recommender.open(tiny_bundle).plan(batch=16, new_interactions=3)
    assert [phase.name for phase in plan.phases] == ["open", "encode", "recommend", "finetune"]
    assert plan.peak_bytes == max(phase.total_bytes for phase in plan.phases)
    assert "new interactions" in {item.name for item in plan.phase("finetune").items}
    with pytest.raises(KeyError):
        plan.phase("nothing")


def test_no_budget_refuses_nothing() -> None:
    phase = Phase("open", (PlanItem("all", 2**60),))
    check_phase(phase, None, doing="opening")
    check_phase(phase, 2**60, doing="opening")
    with pytest.raises(BudgetError, match="all 1152921504606846976"):
        check_phase(phase, 2**60 - 1, doing="opening")
