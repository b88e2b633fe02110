"""Temperature and power of the in-batch softmax: stated, chosen by validation, or left as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lerg_edge.assigning import teacher
from lerg_edge.data.interactions import Dataset
from lerg_edge.errors import InputError
from lerg_edge.workdir import WorkDir
from lerg_exporter import ExportOptions, export, export_personal
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.kinds import assignments
from lerg_exporter.exporting.loss_choice import LossChoice, loss_settings_chosen
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_runtime import Recommender

pytestmark = pytest.mark.native

PAIRS = 900
SMALL = {"dim": 8, "device": "cpu", "epochs": 3, "max_k": 5}


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset(80, 60, PAIRS)


@pytest.fixture
def anything_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "_PAIRS_TO_TRY_WITH", 1)


def choice(dataset: Dataset, options: ExportOptions, folder: Path, notes: Notes | None = None) -> LossChoice:
    cut = Cut.of(dataset.train, stages.training_options(options, pairs=PAIRS))
    made = loss_settings_chosen(cut, options, work=WorkDir.at(folder), progress=notes or Notes())
    assert replace(made.options, temperature=options.temperature, power=options.power) == options
    return made


def test_few_pairs_are_not_asked(dataset: Dataset, tmp_path: Path) -> None:
    notes, options = Notes(), ExportOptions(**SMALL)
    made = choice(dataset, options, tmp_path, notes)
    assert (made.options, made.trials, made.described()) == (options, (), {})
    assert not notes.notes


@pytest.mark.usefixtures("anything_is_tried")
@pytest.mark.parametrize("assignment", ["product", "full"])
def test_many_pairs_choose_once(assignment: str, dataset: Dataset, tmp_path: Path) -> None:
    options, first, second = ExportOptions(**SMALL, assignment=assignment), Notes(), Notes()
    made = choice(dataset, options, tmp_path, first)
    assert [trial.power for trial in made.trials] == [0.84, 1.0, 1.12]
    assert len([note for note in first.notes if "validation NDCG@20" in note]) == 3
    again = choice(dataset, options, tmp_path, second)
    assert (again, second.notes) == (made, [])
    # What was chosen reaches the table, and the codebook that is trained on after it.
    for training in (
        stages.training_options(made.options, pairs=PAIRS),
        stages.full_table_options(stages.training_options(options, pairs=PAIRS), made.options, pairs=PAIRS),
    ):
        assert training.loss_settings["temperature"] == made.options.temperature
        assert training.loss_settings["power"] == made.options.power


@pytest.mark.usefixtures("anything_is_tried")
def test_a_bundle_tells_what_was_tried_and_its_config_leaves_it_open(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ExportOptions(**SMALL, finetune_epochs=0, newcomers=0, retention=1.0)
    made = export(dataset, tmp_path / "one", options).manifest.document["training"]
    told = made["loss_settings"]
    assert [one["power"] for one in told["tried"]] == [0.84, 1.0, 1.12]
    assert (told["temperature"], told["power"]) in [
        (one["temperature"], one["power"]) for one in told["tried"]
    ]
    assert not {"temperature", "power"} & set(made["config"])
    # To state what was chosen makes the same bundle, but for what it tells of how it was made.
    monkeypatch.undo()
    stated = replace(options, temperature=told["temperature"], power=told["power"])
    export(dataset, tmp_path / "two", stated)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {path.name for path in (tmp_path / "two").iterdir()} >= {"program.arrays", "state.bin"}
    for name in names - {"manifest.json", "SHA256SUMS", "state.bin"}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    with Recommender.open(tmp_path / "one") as one, Recommender.open(tmp_path / "two") as two:
        assert one.state.codebook.tobytes() == two.state.codebook.tobytes()


@pytest.mark.usefixtures("anything_is_tried")
def test_a_personal_bundle_tells_it_too(dataset: Dataset, tmp_path: Path) -> None:
    options = ExportOptions(**SMALL, personal=True, min_item_users=1, item_training="recommender")
    made = export_personal(dataset, tmp_path / "bundle", options).manifest.document["training"]
    assert len(made["loss_settings"]["tried"]) == 3
    assert not {"temperature", "power"} & set(made["config"])


@pytest.mark.usefixtures("anything_is_tried")
@pytest.mark.parametrize("stated", [{"temperature": 0.3}, {"power": 1.5}])
def test_what_is_stated_is_used_and_nothing_tried(
    stated: dict[str, float], dataset: Dataset, tmp_path: Path
) -> None:
    options, notes = ExportOptions(**SMALL, **stated), Notes()
    assert choice(dataset, options, tmp_path, notes).options == options
    assert not notes.notes
    training = stages.training_options(options, pairs=PAIRS)
    plain = stages.training_options(ExportOptions(**SMALL), pairs=PAIRS)
    assert dict(training.loss_settings) == {**plain.loss_settings, **stated}


@pytest.mark.usefixtures("anything_is_tried")
def test_without_a_full_table_nothing_is_tried(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(assignments.ASSIGNMENTS["metis"], training="lerg_edge.assigning.teacher:codebook_options")
    monkeypatch.setitem(assignments.ASSIGNMENTS, "metis", own)
    options = ExportOptions(**SMALL, assignment="metis")
    assert stages.training_options(options, pairs=PAIRS).loss == "in-batch"
    assert choice(dataset, options, tmp_path) == LossChoice(options)


@pytest.mark.parametrize(
    "settings",
    [
        {"assignment": "metis"},
        {"assignment": "full", "recommender": "mf"},
        {"assignment": "product", "recommender": "xsimgcl"},
    ],
)
def test_another_loss_has_no_such_settings(settings: dict[str, str]) -> None:
    stages.training_options(ExportOptions(dim=8, **settings), pairs=PAIRS)
    stated = ExportOptions(dim=8, power=0.9, **settings)
    with pytest.raises(InputError, match=r"^power=0\.9 is of the in-batch softmax"):
        stages.training_options(stated, pairs=PAIRS)


def test_least_squares_have_no_such_settings() -> None:
    settings: dict[str, Any] = {"personal": True, "item_training": "als"}
    ExportOptions(**settings)
    with pytest.raises(InputError, match=r"temperature has no effect with item_training='?als"):
        ExportOptions(**settings, temperature=0.2)
