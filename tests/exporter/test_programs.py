"""Traced programs against the model they were traced from, and what must not enter their bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from traced import content_of, remembered

from lerg_edge.codes.quantiser import quantise
from lerg_edge.errors import InputError
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.programs import trace as programs
from lerg_exporter.programs.choice import LOWERINGS, PROPAGATIONS, methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_exporter.programs.trace import Program, trace
from lerg_runtime.bundle import pack

LIMITS = ProgramLimits(max_batch=32, max_users=4, max_k=7)
METHODS = ("finetune", "encode", "recommend")
SHAPES: dict[str, dict[str, Any]] = {
    "8 bits": {},
    "4 bits, a step a row": {"bits": 4, "row_steps": True},
    "16 bits, nobody pruned": {
        "bits": 16,
        "kept_users": 60,
        "kept_items": 50,
        "placeholders": (0, 0),
    },
    "32 bits": {"bits": 32},
    "32 bits, a code each, no layer, no edge": {
        "bits": 32,
        "codebook_rows": 110,
        "codes_per_entity": 1,
        "layers": 0,
        "edges": 0,
    },
    "folded": {"entries": 5},
    "folded, 4 bits, a step a row, many columns": {"entries": 7, "bits": 4, "row_steps": True, "dim": 70},
    "folded, 16 bits, nobody pruned": {
        "entries": 1,
        "bits": 16,
        "kept_users": 60,
        "kept_items": 50,
        "placeholders": (0, 0),
    },
    "blocks of 1": {"composition": "blocks", "codes_per_entity": 8, "codebook_rows": 300},
    "blocks of 3, a step a row": {
        "composition": "blocks",
        "dim": 24,
        "codes_per_entity": 8,
        "codebook_rows": 256,
        "row_steps": True,
    },
    "blocks of 8, 4 bits": {
        "composition": "blocks",
        "dim": 40,
        "codes_per_entity": 5,
        "codebook_rows": 257,
        "bits": 4,
    },
    "one block, no layer": {"composition": "blocks", "codes_per_entity": 1, "layers": 0},
    "one pair left, one code an entity": {
        "kept_users": 1,
        "kept_items": 1,
        "edges": 1,
        "codes_per_entity": 1,
        "layers": 1,
    },
}


Traced = tuple[RewiredModel | FoldedModel, Program]


@pytest.fixture(scope="module")
def plain(make_model: Callable[..., RewiredModel]) -> Traced:
    model = make_model()
    return model, trace(methods_of(model, LIMITS))


@pytest.mark.native
def test_a_remembered_program_is_the_one_that_tracing_gives(
    plain: Traced, make_model: Callable[..., RewiredModel]
) -> None:
    trace_once = remembered(trace)
    for _ in range(2):
        assert trace_once(methods_of(make_model(), LIMITS)) == plain[1]


def test_what_is_remembered_differs_where_methods_do(make_model: Callable[..., RewiredModel]) -> None:
    limits = {"as they are": LIMITS, "another l2": replace(LIMITS, l2=0.1), "fewer": replace(LIMITS, max_k=6)}
    models = [make_model(), make_model(seed=1), make_model(layers=1), make_model(entries=4)]
    found = [
        content_of(methods_of(model, each, lowering=lowering))
        for model in [*models, make_model()]
        for each in limits.values()
        for lowering in LOWERINGS
        if lowering == "native" or each is LIMITS
    ]
    assert len(set(found)) == len(found) * len(models) // (len(models) + 1)


@pytest.fixture(scope="module", params=SHAPES)
def traced(request: pytest.FixtureRequest, make_model: Callable[..., RewiredModel]) -> Traced:
    if not SHAPES[request.param]:
        found: Traced = request.getfixturevalue("plain")
        return found
    model = make_model(**SHAPES[request.param])
    return model, trace(methods_of(model, LIMITS))


def load(program: Program, folder: Path, method: str, **parameters: np.ndarray) -> Any:
    from lerg_runtime import _native

    path = folder / "model.pte"
    path.write_bytes(program.data)
    return _native.Program(str(path), _native.Budget(0)).load(method, parameters)


def test_plan_is_what_the_runtime_finds(traced: Traced, tmp_path: Path) -> None:
    model, program = traced
    assert tuple(plan.method for plan in program.plans) == METHODS
    for plan in program.plans:
        parameters = {"codebook": model.codebook, "step": model.step} if plan.method == "finetune" else {}
        method = load(program, tmp_path, plan.method, **parameters)
        assert method.arena_bytes == list(plan.arena_bytes)
        assert method.input_specs == [(spec.dtype, spec.shape) for spec in plan.inputs]
        assert method.output_specs == [(spec.dtype, spec.shape) for spec in plan.outputs]


def test_encode_gives_the_tables_of_the_model(traced: Traced, tmp_path: Path) -> None:
    model, program = traced
    codes = pack(quantise(model.codebook, model.step, bits=model.bits), bits=model.bits)
    tables = load(program, tmp_path, "encode").execute(codes, model.step)
    for found, expected in zip(tables, model.tables(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("lowering", "shape"),
    [
        ("native", {}),
        ("native", {"bits": 32}),
        ("native", {"entries": 3}),
        ("native", {"composition": "blocks"}),
        ("portable", {"composition": "blocks"}),
        ("portable", {"bits": 32}),
    ],
)
def test_finetune_gradients_are_those_of_finite_differences(
    lowering: str, shape: dict[str, Any], make_model: Callable[..., RewiredModel], tmp_path: Path
) -> None:
    """Against central differences of the loss itself in float64; with 16 bits rounding hardly shows."""
    bits = shape.get("bits", 16)
    model = make_model(**{"bits": bits, "codebook_rows": 6, "dim": 4, **shape})
    step = np.array([1.0 if bits == 32 else 1e-4], np.float32)
    limits = ProgramLimits(max_batch=8, l2=0.1)
    methods = methods_of(model, limits, lowering=lowering)
    program = trace({"finetune": methods["finetune"]})
    users, positives, negatives = np.array([0, 3, 43]), np.array([1, 36, 2]), np.array([4, 5, 37])
    parameters = {"codebook": model.codebook.copy(), "step": step}
    _, gradient, step_gradient, *_ = load(program, tmp_path, "finetune", **parameters).execute(
        users, positives, negatives
    )
    assert (step_gradient == 0).all() == (bits == 32)

    def loss(codebook: np.ndarray) -> float:
        propagated = dense_tables(model, codebook, layers=model.layers)
        first = dense_tables(model, codebook, layers=0)
        user, positive, negative = propagated[0][users], propagated[1][positives], propagated[1][negatives]
        margin = (user * (negative - positive)).sum(1)
        rows = np.concatenate([first[0][users], first[1][positives], first[1][negatives]])
        return float(np.logaddexp(0, margin).mean() + 0.05 * (rows**2).sum() / len(users))

    codebook = quantise(model.codebook, step, bits=bits) * np.float64(step)
    for row, column in np.ndindex(codebook.shape):
        moved = [codebook.copy(), codebook.copy()]
        moved[0][row, column] += 1e-4
        moved[1][row, column] -= 1e-4
        expected = (loss(moved[0]) - loss(moved[1])) / 2e-4
        assert gradient[row, column] == pytest.approx(expected, rel=1e-3, abs=1e-7)


def dense_tables(model: RewiredModel, codebook: np.ndarray, *, layers: int) -> tuple[np.ndarray, np.ndarray]:
    """The definition in dense float64: 1/(L+1) sum_l A^l S Q, placeholders below.

    A folded model's rows are P_k Q whatever the layers, and so are those that its penalty falls on.
    """
    if isinstance(model, FoldedModel):
        rows = model.rows.matrix().toarray().astype(np.float64) @ codebook
        users = len(model.retained_users)
        user_rest, item_rest = model.placeholders.tables()
        return np.concatenate([rows[:users], user_rest]), np.concatenate([rows[users:], item_rest])
    kept_users, kept_items = model.graph.shape
    adjacency = np.zeros((kept_users + kept_items,) * 2)
    adjacency[:kept_users, kept_users:] = model.graph.toarray()
    adjacency += adjacency.T
    degrees = np.maximum(adjacency.sum(1), 1)
    adjacency /= np.sqrt(degrees[:, None] * degrees[None, :])
    weights = np.array([model.anchor_weight, 1 - model.anchor_weight])
    rows = (codebook[model.assignment[model.retained]] * weights[:, None]).sum(1)
    if model.composition == "blocks":
        width = model.codebook.shape[1] // 2
        parts = [codebook[model.assignment[model.retained, j], j * width : (j + 1) * width] for j in (0, 1)]
        rows = np.concatenate(parts, axis=1)
    total = rows.copy()
    for _ in range(layers):
        rows = adjacency @ rows
        total += rows
    total /= layers + 1
    user_rest, item_rest = model.placeholders.tables()
    return np.concatenate([total[:kept_users], user_rest]), np.concatenate([total[kept_users:], item_rest])


def test_recommend_ranks_by_score_then_index(plain: Traced, tmp_path: Path) -> None:
    method = load(plain[1], tmp_path, "recommend")
    rng = np.random.default_rng(3)
    table = rng.integers(-2, 3, (38, 8)).astype(
        np.float32
    )  # small integers: equal scores are common and exact
    rows = rng.integers(-2, 3, (4, 8)).astype(np.float32)
    slots = rng.integers(0, 38, 50).astype(np.int32)
    seen = rng.random((4, 50)) < 0.3
    seen[3, 5:] = True
    seen[3, :5] = False
    items, scores = method.execute(rows, table, slots, seen, np.arange(7))
    for user in range(4):
        all_scores = rows[user] @ table[slots].T
        order = sorted(np.flatnonzero(~seen[user]), key=lambda item: (-all_scores[item], item))[:7]
        expected = np.array(order + [-1] * (7 - len(order)))
        np.testing.assert_array_equal(items[user], expected)
        np.testing.assert_array_equal(scores[user], np.where(expected < 0, -np.inf, all_scores[expected]))


def test_operators_are_named(plain: Traced) -> None:
    operators = {plan.method: plan.operators for plan in plain[1].plans}
    assert operators["encode"] == ("lerg::dequantise.out", "lerg::propagate_table.out")
    assert operators["recommend"] == ("lerg::score_items.out", "lerg::top_items.out")
    assert {"lerg::propagate_rows.out", "lerg::propagate_rows_grad.out"} <= set(operators["finetune"])


def test_no_matrix_is_expanded(make_model: Callable[..., RewiredModel]) -> None:
    """The stock operator copies an element at a time; left in, it took a seventh of a fine-tune step."""
    graph = programs._export(methods_of(make_model(), replace(LIMITS, l2=0.1))["finetune"]).graph
    products = graph.find_nodes(op="call_function", target=torch.ops.aten.mul.Tensor)
    assert any(len(product.meta["val"].shape) == 2 for product in products), "there is something to look at"
    expansions = graph.find_nodes(op="call_function", target=torch.ops.aten.expand.default)
    assert all(len(expansion.meta["val"].shape) < 2 for expansion in expansions)


def test_constants_are_stored_once(plain: Traced) -> None:
    """Two methods use the graph, the assignment and the placeholders."""
    model, program = plain
    assert program.data.count(model.graph.indices.astype(np.uint8).tobytes()) == 1
    assert program.data.count(model.graph.indptr.astype(np.int32).tobytes()) == 1
    assert program.data.count(model.placeholders.codes[:4].tobytes()) == 1


SCRIPT = """
import hashlib, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
from conftest import random_model
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.trace import trace
program = trace(methods_of(random_model(), ProgramLimits(max_batch=32, max_users=4, max_k=7)))
print(hashlib.sha256(program.data + program.parameter_data).hexdigest())
"""


def test_bytes_depend_on_the_model_alone(plain: Traced, tmp_path: Path) -> None:
    """Another process in another folder traces the same bytes, and no path is in them."""
    program = plain[1]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    here = hashlib.sha256(program.data + (program.parameter_data or b"")).hexdigest()
    assert done.stdout.strip() == here
    for secret in (b".py", b"site-packages", str(Path.cwd()).encode(), b"/tmp", b"stack_trace"):
        assert secret not in program.data


def test_folded_entries_are_stored_once_and_no_graph_is(make_model: Callable[..., FoldedModel]) -> None:
    model = make_model(entries=5)
    program = trace(methods_of(model, LIMITS))
    for tensor in (model.rows.codes.astype(np.uint8), model.rows.weights, model.rows.scales):
        assert program.data.count(tensor.tobytes()) == 1
    operators = {plan.method: plan.operators for plan in program.plans}
    assert operators["encode"] == ("lerg::dequantise.out", "lerg::folded_table.out")
    assert {"lerg::folded_rows.out", "lerg::folded_loss_grad.out"} <= set(operators["finetune"])
    assert not any("propagate" in name for names in operators.values() for name in names)


def test_parameters_do_not_travel(make_model: Callable[..., RewiredModel]) -> None:
    """The program is the same whatever the weights are, and the weights lie in the `.ptd` bytes."""
    model = make_model()
    other = make_model()
    other.codebook[:] += 1.0
    first, second = (trace(_only_finetune(each)) for each in (model, other))
    assert first.data == second.data
    assert first.parameter_data is not None
    assert model.codebook.tobytes() in first.parameter_data
    assert other.codebook.tobytes() in (second.parameter_data or b"")
    assert model.codebook.tobytes() not in first.data
    embedded = trace(_only_finetune(model), embed_parameters=True)
    assert model.codebook.tobytes() in embedded.data
    assert embedded.parameter_data is None


def _only_finetune(model: RewiredModel) -> dict[str, Method]:
    return {"finetune": methods_of(model, LIMITS)["finetune"]}


def test_unavailable_combinations_are_refused(make_model: Callable[..., RewiredModel]) -> None:
    with pytest.raises(InputError, match="lowering=folded and propagation=graph do not go together"):
        methods_of(make_model(), LIMITS, lowering="folded")
    assert tuple(LOWERINGS) == ("native", "portable")
    assert tuple(PROPAGATIONS) == ("graph", "folded")


def test_a_side_without_anybody_is_refused(make_model: Callable[..., RewiredModel]) -> None:
    with pytest.raises(InputError, match="at least one of each"):
        methods_of(make_model(kept_users=0, edges=0), LIMITS)
    with pytest.raises(InputError, match="at least one of each"):
        methods_of(make_model(kept_users=0, edges=0, entries=2), LIMITS)


@pytest.mark.parametrize("wrong", [{"max_batch": 1}, {"max_users": 0}, {"max_k": 0}, {"l2": -1.0}])
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        ProgramLimits(**wrong)
