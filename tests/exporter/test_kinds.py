"""Assignments, recommenders and quantisers: each reaches the stages, the bundle and its programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerg_edge.errors import InputError
from lerg_edge.interactions import Dataset
from lerg_edge.workdir import WorkDir
from lerg_exporter import ExportOptions, export, stages
from lerg_exporter.progress import Silent
from lerg_exporter.small_bundle import small_dataset

SMALL: dict[str, Any] = {
    "bits": 8,
    "dim": 8,
    "placeholders": 8,
    "batch": 128,
    "max_users": 4,
    "max_k": 20,
    "epochs": 2,
    "finetune_epochs": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset(80, 60, 900)


def test_auxiliaries_reach_the_assignment_and_its_fingerprint(dataset: Dataset, tmp_path: Path) -> None:
    found = {}
    for auxiliaries in ("neighbours", "random"):
        options = ExportOptions(**SMALL, auxiliaries=auxiliaries)
        training = stages.training_options(options)
        work = WorkDir.at(tmp_path)
        found[auxiliaries] = stages.assigned(
            dataset.train, options, training, codes=24, work=work, progress=Silent()
        ).assignment.codes
        again = stages.assigned(
            dataset.train, options, training, codes=24, work=work, progress=Silent()
        ).assignment.codes
        np.testing.assert_array_equal(found[auxiliaries], again)
    assert (found["neighbours"][:, 0] == found["random"][:, 0]).all()
    assert (found["neighbours"][:, 1] != found["random"][:, 1]).any()


@pytest.mark.native
def test_matrix_factorisation_propagates_nothing(dataset: Dataset, tmp_path: Path) -> None:
    options = ExportOptions(**SMALL, codes=24, recommender="mf", steps="row")
    report = export(dataset, tmp_path / "bundle", options)
    document = report.manifest.document
    assert document["model"]["layers"] == document["macs"]["full"] == document["macs"]["rewired"] == 0
    assert document["model"]["step_shape"] == [24]
    assert document["training"]["recommender"] == "mf"


def test_what_is_default_is_not_written_down(dataset: Dataset) -> None:
    """Bundles of earlier versions keep their bytes."""
    from lerg_exporter.pipeline import _kinds

    assert _kinds(ExportOptions()) == {}
    assert _kinds(ExportOptions(auxiliaries="random")) == {"auxiliaries": "random"}


def test_another_training_is_another_stage(dataset: Dataset, tmp_path: Path) -> None:
    work = WorkDir.at(tmp_path)
    for settings in ({}, {"recommender": "mf"}, {"steps": "row"}):
        options = ExportOptions(**SMALL, **settings)
        training = stages.training_options(options)
        assignment = stages.assigned(dataset.train, options, training, codes=24, work=work, progress=Silent())
        stages.pretrained(dataset.train, assignment, training, kind="metis", work=work, progress=Silent())
    assert len(list(tmp_path.glob("pretrained-*"))) == 3
    assert len(list(tmp_path.glob("assignment-*"))) == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"assignment": "kmeans"}, "--assignment is kmeans; choose one of metis"),
        ({"auxiliaries": "none"}, "--auxiliaries is none; choose one of neighbours, random"),
        ({"recommender": "gru"}, "--recommender is gru; choose one of lightgcn"),
        ({"steps": "block"}, "--steps is block; choose one of one, row"),
        ({"recommender": "mf", "layers": 2}, "--layers is 2; --recommender mf propagates nothing"),
        ({"steps": "row", "propagation": "folded"}, "--steps row needs graph propagation"),
    ],
)
def test_what_contradicts_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ExportOptions(**given)
