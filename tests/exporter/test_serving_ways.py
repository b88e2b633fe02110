"""How everybody is served: validation decides, stages are measured that way, and the other way once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from lerg_edge.data.interactions import Dataset
from lerg_edge.data.splits import cut
from lerg_edge.data.synthetic import generate, generate_over_time
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.errors import InputError
from lerg_edge.histories.rule import HistoryRule
from lerg_exporter import ExportOptions, export
from lerg_exporter.exporting import newcomers, pipeline, serving
from lerg_exporter.exporting.pipeline import ExportReport
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.serving import Ways, choose_known, given_ways, rules_of
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
    codebook_rows=24,
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
        tuned_on.append(BundleFolder.open(bundle).manifest.ways.pruned_users)
        return tune(bundle, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "tune", recorded)
        patch.setattr(serving, "_LEAST_USERS", 20)
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
    report = reports["auto"]
    told = report.manifest.document["training"]["serving"]["pruned_users"]
    scores = told["validation_ndcg@20"]
    assert told["validation_users"] > 20
    assert scores["history"] != scores["placeholder"]
    assert report.ways.pruned_users == max(scores, key=lambda way: scores[way])
    assert report.manifest.document["serving"] == report.ways.document()
    # But for what is said of the choice, the bundle is the one that asking for it gives.
    asked = reports[report.ways.pruned_users]
    for name in ("program.arrays", "interactions.arrays", "entities.arrays", "golden.arrays"):
        assert (report.path / name).read_bytes() == (asked.path / name).read_bytes(), name
    metrics = [dict(one.manifest.document["metrics"]) for one in (report, asked)]
    del metrics[0]["finetuned"]
    assert metrics[0] == metrics[1]


def test_what_is_stated_is_what_a_device_does(reports: dict[str, ExportReport], dataset: Dataset) -> None:
    assert dataset.test is not None
    for way, stage in (("history", "rewired"), ("placeholder", "rewired"), ("auto", "finetuned")):
        report = reports[way]
        if way != "auto":
            assert report.ways.pruned_users == way
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
    assert tuned_on == [reports["auto"].ways.pruned_users]


def test_folded_bundles_choose_without_fine_tuning(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_LEAST_USERS", 20)
    options = replace(OPTIONS, propagation="folded", entries=3, codebook_rows=20)
    report = export(dataset, tmp_path / "bundle", options)
    assert report.tuned is None
    assert "pruned_users" in report.ways.validation
    assert report.manifest.document["serving"] == report.ways.document()


def test_nobody_pruned_leaves_nothing_to_choose(dataset: Dataset, tmp_path: Path) -> None:
    report = export(dataset, tmp_path / "bundle", replace(OPTIONS, retention=1.0, epochs=1))
    assert report.ways.pruned_users == "placeholder"
    assert set(report.manifest.document["metrics"]) == {"before_pruning", "rewired"}


def _asked(
    table: str, options: ExportOptions, *, users: int = 150, retained: int = 0
) -> tuple[Ways, ExportOptions]:
    """Users who have touched item 0 and want item 1, which their histories find, and the table as it says."""
    rows = np.eye(3, dtype=np.float32)
    items = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]], np.float32)
    pick = {"better": rows[1], "worse": rows[2], "equal": items[0]}[table]
    ones, column = np.ones(users), np.arange(users + 1)
    seen, wanted = (
        sparse.csr_matrix((ones, np.full(users, item), column), shape=(users, 3)) for item in (0, 1)
    )
    split = ValidationSplit(seen, wanted, np.arange(users))
    stays = np.arange(users) < retained
    found = choose_known(
        given_ways(options), (np.tile(pick, (users, 1)), items), split, stays, options, progress=Silent()
    )
    return found, options


@pytest.mark.parametrize(("table", "expected"), [("worse", "history"), ("equal", "history")])
def test_pruned_users_are_served_by_the_better_one_and_history_when_equal(table: str, expected: str) -> None:
    found, _ = _asked(table, ExportOptions())
    assert found.pruned_users == expected
    assert found.validation["pruned_users"]["validation_users"] == 150


def test_what_is_asked_for_stays() -> None:
    options = ExportOptions(pruned_users="placeholder", retained_users="table", ridge=0)
    found, _ = _asked("worse", options, retained=120)
    assert (found.pruned_users, found.retained_users, found.known) == ("placeholder", "table", HistoryRule())
    assert found.validation == {}


def test_retained_users_are_served_by_history_only_where_that_is_better() -> None:
    assert _asked("worse", ExportOptions(), retained=150)[0].retained_users == "history"
    assert _asked("equal", ExportOptions(), retained=150)[0].retained_users == "table"
    assert _asked("worse", ExportOptions(), users=99, retained=99)[0].retained_users == "table", "too few"


def test_few_users_do_not_decide() -> None:
    found, _ = _asked("better", ExportOptions(), users=99)
    assert found.pruned_users == "history"
    assert "pruned_users" not in found.validation


def test_where_pairs_are_few_placeholders_are_judged_without_them(tmp_path: Path) -> None:
    """Nine pairs a user: a placeholder chosen with the one that is asked for would win by knowing it."""
    made = generate(1_500, 800, 13_500, communities=20, seed=4)
    options = replace(OPTIONS, dim=16, codebook_rows=128, placeholders=300, retention=0.4, newcomers=0)
    report = export(cut(made, "ratio", share=0.2, seed=0), tmp_path / "bundle", options)
    scores = report.ways.validation["pruned_users"]["validation_ndcg@20"]
    metrics = report.manifest.document["metrics"]
    by_history, by_placeholder = metrics["rewired"]["ndcg@20"], metrics["placeholders_only"]["ndcg@20"]
    assert report.ways.pruned_users == "history"
    assert by_history > by_placeholder
    assert scores["history"] > scores["placeholder"]


def test_options_leave_rules_open() -> None:
    assert len(rules_of(ExportOptions())) == 20
    assert {rule.half_life for rule in rules_of(ExportOptions(ridge=0))} == {None, 5, 10, 20, 50}
    assert {rule.ridge for rule in rules_of(ExportOptions(half_life=10))} == {None, 1, 3, 10}
    ways = given_ways(ExportOptions(ridge=2.5, half_life=7))
    assert ways.unknown == HistoryRule(ridge=2.5, half_life=7)
    assert ways.known == HistoryRule(ridge=2.5)


@pytest.mark.parametrize(("drift", "expected"), [(0.2, True), (0.0, False)])
def test_unknown_people_are_served_as_suits_people_held_out(
    tmp_path: Path, drift: float, *, expected: bool
) -> None:
    made = generate_over_time(900, 300, 16_000, communities=12, drift=drift, seed=2)
    options = replace(OPTIONS, assignment="product", dim=16, codebook_rows=64, epochs=12, retention=0.8)
    report = export(cut(made, "last", seed=0), tmp_path / "bundle", options)
    rule = report.manifest.document["serving"]["unknown"]
    told = report.manifest.document["training"]["serving"]["unknown"]
    assert (rule["half_life"] is not None) == expected
    assert told["validation_users"] == 180
    assert len(told["validation_ndcg@20"]) == 20


def test_nothing_is_trained_where_nothing_is_open(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any, **named: Any) -> None:
        raise AssertionError("users were held out")

    monkeypatch.setattr(newcomers, "hold_out_users", never)
    for settings in ({"newcomers": 0}, {"ridge": 3.0, "half_life": 5.0}):
        report = export(dataset, tmp_path / "bundle", replace(OPTIONS, epochs=1, **settings), overwrite=True)
        assert "unknown" not in report.ways.validation
    assert report.ways.unknown == HistoryRule(ridge=3, half_life=5)


def test_what_is_no_way() -> None:
    with pytest.raises(InputError, match="pruned_users is best; choose one of auto, history, placeholder"):
        ExportOptions(pruned_users="best")
    with pytest.raises(InputError, match="ridge is -1"):
        ExportOptions(ridge=-1)
