"""How pruned users are served: validation decides, stages are measured that way, and the other way once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerg_edge.data.interactions import Dataset
from lerg_edge.errors import InputError
from lerg_exporter import ExportOptions, export
from lerg_exporter.exporting import pipeline, pruned_users
from lerg_exporter.exporting.pipeline import ExportReport
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.pruned_users import PrunedUsers, choose_by_validation
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_exporter.exporting.tuning import evaluate
from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder

pytestmark = pytest.mark.native

OPTIONS = ExportOptions(
    assignment="metis",
    selector="bip",  # `auto` asks how pruned users are served, so that their number would differ with it
    bits=8,
    dim=8,
    codes=24,
    placeholders=8,
    retention=0.3,
    batch=128,
    max_users=4,
    max_k=20,
    epochs=8,
    finetune_epochs=0,
    finetune_candidates=1,
    device="cpu",
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset(80, 60, 900)


@pytest.fixture(scope="module")
def tuned_on() -> list[str]:
    """How the twins that were fine-tuned serve pruned users."""
    return []


@pytest.fixture(scope="module")
def reports(
    dataset: Dataset, tuned_on: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ExportReport]:
    """One model, exported with each value of the option; fine-tuned where validation chooses."""
    folder = tmp_path_factory.mktemp("ways")
    tune = pipeline.tune

    def recorded(bundle: Path, *arguments: Any, **named: Any) -> Any:
        tuned_on.append(BundleFolder.open(bundle).manifest.pruned_users)
        return tune(bundle, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "tune", recorded)
        patch.setattr(pruned_users, "_LEAST_USERS", 20)
        return {
            way: export(
                dataset,
                folder / way,
                replace(OPTIONS, pruned_users=way, finetune_epochs=int(way == "auto")),
                work_dir=folder / "work",
            )
            for way in ("auto", "history", "placeholder")
        }


def test_validation_decides(reports: dict[str, ExportReport]) -> None:
    served = reports["auto"].pruned_users
    assert served.scores is not None
    assert served.users > 20
    assert served.scores["history"] != served.scores["placeholder"]
    assert served.way == max(served.scores, key=lambda way: served.scores[way])  # type: ignore[index]
    assert reports["auto"].manifest.pruned_users == served.way
    assert reports["auto"].manifest.document["training"]["pruned_users"] == {
        "served_by": served.way,
        "validation_ndcg@20": dict(served.scores),
        "validation_users": served.users,
    }
    # But for what is said of the choice, the bundle is the one that asking for it gives.
    for name in ("model.pte", "interactions.npz", "entities.npz", "golden.npz"):
        one, other = (reports[way].path / name for way in ("auto", served.way))
        assert one.read_bytes() == other.read_bytes(), name
    metrics = [dict(reports[way].manifest.document["metrics"]) for way in ("auto", served.way)]
    del metrics[0]["finetuned"]
    assert metrics[0] == metrics[1]


def test_what_is_stated_is_what_a_device_does(reports: dict[str, ExportReport], dataset: Dataset) -> None:
    assert dataset.test is not None
    for way, stage in (("history", "rewired"), ("placeholder", "rewired"), ("auto", "finetuned")):
        report = reports[way]
        assert report.manifest.document["serving"] == {"pruned_users": report.pruned_users.way}
        if way != "auto":
            assert report.pruned_users == PrunedUsers(way)
        with Recommender.open(report.path) as recommender:
            assert evaluate(recommender, dataset.test) == report.manifest.document["metrics"][stage]


def test_the_other_way_is_measured_once(reports: dict[str, ExportReport]) -> None:
    history, placeholder = (reports[way].manifest.document["metrics"] for way in ("history", "placeholder"))
    assert set(history) == {"before_pruning", "rewired", "placeholders_only"}
    assert set(placeholder) == {"before_pruning", "rewired", "with_history"}
    assert history["rewired"] == placeholder["with_history"]
    assert history["placeholders_only"] == placeholder["rewired"]
    assert history["rewired"]["ndcg@20"] != placeholder["rewired"]["ndcg@20"]
    assert history["before_pruning"] == placeholder["before_pruning"]


def test_fine_tuning_is_judged_the_way_they_are_served(
    reports: dict[str, ExportReport], tuned_on: list[str]
) -> None:
    assert tuned_on == [reports["auto"].pruned_users.way]


def test_folded_bundles_choose_without_fine_tuning(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruned_users, "_LEAST_USERS", 20)
    options = replace(OPTIONS, propagation="folded", entries=3, codes=20)
    report = export(dataset, tmp_path / "bundle", options)
    assert report.tuned is None
    assert report.pruned_users.scores is not None
    assert report.manifest.pruned_users == report.pruned_users.way


def test_nobody_pruned_leaves_nothing_to_choose(dataset: Dataset, tmp_path: Path) -> None:
    report = export(dataset, tmp_path / "bundle", replace(OPTIONS, retention=1.0, epochs=1))
    assert report.pruned_users == PrunedUsers("placeholder")
    assert set(report.manifest.document["metrics"]) == {"before_pruning", "rewired"}


@pytest.mark.parametrize(
    ("history", "placeholder", "expected"),
    [(0.2, 0.1, "history"), (0.1, 0.2, "placeholder"), (0.1, 0.1, "history")],
)
def test_the_better_one_and_history_when_equal(
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    history: float,
    placeholder: float,
    expected: str,
) -> None:
    scores = {"history": history, "placeholder": placeholder}
    pruned = np.arange(dataset.train.user_count) % 3 == 0
    asked: list[Any] = []

    class Opened:
        @staticmethod
        @contextmanager
        def open(path: Path) -> Iterator[str]:
            yield path.name

    def score(way: str, pairs: Any) -> dict[str, float]:
        asked.append(pairs)
        return {"ndcg@20": scores[way], "users": 7}

    monkeypatch.setattr(pruned_users, "Recommender", Opened)
    monkeypatch.setattr(pruned_users, "evaluate", score)
    monkeypatch.setattr(pruned_users, "_LEAST_USERS", 20)
    bundles = {way: Path(way) for way in scores}
    found = choose_by_validation(bundles, dataset.train, pruned, progress=Silent())
    assert found == PrunedUsers(expected, scores, 7)
    for pairs in asked:
        assert set(pairs.users.tolist()) == set(dataset.train.users[pruned[dataset.train.users]].tolist())
    nobody = choose_by_validation({}, dataset.train, np.zeros_like(pruned), progress=Silent())
    assert nobody == PrunedUsers("placeholder")


def test_few_users_do_not_decide(dataset: Dataset) -> None:
    """Their placeholders have seen the validation pairs: what a handful says in favour of them is noise."""
    pruned = np.arange(dataset.train.user_count) < 5
    assert choose_by_validation({}, dataset.train, pruned, progress=Silent()) == PrunedUsers("history")


def test_what_is_no_way() -> None:
    with pytest.raises(InputError, match="pruned_users is best; choose one of auto, history, placeholder"):
        ExportOptions(pruned_users="best")
