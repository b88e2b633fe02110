"""How a device learns where its caller says nothing: tried on later pairs, and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.data.later import Later
from lerg_edge.data.synthetic import generate_over_time
from lerg_edge.errors import BudgetError, InputError
from lerg_exporter import ExportOptions, export
from lerg_exporter.exporting import later as trial
from lerg_exporter.exporting import pipeline
from lerg_exporter.exporting.later import LEAST_PEOPLE
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_runtime import Recommender

pytestmark = pytest.mark.native

OPTIONS = ExportOptions(
    assignment="metis",
    selector="bip",
    bits=8,
    dim=8,
    codebook_rows=24,
    placeholders=8,
    retention=0.7,
    batch=128,
    epochs=2,
    newcomers=0,
    finetune_epochs=1,
    finetune_candidates=1,
    device="cpu",
)


@pytest.fixture(scope="module")
def timed() -> Interactions:
    return generate_over_time(160, 80, 4_000, communities=4, drift=0.0, turnover=0.3, seed=3)


def test_what_was_tried_is_told_and_is_what_a_device_does(timed: Interactions, tmp_path: Path) -> None:
    work = tmp_path / "work"
    report = export(Dataset(timed), tmp_path / "bundle", OPTIONS, work_dir=work)
    told = report.manifest.document["training"]["learning"]
    scores = told["ndcg@20"]
    assert told["measured"]
    assert told["people"] >= LEAST_PEOPLE
    assert told["cut_by"] == "one moment"
    raised = {f"local counts {weight:g}" for weight in trial.LOCAL_COUNTS[1:]}
    assert set(scores) == {"replay 4", "replay 1", "replay 0", "nothing learned", *raised}
    assert len(set(scores.values())) > 1
    assert report.manifest.finetune.replay in trial.REPLAYS
    again = export(Dataset(timed), tmp_path / "again", OPTIONS, work_dir=work)
    assert (again.path / "manifest.json").read_bytes() == (report.path / "manifest.json").read_bytes()


def test_the_manifest_says_how_much_is_gone_over_again(timed: Interactions, tmp_path: Path) -> None:
    report = export(Dataset(timed), tmp_path / "bundle", replace(OPTIONS, replay=0.5, local_counts=0))
    assert report.manifest.document["finetune"]["replay"] == 0.5
    assert report.manifest.document["training"]["learning"] == {}, "nothing was open"
    with Recommender.open(report.path) as recommender:
        user = recommender.user_ids[0]
        new, _ = recommender.recommend(user, k=40)
        assert recommender.finetune([(user, item) for item in new], epochs=1, force=True).replayed == 20
        few = [(user, item) for item in recommender.recommend(user, k=3)[0]]
        assert recommender.finetune(few, epochs=1, force=True).replayed == 16, "half of a quarter batch"


def test_without_times_nothing_is_measured(tmp_path: Path) -> None:
    report = export(small_dataset(80, 60, 900), tmp_path / "bundle", replace(OPTIONS, finetune_epochs=0))
    assert report.manifest.document["training"]["learning"] == {
        "measured": False,
        "reason": "there are no timestamps",
    }
    assert report.manifest.finetune.replay == 4


def test_few_people_do_not_decide(tmp_path: Path) -> None:
    few = generate_over_time(60, 80, 1_500, communities=4, drift=0.0, turnover=0.3, seed=3)
    report = export(Dataset(few), tmp_path / "bundle", replace(OPTIONS, finetune_epochs=0))
    told = report.manifest.document["training"]["learning"]
    assert not told["measured"]
    assert "fewer than 100 people" in told["reason"]
    assert report.manifest.finetune.replay == 4


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ({}, (4.0, 0.0)),
        ({"replay 0": 0.02}, (0.0, 0.0)),
        ({"replay 0": 0.02, "replay 1": 0.04}, (1.0, 0.0)),
        ({"replay 0": 0.0005, "local counts 0.2": 0.0005}, (4.0, 0.0)),
        ({"local counts 0.2": 0.02, "local counts 0.4": 0.03}, (4.0, 0.4)),
        ({"replay 0": 0.04, "local counts 0.2": 0.03}, (0.0, 0.0)),
    ],
    ids=str,
)
def test_what_a_device_does_stays_unless_another_is_better_beyond_noise(
    timed: Interactions, gains: dict[str, float], expected: tuple[float, float]
) -> None:
    usual = np.random.default_rng(0).random(200)
    later = Later(timed, timed, timed, 200, "one moment")
    names = [f"replay {replay:g}" for replay in trial.REPLAYS]
    names += [f"local counts {weight:g}" for weight in trial.LOCAL_COUNTS[1:]]
    scores: dict[str, Any] = {name: usual + gains.get(name, 0.0) for name in names}
    chosen = trial._chosen(scores, later, trial.REPLAYS, trial.LOCAL_COUNTS)
    assert (chosen.replay, chosen.local_counts) == expected
    noise = np.random.default_rng(1).normal(0.01, 1.0, 200)
    noisy = {name: usual + noise * (name not in ("replay 4", "replay 1")) for name in names}
    chosen = trial._chosen(noisy, later, trial.REPLAYS, trial.LOCAL_COUNTS)
    assert (chosen.replay, chosen.local_counts) == (4.0, 0.0)


@pytest.mark.parametrize("turnover", [0.5, 0.0])
def test_items_are_raised_where_what_is_popular_changes_and_only_there(
    tmp_path: Path, turnover: float
) -> None:
    made = generate_over_time(400, 250, 14_000, communities=6, drift=0.0, turnover=turnover, seed=1)
    options = replace(OPTIONS, dim=16, codebook_rows=64, epochs=16, finetune_epochs=0)
    report = export(Dataset(made), tmp_path / "bundle", options)
    scores = report.manifest.document["training"]["learning"]["ndcg@20"]
    weight = report.manifest.document["serving"].get("local_counts", 0.0)
    assert (weight > 0) == (turnover > 0)
    assert report.manifest.ways.local_counts == weight
    if weight:
        assert scores[f"local counts {weight:g}"] > 1.05 * scores["replay 4"]


def test_a_weight_that_is_given_is_what_a_device_has(timed: Interactions, tmp_path: Path) -> None:
    report = export(Dataset(timed), tmp_path / "bundle", replace(OPTIONS, replay=4, local_counts=0.3))
    assert report.manifest.document["serving"]["local_counts"] == 0.3
    assert report.manifest.document["training"]["learning"] == {}


def test_what_has_no_room_is_left_out(
    timed: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "better", lambda score, other: True)
    options = replace(OPTIONS, finetune_epochs=0, replay=4.0)
    free = export(Dataset(timed), tmp_path / "free", options, work_dir=tmp_path / "work")
    assert free.manifest.ways.local_counts > 0
    with Recommender.open(free.path) as recommender:
        needed = recommender.plan().phase("recommend").total_bytes
    monkeypatch.setattr(
        pipeline,
        "over_budget",
        lambda folder, *arguments, **named: BudgetError("too much") if folder.name == "raised" else None,
    )
    bound = export(Dataset(timed), tmp_path / "bound", options, work_dir=tmp_path / "work")
    assert bound.manifest.ways.local_counts == 0
    with Recommender.open(bound.path) as recommender:
        assert recommender.plan().phase("recommend").total_bytes < needed


def test_what_is_no_amount() -> None:
    with pytest.raises(InputError, match="replay is -1"):
        ExportOptions(replay=-1)
    with pytest.raises(InputError, match="replay has no effect with personal"):
        ExportOptions(personal=True, replay=1)
    with pytest.raises(InputError, match="local_counts has no effect with personal"):
        ExportOptions(personal=True, local_counts=0.2)
