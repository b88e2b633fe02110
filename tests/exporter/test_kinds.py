"""Assignments, recommenders and quantisers: each reaches the stages, the bundle and its programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerg_edge.data.interactions import Dataset
from lerg_edge.errors import InputError
from lerg_edge.workdir import WorkDir
from lerg_exporter import ExportOptions, export
from lerg_exporter.bundles.verification import verify_bundle
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_runtime import Recommender

SMALL: dict[str, Any] = {
    "assignment": "metis",
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
        training = stages.training_options(options, pairs=900)
        work, cut = WorkDir.at(tmp_path), Cut.of(dataset.train, training)
        found[auxiliaries] = stages.assigned(
            cut, options, training, codebook_rows=24, work=work, progress=Silent()
        ).assignment.codes
        again = stages.assigned(
            cut, options, training, codebook_rows=24, work=work, progress=Silent()
        ).assignment.codes
        np.testing.assert_array_equal(found[auxiliaries], again)
    assert (found["neighbours"][:, 0] == found["random"][:, 0]).all()
    assert (found["neighbours"][:, 1] != found["random"][:, 1]).any()


# What an export is asked for, and what its manifest then says: `model`, `training`, and items of the storage.
# 140 entities, 98 of them retained; 8 placeholders of 8 numbers.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, int]]] = {
    "mf, a step a row": (
        {"codebook_rows": 24, "recommender": "mf", "step_sizes": "row"},
        {"layers": 0, "edges": 0, "step_shape": [24]},
        {"recommender": "mf"},
        {"codebook": 24 * 8, "codebook_steps": 4 * 24, "assignment": 98 * 2},
    ),
    "legcf, contrastive": (
        {"codebook_rows": 24, "assignment": "legcf", "recommender": "xsimgcl", "epochs": 4},
        {"codebook_rows": 24, "codes_per_entity": 2, "layers": 3, "bits": 8},
        {"assignment": "legcf", "recommender": "xsimgcl"},
        {"codebook": 24 * 8, "assignment": 98 * 2},
    ),
    "product codes": (
        {"assignment": "product", "codes_per_entity": 4},
        {"codebook_rows": 140, "codes_per_entity": 4, "composition": "blocks", "step_shape": [1]},
        {},
        {"codebook": 140 * 8, "codebook_steps": 4, "assignment": 98 * 4},
    ),
    "product codes, portable": (
        {"assignment": "product", "codebook_rows": 20, "lowering": "portable", "max_users": None},
        {"codebook_rows": 20, "codes_per_entity": 2, "layers": 1, "composition": "blocks"},
        {},
        {"codebook": 20 * 8, "assignment": 98 * 2},
    ),
    "product quantisation": (
        {"assignment": "product-nearest", "codes_per_entity": 2, "recommender": "mf"},
        {"codebook_rows": 140, "codes_per_entity": 2, "composition": "blocks", "layers": 0},
        {"assignment": "product-nearest", "recommender": "mf", "epochs": 0},
        {"assignment": 98 * 2},
    ),
    "full table of floats": (
        {"bits": 32, "assignment": "full"},
        {"bits": 32, "codebook_rows": 98, "codes_per_entity": 1, "step_shape": [1]},
        {"assignment": "full"},
        {"codebook": 98 * 8 * 4, "codebook_steps": 4, "assignment": 0, "placeholders": 8 * 8 * 4},
    ),
    "full table of floats, portable": (
        {"bits": 32, "assignment": "full", "lowering": "portable", "max_users": None, "recommender": "mf"},
        {"bits": 32, "codebook_rows": 98, "codes_per_entity": 1, "layers": 0},
        {"assignment": "full", "recommender": "mf"},
        {"codebook": 98 * 8 * 4, "assignment": 0},
    ),
    "full table of int4 rows, trained": (
        {"bits": 4, "assignment": "full", "step_sizes": "row"},
        {"bits": 4, "codebook_rows": 98, "codes_per_entity": 1, "step_shape": [98]},
        {"assignment": "full"},
        {"codebook": 98 * 4, "codebook_steps": 4 * 98, "assignment": 0},
    ),
    "full table of int8 rows, rounded": (
        {"assignment": "full", "step_sizes": "row", "quantisation": "post-training", "finetune_epochs": None},
        {"bits": 8, "codebook_rows": 98, "codes_per_entity": 1, "step_shape": [98]},
        {"assignment": "full", "quantisation": "post-training"},
        {"codebook": 98 * 8, "codebook_steps": 4 * 98, "assignment": 0},
    ),
}


@pytest.mark.native
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_reaches_the_bundle_and_its_programs(name: str, dataset: Dataset, tmp_path: Path) -> None:
    given, sizes, training, stored = KINDS[name]
    options = ExportOptions(**{**SMALL, **given})
    report = export(dataset, tmp_path / "bundle", options)
    document = report.manifest.document
    assert sizes.items() <= document["model"].items()
    assert training.items() <= document["training"].items()
    assert stored.items() <= document["storage"]["items"].items()
    assert ("finetuned" in document["metrics"]) == (options.finetune_epochs == 1)
    assert set(verify_bundle(report.path).programs) == {"encode", "finetune", "recommend"}
    with Recommender.open(report.path) as recommender:
        losses = recommender.finetune(epochs=4, learning_rate=0.05).losses
        assert losses[-1] < losses[0]


@pytest.mark.native
def test_a_full_table_that_keeps_everybody_ranks_as_it_was_trained(dataset: Dataset, tmp_path: Path) -> None:
    """Nobody pruned and nothing fine-tuned: the programs' accuracy is that of the trained model."""
    options = ExportOptions(
        **{**SMALL, "bits": 4, "assignment": "full", "retention": 1.0, "finetune_epochs": 0}
    )
    metrics = export(dataset, tmp_path / "bundle", options).manifest.document["metrics"]
    assert metrics["rewired"] == pytest.approx(metrics["before_pruning"], rel=1e-6)


