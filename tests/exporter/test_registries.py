"""What every entry of every registry keeps to, those of the examples included, and how few files it takes."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from traced import ROOT

from lerg_edge.codes.assignment import Assignment, LearnedAssignment
from lerg_edge.codes.compositions import COMPOSITIONS
from lerg_edge.codes.embedding import compose_rows
from lerg_edge.codes.quantiser import dequantise, initial_step, quantise
from lerg_edge.codes.widths import FLOAT_BITS, WIDTHS, bounds, packed_bytes
from lerg_edge.data.interactions import Dataset
from lerg_edge.errors import InputError
from lerg_edge.selection import SELECTORS, BipSelector, SelectionProblem, find_selector, select
from lerg_edge.training.pretraining import pretrain
from lerg_exporter import ExportOptions, export
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.kinds.assignments import ASSIGNMENTS, SETTINGS, assignment_kind
from lerg_exporter.exporting.kinds.recommenders import RECOMMENDERS, recommender_kind
from lerg_exporter.exporting.kinds.selectors import CANDIDATES, ROUNDING
from lerg_exporter.exporting.shaping import Given, shaped
from lerg_exporter.exporting.shapings import SHAPINGS
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_exporter.programs.choice import LOWERINGS, PROPAGATIONS, methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime import Recommender
from lerg_runtime.bundle import pack, unpack

OWN = {
    "selector": f"{ROOT / 'examples' / 'own_selector.py'}:two_hop_reach",
    "assignment": f"{ROOT / 'examples' / 'own_assignment.py'}:NEAREST_CENTRES",
    "recommender": f"{ROOT / 'examples' / 'own_recommender.py'}:DROPPING",
}
SMALL: dict[str, Any] = {
    "dim": 8, "bits": 8, "epochs": 2, "placeholders": 8, "batch": 128, "max_k": 20, "device": "cpu",
    "finetune_epochs": 0, "pruned_users": "history",
}  # fmt: skip
USERS, ITEMS, PAIRS = 80, 60, 900


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset(USERS, ITEMS, PAIRS)


@pytest.mark.parametrize("name", [*SELECTORS, OWN["selector"]])
def test_every_selector_keeps_as_many_as_are_asked_for(name: str, dataset: Dataset) -> None:
    rows = np.random.default_rng(0).standard_normal((USERS + ITEMS, 4)).astype(np.float32)
    problem = SelectionProblem.at_retention(dataset.train.matrix(), rows, retention=0.5)
    chosen, again = (select(problem, selector=name) for _ in range(2))
    assert chosen.retained.sum() == (USERS + ITEMS) // 2
    np.testing.assert_array_equal(chosen.retained, again.retained)
    assert isinstance(find_selector(name), BipSelector) == (name in ROUNDING)


def test_auto_tries_selectors_that_there_are() -> None:
    assert set(CANDIDATES) <= set(SELECTORS)


@pytest.mark.parametrize("name", [*ASSIGNMENTS, OWN["assignment"]])
def test_every_assignment_gives_each_entity_codes_without_having_seen_validation(
    name: str, dataset: Dataset
) -> None:
    kind = assignment_kind(name)
    assert set(kind.reads) <= set(SETTINGS)
    options = ExportOptions(**SMALL, assignment=name)
    training = stages.training_options(options, pairs=PAIRS)
    cut = Cut.of(dataset.train, training)
    codes = USERS + ITEMS if kind.one_each else 24
    settings = {name: getattr(options, name) for name in kind.reads} | {"codebook_rows": codes}
    if "codes_per_entity" in settings:
        settings["codes_per_entity"] = options.resolved_codes_per_entity
    if kind.teacher:
        rows = np.random.default_rng(0).standard_normal((USERS + ITEMS, SMALL["dim"]))
        settings["teacher"] = rows.astype(np.float32)
    # All that it is given is the cut: without the held-out pairs it says the same.
    made, again = (kind.function("assign")(cut.split, training, **settings) for _ in range(2))
    made, again = (
        part if isinstance(part, LearnedAssignment) else LearnedAssignment(part) for part in (made, again)
    )
    assignment: Assignment = made.assignment
    assert assignment.codes.shape == (USERS + ITEMS, options.resolved_codes_per_entity)
    assert 0 <= assignment.codes.min() <= assignment.codes.max() < assignment.codebook_rows == codes
    assert (assignment.blocks > 1) == bool(kind.block_width and options.resolved_codes_per_entity > 1)
    np.testing.assert_array_equal(assignment.codes, again.assignment.codes)
    start = {} if made.codebook is None else {"start": made.codebook}
    model = kind.function("pretrain")(cut.split, assignment, training, **start)
    assert model.codebook.shape == (codes, SMALL["dim"])
    assert np.isfinite(model.codebook).all()
    assert (model.bits, model.layers) == (SMALL["bits"], options.resolved_layers)


def _learned(made: Assignment | LearnedAssignment) -> LearnedAssignment:
    return made if isinstance(made, LearnedAssignment) else LearnedAssignment(made)


@pytest.mark.parametrize("full_table", [False, True])
@pytest.mark.parametrize("name", [*RECOMMENDERS, OWN["recommender"]])
def test_every_recommender_learns(name: str, full_table: bool, dataset: Dataset) -> None:
    assignment = "full" if full_table else "metis"
    options = ExportOptions(**{**SMALL, "epochs": 8}, recommender=name, assignment=assignment)
    assert options.resolved_layers == recommender_kind(name).layers or recommender_kind(name).layers is None
    training = stages.training_options(options, pairs=PAIRS)
    cut = Cut.of(dataset.train, training)
    codes = USERS + ITEMS if full_table else 24
    settings = {} if full_table else {"codes_per_entity": 2}
    made = options.assignment_kind.function("assign")(cut.split, training, codebook_rows=codes, **settings)
    losses = [report.loss for report in pretrain(cut.split, made, training).history]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_width_comes_back_as_it_was_packed(bits: int) -> None:
    weights = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    floats = bits == FLOAT_BITS
    step = np.ones(1, np.float32) if floats else initial_step(torch.from_numpy(weights), bits=bits).numpy()
    stored = quantise(weights, step, bits=bits)
    packed = pack(stored, bits=bits)
    assert stored.dtype == WIDTHS[bits].stored
    assert packed.shape == (5, 6 // WIDTHS[bits].per_byte)
    assert packed.nbytes == packed_bytes(5, 6, bits=bits)
    np.testing.assert_array_equal(unpack(packed, bits=bits), stored)
    limits = (-np.inf, np.inf) if floats else bounds(bits)
    clipped = np.clip(weights, *(np.array(limits) * step))
    assert np.abs(dequantise(stored, step) - clipped).max() <= (0 if floats else step / 2 * 1.001)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_every_composition_is_the_product_with_its_matrix(name: str) -> None:
    rng = np.random.default_rng(0)
    codes = np.array([rng.permutation(7)[:2] for _ in range(9)], np.int32)
    assignment, codebook = Assignment(codes, 7, 0.6, name), rng.standard_normal((7, 4)).astype(np.float32)
    blocks = assignment.blocks
    product = assignment.matrix() @ codebook.reshape(7 * blocks, -1)
    np.testing.assert_allclose(compose_rows(assignment, codebook), product.reshape(9, 4), rtol=1e-6)
    assert COMPOSITIONS[name].weighted == (len(set(assignment.matrix().data.tolist())) > 1)


def test_propagations_are_known_alike_everywhere() -> None:
    assert list(SHAPINGS) == list(PROPAGATIONS)
    assert {name for each in LOWERINGS.values() for name in each.programs} == set(PROPAGATIONS)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_every_pair_of_lowering_and_propagation_has_methods_and_their_sizes(
    lowering: str, propagation: str, make_model: Callable[..., Any]
) -> None:
    model = make_model(entries=3 if PROPAGATIONS[propagation].entries else None)
    assert (model.propagation, model.kind) == (propagation, PROPAGATIONS[propagation].model)
    assert set(methods_of(model, ProgramLimits(max_batch=8), lowering=lowering)) == {
        "finetune", "encode", "recommend",
    }  # fmt: skip


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_every_propagation_makes_a_model_and_its_twin(
    propagation: str, dataset: Dataset, tmp_path: Path
) -> None:
    """And what the work folder gives back is the same."""
    from lerg_edge.training.pretraining import propagated
    from lerg_edge.workdir import WorkDir
    from lerg_exporter.bundles.estimate import DataSizes
    from lerg_exporter.exporting.budget import choose_plan, pretraining_codes
    from lerg_exporter.exporting.progress import Silent

    options = ExportOptions(**SMALL, assignment="metis", propagation=propagation)
    training, work = stages.training_options(options, pairs=PAIRS), WorkDir.at(tmp_path)
    cut, plan = Cut.of(dataset.train, training), choose_plan(options, DataSizes.of(dataset.train))
    codes = pretraining_codes(options, dataset.train, stored=plan.codebook_rows)
    made = stages.assigned(cut, options, training, codebook_rows=codes, work=work, progress=Silent())
    model = stages.pretrained(cut, made, training, options, work=work, progress=Silent())
    given = Given(cut, model, propagated(model, cut.matrix), options, plan)
    first, again = (shaped(given, SHAPINGS[propagation], work=work) for _ in range(2))
    for one, other in ((first.model, again.model), (first.twin, again.twin)):
        assert type(one) is type(other)
        for mine, theirs in zip(one.tables(), other.tables(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert first.model.kind == PROPAGATIONS[propagation].model
    assert not np.array_equal(first.model.tables()[0], first.twin.tables()[0])
    assert first.summary == again.summary


@pytest.mark.native
def test_everything_of_ones_own_reaches_a_bundle(dataset: Dataset, tmp_path: Path) -> None:
    """Named without its folder, and never taken from the work folder."""
    options = ExportOptions(**SMALL, **OWN)
    for name in ("one", "two"):
        export(dataset, tmp_path / name, options, work_dir=tmp_path / "work")
    assert not list((tmp_path / "work").glob("assignment-*")) + list((tmp_path / "work").glob("pretrained-*"))
    assert (tmp_path / "one" / "state.bin").read_bytes() == (tmp_path / "two" / "state.bin").read_bytes()
    with Recommender.open(tmp_path / "one") as recommender:
        assert len(recommender.recommend(0, k=5)[0]) == 5
        document = recommender.manifest.document
    assert document["model"]["layers"] == 2
    assert document["training"]["assignment"] == "own_assignment.py:NEAREST_CENTRES"
    for axis, place in OWN.items():
        assert document["training"]["config"][axis] == Path(place).name
    assert str(ROOT) not in (tmp_path / "one" / "manifest.json").read_text()


@pytest.mark.parametrize("axis", ["assignment", "recommender"])
def test_what_is_not_usable_is_named(axis: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("HERE = 1\n")
    (tmp_path / "broken.py").write_text("def\n")
    for place, reason in (
        ("missing.py:HERE", "there is no file"),
        ("own.py:THERE", "defines no 'THERE'"),
        ("own.py:HERE", "it is a int"),
        ("broken.py:HERE", "failed with invalid syntax"),
    ):
        with pytest.raises(InputError, match=rf"{axis} '.*{place}' is not usable: .*{reason}"):
            ExportOptions(**{axis: str(tmp_path / place)})


# An entry's name stands in these files and in those that are its own: nothing else asks which entry it is.
# The runtime's files are those of the bundle's format.
FILES = {
    "selector": ("lerg_edge/selection/registry.py", "exporter/lerg_exporter/exporting/kinds/selectors.py"),
    "assignment": ("exporter/lerg_exporter/exporting/kinds/assignments.py",),
    "recommender": ("exporter/lerg_exporter/exporting/kinds/recommenders.py",),
    "propagation": (
        "exporter/lerg_exporter/programs/choice.py",
        "exporter/lerg_exporter/exporting/shapings.py",
        "runtime/lerg_runtime/bundle/_manifest.py",
    ),
    "lowering": (
        "exporter/lerg_exporter/programs/choice.py",
        "runtime/lerg_runtime/bundle/_manifest.py",
        "runtime/lerg_runtime/bundle/_programs.py",
    ),
    "composition": ("lerg_edge/codes/compositions.py", "runtime/lerg_runtime/bundle/_shape.py"),
}
# Words that mean other things elsewhere.
NAMES = {
    "selector": set(SELECTORS) - {"norm", "random"},
    "assignment": set(ASSIGNMENTS) - {"product", "full"},
    "recommender": set(RECOMMENDERS),
    "propagation": set(PROPAGATIONS) - {"folded"},
    "lowering": set(LOWERINGS),
    "composition": set(COMPOSITIONS),
}


def texts(node: ast.AST) -> set[str]:
    """Texts that a value is, or holds in a row."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return set().union(*map(texts, node.elts))
    if isinstance(node, ast.Starred):
        return texts(node.value)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def asked_for(source: str) -> set[str]:
    """Texts that something is compared with, looked up by, or held in a row, but for `__all__`."""
    found: set[str] = set()
    tree = ast.parse(source)
    exported = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and "__all__" in ast.dump(node)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            found |= set().union(*map(texts, (node.left, *node.comparators)))
        elif isinstance(node, ast.MatchValue):
            found |= texts(node.value)
        elif isinstance(node, ast.Dict):
            found |= set().union(*(texts(key) for key in node.keys if key is not None))
        elif node not in exported and isinstance(node, ast.Tuple | ast.List | ast.Set):
            found |= texts(node)
    return found


@pytest.mark.parametrize("axis", FILES)
def test_no_other_file_asks_which_entry_it_is(axis: str) -> None:
    asking = {
        str(file.relative_to(ROOT))
        for folder in ("lerg_edge", "exporter/lerg_exporter", "runtime/lerg_runtime")
        for file in (ROOT / folder).rglob("*.py")
        if asked_for(file.read_text(encoding="utf-8")) & NAMES[axis]
    }
    assert asking == set(FILES[axis])
    assert len(FILES[axis]) <= 3
