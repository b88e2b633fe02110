"""Stages that are kept, interrupted and taken up again, and fine-tuning that must not make things worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerg_edge.codes.widths import WIDTHS
from lerg_edge.data.interactions import Dataset
from lerg_edge.errors import BudgetError, InputError
from lerg_exporter import ExportOptions, export
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.small_bundle import small_dataset

pytestmark = pytest.mark.native

SMALL = ExportOptions(
    bits=8,
    dim=8,
    codebook_rows=24,
    placeholders=8,
    batch=128,
    max_users=4,
    max_k=20,
    epochs=3,
    finetune_epochs=0,
    pruned_users="history",
    device="cpu",
)


def changed(**settings: Any) -> ExportOptions:
    from dataclasses import replace

    return replace(SMALL, **settings)


class Recorder(Silent):
    """Remembers what it was told, and can interrupt at an epoch."""

    def __init__(self, interrupt_at: tuple[str, int] | None = None) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.epochs: list[tuple[str, int]] = []
        self._interrupt_at = interrupt_at

    def stage(self, title: str) -> None:
        self.stages.append(title)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        self.epochs.append((self.stages[-1], done))
        if self.epochs[-1] == self._interrupt_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset(80, 60, 900)


def test_a_second_run_takes_up_what_is_still_valid(dataset: Dataset, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = Recorder()
    export(dataset, tmp_path / "one", SMALL, work_dir=work, progress=first)
    epochs = [done for stage, done in first.epochs if stage == "pretraining"]
    assert epochs == list(range(1, len(epochs) + 1))
    assert epochs
    other_retention = Recorder()
    export(
        dataset,
        tmp_path / "two",
        changed(retention=0.5),
        work_dir=work,
        progress=other_retention,
    )
    assert not other_retention.epochs
    assert "pretraining is taken from the work folder" in other_retention.notes
    # Without the work folder the same settings give the same bytes.
    export(dataset, tmp_path / "three", changed(retention=0.5))
    for file in sorted((tmp_path / "two").iterdir()):
        assert file.read_bytes() == (tmp_path / "three" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("assignment", ["metis", "product"])
def test_another_bit_width_keeps_the_assignment(assignment: str, dataset: Dataset, tmp_path: Path) -> None:
    from lerg_edge.workdir import WorkDir
    from lerg_exporter.exporting.stages import assigned, training_options

    work = WorkDir.at(tmp_path)
    for bits in WIDTHS:
        options = changed(bits=bits, assignment=assignment)
        training = training_options(options, pairs=900)
        cut = Cut.of(dataset.train, training)
        assigned(cut, options, training, codebook_rows=24, work=work, progress=Silent())
    assert len(list(tmp_path.glob("assignment-*"))) == 1


def test_interrupted_pretraining_goes_on_after_the_last_epoch(dataset: Dataset, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        export(dataset, tmp_path / "one", SMALL, work_dir=work, progress=Recorder(("pretraining", 1)))
    assert not (tmp_path / "one").exists()
    second = Recorder()
    export(dataset, tmp_path / "one", SMALL, work_dir=work, progress=second)
    assert next(done for stage, done in second.epochs if stage == "pretraining") == 2
    export(dataset, tmp_path / "uninterrupted", SMALL)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "uninterrupted" / file.name).read_bytes(), file.name


def test_fine_tuning_that_does_not_help_is_undone(dataset: Dataset, tmp_path: Path) -> None:
    """A rate that scatters the codebook: the weights before it are kept, and it is said."""
    options = changed(finetune_epochs=2, finetune_learning_rate=5.0, epochs=8)
    report = export(dataset, tmp_path / "bundle", options)
    assert report.tuned is not None
    assert report.tuned.best_epoch == 0
    metrics = report.manifest.document["metrics"]
    assert metrics["finetuned"] == metrics["rewired"]
    assert report.manifest.document["training"]["finetune"]["best_epoch"] == 0


def test_fine_tuning_that_helps_is_kept(dataset: Dataset, tmp_path: Path) -> None:
    """After a single epoch of pretraining there is much left to learn."""
    options = changed(assignment="metis", finetune_epochs=4, finetune_learning_rate=0.05, epochs=1)
    work = tmp_path / "work"
    report = export(dataset, tmp_path / "bundle", options, work_dir=work)
    tuned = report.tuned
    assert tuned is not None
    assert tuned.best_epoch > 0
    assert tuned.scores[tuned.best_epoch] == max(tuned.scores) > tuned.scores[0]
    assert report.manifest.finetune.negative_candidates == tuned.negative_candidates
    second = Recorder()
    export(dataset, tmp_path / "again", options, work_dir=work, progress=second)
    assert not second.epochs
    assert (tmp_path / "again" / "state.bin").read_bytes() == (tmp_path / "bundle" / "state.bin").read_bytes()


def test_validation_chooses_the_negatives(dataset: Dataset, tmp_path: Path) -> None:
    """Each way alone, then both: the better one is what the free choice keeps, and what the device gets."""
    settings = {"finetune_epochs": 2, "finetune_learning_rate": 0.05, "epochs": 1}
    found = {}
    for count in (1, 16, None):
        options = changed(**settings, finetune_candidates=count)
        report = export(dataset, tmp_path / str(count), options, work_dir=tmp_path / "work")
        assert report.tuned is not None
        found[count] = (report.tuned.negative_candidates, report.tuned.scores)
        assert report.manifest.finetune.negative_candidates == report.tuned.negative_candidates
    assert found[1][0] == 1
    assert found[16][0] == 16
    assert found[1][1] != found[16][1]
    assert found[None] == max(found[1], found[16], key=lambda run: max(run[1]))


def test_validation_pairs_stay_out_of_the_twin(dataset: Dataset) -> None:
    from lerg_exporter.exporting.stages import training_options

    train = dataset.train
    cut = Cut.of(train, training_options(SMALL, pairs=900))
    split = cut.split
    fit, held_out = cut.part(split.train), cut.part(split.held_out)
    assert (fit.matrix() != split.train).nnz == 0
    assert (held_out.matrix() != split.held_out).nnz == 0
    assert fit.pair_count + held_out.pair_count == train.pair_count


def test_folding_is_kept_and_repeats(dataset: Dataset, tmp_path: Path) -> None:
    options = changed(propagation="folded", entries=3, codebook_rows=20)
    work = tmp_path / "work"
    first = export(dataset, tmp_path / "one", options, work_dir=work)
    document = first.manifest.document
    assert set(document["metrics"]) == {"before_pruning", "folded", "placeholders_only"}
    assert document["model"]["entries"] == first.manifest.model.entries == 3
    assert 0 < document["training"]["folding"]["squared_error"] < 0.5
    second = Recorder()
    export(dataset, tmp_path / "two", options, work_dir=work, progress=second)
    assert not second.epochs
    # Without the work folder the same settings give the same bytes.
    export(dataset, tmp_path / "three", options)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
        assert file.read_bytes() == (tmp_path / "three" / file.name).read_bytes(), file.name


def test_folded_bundles_are_fine_tuned_when_asked_to(dataset: Dataset, tmp_path: Path) -> None:
    """A twin of folded rows tunes the codebook; without a wish a folded export leaves that out."""
    assert ExportOptions().resolved_finetune_epochs > 0
    assert ExportOptions(propagation="folded").resolved_finetune_epochs == 0
    options = changed(
        assignment="metis",
        propagation="folded",
        entries=4,
        codebook_rows=24,
        epochs=1,
        finetune_epochs=4,
        finetune_learning_rate=0.05,
    )
    report = export(dataset, tmp_path / "bundle", options)
    tuned = report.tuned
    assert tuned is not None
    assert len(tuned.scores) == 5
    helped = max(tuned.scores) > 1.005 * tuned.scores[0]
    assert tuned.scores[tuned.best_epoch] == (max(tuned.scores) if helped else tuned.scores[0])
    assert tuned.losses[-1] < 0.9 * tuned.losses[0]
    assert {"folded", "finetuned"} <= set(report.manifest.document["metrics"])


def test_validation_pairs_stay_out_of_the_folded_twin(dataset: Dataset, tmp_path: Path) -> None:
    """Rows of the twin, and the codebook of both, are what folding the remaining pairs alone gives."""
    from lerg_edge.folding.dictionary import approximate, learn_dictionary
    from lerg_edge.training.pretraining import propagated
    from lerg_edge.workdir import WorkDir
    from lerg_exporter.exporting import stages
    from lerg_exporter.exporting.budget import Plan
    from lerg_exporter.exporting.folding import Folding
    from lerg_exporter.exporting.shaping import Given, shaped

    options = changed(propagation="folded", entries=3)
    training, work = stages.training_options(options, pairs=900), WorkDir.at(tmp_path)
    cut = Cut.of(dataset.train, training)
    assignment = stages.assigned(cut, options, training, codebook_rows=24, work=work, progress=Silent())
    model = stages.pretrained(cut, assignment, training, options, work=work, progress=Silent())
    plan = Plan(
        codebook_rows=24,
        retention=0.7,
        placeholders=8,
        batch=128,
        negative_candidates=1,
        memory_bytes=0,
        storage_bytes=0,
        entries=3,
    )
    given = Given(cut, model, propagated(model, cut.matrix), options, plan)
    pruned = shaped(given, Folding, work=work)
    seen = propagated(model, cut.split.train)[pruned.model.retained]
    dictionary = learn_dictionary(seen, codebook_rows=24, entries=3, bits=8, seed=options.seed)
    assert np.array_equal(pruned.model.codebook, dictionary.codebook)
    assert np.array_equal(pruned.twin.rows.weights, approximate(seen, dictionary, entries=3).weights)
    assert not np.array_equal(pruned.twin.rows.weights, pruned.model.rows.weights)


def test_without_rewiring_edges_are_only_lost(dataset: Dataset, tmp_path: Path) -> None:
    """And the work folder does not take the one graph for the other, or one boundary for another."""
    work, found = tmp_path / "work", {}
    for rewiring in ("multi-hop", "none"):
        options = changed(epochs=1, retention=0.3, rewiring=rewiring)
        report = export(dataset, tmp_path / rewiring, options, work_dir=work)
        found[rewiring] = (report.manifest.document["training"]["rewiring"], report.manifest.model.edges)
    (rewired, edges), (plain, fewer) = found["multi-hop"], found["none"]
    assert plain["added"] == 0 < rewired["added"]
    assert plain["removed"] == rewired["removed"] == dataset.train.pair_count - fewer
    assert edges == fewer + rewired["added"]
    export(dataset, tmp_path / "rounded", changed(epochs=1, rounding_boundary=0.9), work_dir=work)
    assert len(list(work.glob("rewired-*"))) == 3


@pytest.mark.parametrize(("propagation", "lowering"), [("graph", "native"), ("folded", "portable")])
def test_a_model_of_blocks_goes_the_whole_way(
    propagation: str, lowering: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever learns codes for blocks replaces one stage; folding needs rows only, and leaves no block."""
    from lerg_edge.codes.assignment import Assignment, LearnedAssignment
    from lerg_exporter import verify_bundle
    from lerg_exporter.exporting import stages

    def assigned(*_: Any, codebook_rows: int, **__: Any) -> LearnedAssignment:
        entities = dataset.train.user_count + dataset.train.item_count
        drawn = np.random.default_rng(0).integers(0, codebook_rows, (entities, 4))
        return LearnedAssignment(Assignment.of_blocks(drawn, codebook_rows))

    monkeypatch.setattr(stages, "assigned", assigned)
    options = changed(propagation=propagation, lowering=lowering, max_users=1, finetune_epochs=1)
    recorder = Recorder()
    for name in ("one", "again"):
        report = export(dataset, tmp_path / name, options, work_dir=tmp_path / "work", progress=recorder)
    assert "pretraining is taken from the work folder" in recorder.notes
    verify_bundle(report.path)
    shape, storage = report.manifest.model, report.manifest.document["storage"]
    kept = shape.retained_users + shape.retained_items
    if propagation == "graph":
        assert (shape.composition, shape.blocks) == ("blocks", 4)
        assert "anchor_weight" not in report.manifest.document["model"]
        assert storage["items"]["assignment"] == kept * 4
    else:
        assert (shape.composition, shape.blocks, shape.entries > 0) == ("sum", 1, True)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_without_test_pairs_there_are_no_metrics(dataset: Dataset, tmp_path: Path) -> None:
    report = export(Dataset(dataset.train), tmp_path / "bundle", changed(epochs=1))
    assert not any(report.manifest.document["metrics"].values())