def test_rounding_afterwards_shares_the_training() -> None:
    settings = {**SMALL, "assignment": "full", "quantisation": "post-training"}
    trained = {
        stages.training_options(ExportOptions(**{**settings, **rounded}), pairs=900)
        for rounded in ({"bits": 4}, {"bits": 16}, {"bits": 8, "step_sizes": "row"})
    }
    floats = ExportOptions(**{**SMALL, "assignment": "full", "bits": 32})
    assert trained == {stages.training_options(floats, pairs=900)}


def test_what_is_default_is_not_written_down(dataset: Dataset) -> None:
    """Bundles of earlier versions keep their bytes."""
    from lerg_exporter.exporting.writing import _kinds

    assert _kinds(ExportOptions()) == {}
    asked = ExportOptions(assignment="metis", auxiliaries="random")
    assert _kinds(asked) == {"assignment": "metis", "auxiliaries": "random"}


def test_another_training_is_another_stage_and_each_is_found_again(dataset: Dataset, tmp_path: Path) -> None:
    work = WorkDir.at(tmp_path)
    changes: list[dict[str, Any]] = [
        {}, {"recommender": "mf"}, {"recommender": "xsimgcl"}, {"step_sizes": "row"}, {"assignment": "legcf"},
    ]  # fmt: skip
    for settings in changes:
        options = ExportOptions(**{**SMALL, "assignment": "metis", "epochs": 4, **settings})
        training = stages.training_options(options, pairs=900)
        runs, cut = [], Cut.of(dataset.train, training)
        for _ in range(2):
            made = stages.assigned(cut, options, training, codebook_rows=24, work=work, progress=Silent())
            runs.append(stages.pretrained(cut, made, training, options, work=work, progress=Silent()))
        first, again = runs
        np.testing.assert_array_equal(first.assignment.codes, again.assignment.codes)
        np.testing.assert_array_equal(first.codebook, again.codebook)
        assert first.history == again.history
    assert len(list(tmp_path.glob("pretrained-*"))) == len(changes)
    assert len(list(tmp_path.glob("assignment-*"))) == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"assignment": "kmeans"}, "assignment is kmeans; choose one of product"),
        ({"auxiliaries": "none"}, "auxiliaries is none; choose one of neighbours, random"),
        ({"recommender": "gru"}, "recommender is gru; choose one of lightgcn"),
        ({"step_sizes": "block"}, "step_sizes is block; choose one of one, row"),
        ({"recommender": "xsimgcl", "layers": 0}, "layers is 0; recommender=xsimgcl contrasts layers"),
        ({"recommender": "mf", "layers": 2}, "layers is 2; recommender=mf propagates nothing"),
        ({"step_sizes": "row", "propagation": "folded"}, "step_sizes=row needs propagation=graph"),
        ({"bits": 32, "propagation": "folded"}, "bits=32 needs propagation=graph"),
        ({"bits": 32, "step_sizes": "row"}, "step_sizes needs a quantiser and bits=32 has none"),
        ({"bits": 32, "quantisation": "post-training"}, "quantisation needs a quantiser"),
        ({"quantisation": "post-training", "propagation": "folded"}, "post-training needs propagation=graph"),
        ({"quantisation": "never"}, "quantisation is never; choose one of learned, post-training"),
        (
            {"assignment": "full", "codebook_rows": 40},
            "codebook_rows is 40; with assignment=full their number follows",
        ),
        (
            {"assignment": "full", "codes_per_entity": 2},
            "codes_per_entity has no effect with assignment=full",
        ),
        (
            {"assignment": "full", "anchor_weight": 0.9},
            "anchor_weight has no effect with assignment=full",
        ),
        (
            {"assignment": "full", "auxiliaries": "random"},
            "auxiliaries has no effect with assignment=full",
        ),
    ],
)
def test_what_contradicts_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ExportOptions(**given)


@pytest.mark.parametrize(
    ("given", "layers"),
    [
        ({}, 1),
        ({"assignment": "full"}, 1),
        ({"assignment": "metis"}, 3),
        ({"assignment": "full", "recommender": "xsimgcl"}, 3),
        ({"recommender": "mf"}, 0),
        ({"layers": 2}, 2),
    ],
)
def test_layers_follow_from_the_recommender_and_the_assignment(given: dict[str, Any], layers: int) -> None:
    options = ExportOptions(**given)
    assert options.resolved_layers == layers
    assert stages.training_options(options, pairs=900).layers == layers
