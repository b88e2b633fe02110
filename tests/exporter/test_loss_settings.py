"""Temperature and power of the in-batch softmax: stated, chosen by validation, or left as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lerg_edge.assigning import teacher
from lerg_edge.data.interactions import Dataset
from lerg_edge.errors import InputError
from lerg_edge.workdir import WorkDir
from lerg_exporter import ExportOptions
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.small_bundle import small_dataset

PAIRS = 900


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset(80, 60, PAIRS)


def chosen(
    dataset: Dataset, options: ExportOptions, folder: Path, notes: Notes | None = None
) -> tuple[float | None, float | None]:
    cut = Cut.of(dataset.train, stages.training_options(options, pairs=PAIRS))
    made = stages.with_loss_settings_chosen(cut, options, work=WorkDir.at(folder), progress=notes or Notes())
    assert replace(made, temperature=options.temperature, power=options.power) == options
    return made.temperature, made.power


def test_few_pairs_are_not_asked(dataset: Dataset, tmp_path: Path) -> None:
    notes = Notes()
    assert chosen(dataset, ExportOptions(dim=8), tmp_path, notes) == (None, None)
    assert not notes.notes


@pytest.mark.parametrize("assignment", ["product", "full"])
def test_many_pairs_choose_once(
    assignment: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "_PAIRS_TO_TRY_WITH", 1)
    options, first, second = ExportOptions(dim=8, assignment=assignment), Notes(), Notes()
    found = chosen(dataset, options, tmp_path, first)
    told = [note for note in first.notes if "validation NDCG@20" in note]
    scores = {float(note.split("power ")[1].split(":")[0]): float(note.split()[-4]) for note in told}
    assert list(scores) == [0.84, 1.0, 1.12]
    assert scores[found[1] or 0.0] == max(scores.values()) > 0.0
    assert chosen(dataset, options, tmp_path, second) == found
    assert not second.notes
    # What was chosen reaches the table, and the codebook that is trained on after it.
    settled = replace(options, temperature=found[0], power=found[1])
    for training in (
        stages.training_options(settled, pairs=PAIRS),
        stages.full_table_options(stages.training_options(options, pairs=PAIRS), settled, pairs=PAIRS),
    ):
        assert (training.loss_settings["temperature"], training.loss_settings["power"]) == found


@pytest.mark.parametrize("stated", [{"temperature": 0.3}, {"power": 1.5}])
def test_what_is_stated_is_used_and_nothing_tried(
    stated: dict[str, float], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "_PAIRS_TO_TRY_WITH", 1)
    options, notes = ExportOptions(dim=8, **stated), Notes()
    chosen(dataset, options, tmp_path, notes)
    assert not notes.notes
    training = stages.training_options(options, pairs=PAIRS)
    plain = stages.training_options(ExportOptions(dim=8), pairs=PAIRS)
    assert dict(training.loss_settings) == {**plain.loss_settings, **stated}


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
