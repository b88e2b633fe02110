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
from lerg_edge.errors import InputError
from lerg_exporter import ExportOptions, export
from lerg_exporter.exporting import later as trial
from lerg_exporter.exporting.later import LEAST_PEOPLE
from lerg_exporter.exporting.progress import Silent
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
    scores = told["replay_ndcg@20"]
    assert told["measured"]
    assert told["people"] >= LEAST_PEOPLE
    assert told["cut_by"] == "one moment"
    assert set(scores) == {"replay 4", "replay 1", "replay 0", "nothing learned"}
    assert len(set(scores.values())) > 1
    assert report.manifest.finetune.replay in trial.REPLAYS
    again = export(Dataset(timed), tmp_path / "again", OPTIONS, work_dir=work)
    assert (again.path / "manifest.json").read_bytes() == (report.path / "manifest.json").read_bytes()


def test_the_manifest_says_how_much_is_gone_over_again(timed: Interactions, tmp_path: Path) -> None:
    report = export(Dataset(timed), tmp_path / "bundle", replace(OPTIONS, replay=0.5))
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
    [({}, 4.0), ({0.0: 0.02}, 0.0), ({0.0: 0.02, 1.0: 0.04}, 1.0), ({0.0: 0.0005}, 4.0)],
)
def test_the_usual_amount_stays_unless_another_is_better_beyond_noise(
    timed: Interactions, gains: dict[float, float], expected: float
) -> None:
    usual = np.random.default_rng(0).random(200)
    scores: dict[str, Any] = {
        f"replay {replay:g}": usual + gains.get(replay, 0.0) for replay in trial.REPLAYS
    }
    later = Later(timed, timed, timed, 200, "one moment")
    assert trial._chosen(scores, later, progress=Silent()).replay == expected
    noisy = usual + np.random.default_rng(1).normal(0.01, 1.0, 200)
    assert (
        trial._chosen({**scores, "replay 0": noisy, "replay 1": usual}, later, progress=Silent()).replay == 4
    )


def test_what_is_no_amount() -> None:
    with pytest.raises(InputError, match="replay is -1"):
        ExportOptions(replay=-1)
    with pytest.raises(InputError, match="replay has no effect with personal"):
        ExportOptions(personal=True, replay=1)