def test_what_must_stay_stays(dataset: Dataset, tmp_path: Path) -> None:
    options = changed(epochs=1, retention=0.3, keep_users=(3, 7), keep_items=(5,), min_users=30)
    report = export(dataset, tmp_path / "bundle", options)
    assert report.manifest.model.retained_users >= 30
    from lerg_runtime.bundle import BundleFolder

    entities = BundleFolder.open(report.path).read_entities()
    users = [entities.user_ids.find(raw) for raw in (3, 7)]
    assert (entities.user_slots[users] < report.manifest.model.retained_users).all()
    assert entities.item_slots[entities.item_ids.find(5)] < report.manifest.model.retained_items


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keep_users": ("nobody",)}, InputError, "nobody"),
        ({"codebook_rows": 4000}, InputError, "codebook_rows"),
        ({"codebook_rows": 4000, "propagation": "folded"}, InputError, "codebook_rows"),
        ({"entries": 30, "propagation": "folded"}, InputError, "entries"),
        ({"memory_budget": 1000}, BudgetError, "memory budget"),
        ({"min_users": 500}, InputError, "user"),
    ],
)
def test_what_cannot_be_is_told_before_training(
    dataset: Dataset, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    recorder = Recorder()
    with pytest.raises(error, match=message):
        export(dataset, tmp_path / "bundle", changed(**options), progress=recorder)
    assert not recorder.epochs
    assert not (tmp_path / "bundle").exists()


def test_chosen_batch_is_in_the_bundle(dataset: Dataset, tmp_path: Path) -> None:
    from lerg_exporter.bundles.estimate import DataSizes
    from lerg_exporter.exporting.budget import choose_plan
    from lerg_runtime import Recommender

    free = changed(epochs=1, batch=None)
    needed = choose_plan(free, DataSizes.of(dataset.train)).memory_bytes
    budget = needed // 2
    report = export(dataset, tmp_path / "bundle", changed(epochs=1, batch=None, memory_budget=budget))
    assert report.plan.batch < 4096
    with Recommender.open(report.path, memory_budget=budget) as recommender:
        recommender.finetune(epochs=1)
        users = recommender.user_ids.take(np.arange(3)).tolist()
        recommender.recommend(users, k=5)
        assert recommender.memory[1] <= budget
