"""The portable lowering against the native one and against definitions, over ordinary graphs and odd ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from lerg_edge.codes.quantiser import quantise
from lerg_edge.errors import InputError, LergError
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.bundles.stock_android import JAVA_DTYPES, check_android, registered_operators
from lerg_exporter.programs import trace as programs
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.portable import recommend as portable_recommend
from lerg_exporter.programs.portable.constants import stored_index
from lerg_exporter.programs.trace import Program
from lerg_runtime.bundle import pack

pytestmark = pytest.mark.native

LIMITS = ProgramLimits(max_batch=48, max_users=4, max_k=7, l2=0.1)
Factory = Callable[..., RewiredModel]


def hub(make: Factory) -> RewiredModel:
    """One user has thousands of items, most items have that user alone, some entities have no edge."""
    items = 5000
    model = make(
        users=3,
        items=items,
        kept_users=3,
        kept_items=items,
        edges=0,
        dim=128,
        codebook_rows=12,
        placeholders=(0, 0),
    )
    rows = np.concatenate([np.zeros(4990, np.int64), np.ones(3, np.int64)])
    columns = np.concatenate([np.arange(4990), [0, 7, 4991]])
    graph = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(3, items))
    return dataclasses.replace(model, graph=graph)


MODELS: dict[str, Callable[[Factory], RewiredModel]] = {
    "8 bits": lambda make: make(),
    "4 bits, a step a row": lambda make: make(bits=4, row_steps=True),
    "16 bits, nobody pruned": lambda make: make(bits=16, kept_users=60, kept_items=50, placeholders=(0, 0)),
    "one pair left, one code an entity": lambda make: make(
        kept_users=1, kept_items=1, edges=1, codes_per_entity=1, layers=1
    ),
    "one user with one item, nobody else connected": lambda make: make(kept_users=1, edges=1),
    "no layer, three codes an entity": lambda make: make(layers=0, codes_per_entity=3),
    "more codes than entities": lambda make: make(codebook_rows=300),
    "32 bits": lambda make: make(bits=32),
    "32 bits, a code each, no layer, no edge": lambda make: make(
        bits=32, codebook_rows=110, codes_per_entity=1, layers=0, edges=0
    ),
    "a hub": hub,
    "blocks of 1": lambda make: make(composition="blocks", codes_per_entity=8, codebook_rows=300),
    "blocks of 3, a step a row": lambda make: make(
        composition="blocks", dim=24, codes_per_entity=8, codebook_rows=256, row_steps=True
    ),
    "blocks of 8, 4 bits": lambda make: make(
        composition="blocks", dim=40, codes_per_entity=5, codebook_rows=257, bits=4
    ),
    "one block": lambda make: make(composition="blocks", codes_per_entity=1, layers=0),
    "more blocks than codes, one pair left": lambda make: make(
        composition="blocks",
        codes_per_entity=4,
        codebook_rows=3,
        kept_users=1,
        kept_items=1,
        edges=1,
        bits=16,
    ),
    "folded": lambda make: make(entries=5),
    "folded, 4 bits, a step a row": lambda make: make(entries=3, bits=4, row_steps=True),
    "folded, nobody pruned, one entry": lambda make: make(
        entries=1, kept_users=60, kept_items=50, placeholders=(0, 0)
    ),
    "folded, many codes": lambda make: make(entries=2, codebook_rows=300),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A model with its programs in both lowerings; how near they must be, against the largest value."""

    model: RewiredModel
    portable: Program
    native: Program
    tolerance: float


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, make_model: Factory) -> Case:
    model = MODELS[request.param](make_model)
    portable, native = (
        programs.trace({name: methods[name] for name in ("finetune", "encode")})
        for lowering in ("portable", "native")
        for methods in [methods_of(model, LIMITS, lowering=lowering)]
    )
    # Stock kernels add a hub's thousands of rows one after the other in float32.
    return Case(model, portable, native, 2e-4 if request.param == "a hub" else 2e-6)


def load(program: Program, folder: Path, method: str, **parameters: np.ndarray) -> Any:
    from lerg_runtime import _native

    path = folder / f"{len(list(folder.iterdir()))}.pte"  # one that is loaded is mapped: never write to it
    path.write_bytes(program.data)
    return _native.Program(str(path), _native.Budget(0)).load(method, parameters)


def test_losses_and_gradients_are_the_native_ones(case: Case, tmp_path: Path) -> None:
    model = case.model
    rng = np.random.default_rng(1)
    sides = (
        len(model.retained_users) + model.placeholders.user_count,
        len(model.retained_items) + model.placeholders.item_count,
    )
    parameters = {"codebook": model.codebook, "step": model.step}
    programs = [load(program, tmp_path, "finetune", **parameters) for program in (case.portable, case.native)]
    for size in (48, 2, 17):
        # The first slot often, so that rows of a batch repeat.
        batch = [
            rng.integers(0, side, size) * rng.integers(0, 2, size) for side in (sides[0], *sides[1:] * 2)
        ]
        (loss, codebook, step, *_), (loss_, codebook_, step_, *_) = (run.execute(*batch) for run in programs)
        assert loss == pytest.approx(loss_, rel=1e-6)
        np.testing.assert_allclose(
            codebook, codebook_, rtol=1e-5, atol=case.tolerance * np.abs(codebook_).max()
        )
        # Of 16 bits, rounding leaves less of v / step than float32 tells apart.
        near = 2e-2 if model.bits == 16 else 1e-3
        np.testing.assert_allclose(step, step_, rtol=0, atol=near * np.abs(step_).max())


def test_tables_are_those_of_the_model(case: Case, tmp_path: Path) -> None:
    model = case.model
    codes = pack(quantise(model.codebook, model.step, bits=model.bits), bits=model.bits)
    codes = codes.view(np.uint8) if model.bits == 16 else codes
    tables = load(case.portable, tmp_path, "encode").execute(codes, model.step)
    for found, expected in zip(tables, model.tables(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=case.tolerance * np.abs(expected).max())


def test_plans_are_what_the_runtime_finds(case: Case, tmp_path: Path) -> None:
    for plan in case.portable.plans:
        parameters = (
            {"codebook": case.model.codebook, "step": case.model.step} if plan.method == "finetune" else {}
        )
        method = load(case.portable, tmp_path, plan.method, **parameters)
        assert method.arena_bytes == list(plan.arena_bytes)
        assert method.input_specs == [(spec.dtype, spec.shape) for spec in plan.inputs]
        assert method.output_specs == [(spec.dtype, spec.shape) for spec in plan.outputs]


def test_stock_android_can_run_and_call_them(case: Case) -> None:
    check_android(case.portable.plans)
    for plan in case.portable.plans:
        assert set(plan.operators) <= registered_operators()
        assert {spec.dtype for spec in (*plan.inputs, *plan.outputs)} <= JAVA_DTYPES
    with pytest.raises(LergError, match=r"would call lerg::\w+.*--lowering native"):
        check_android(case.native.plans)


# What a ranking has to tell apart: equal scores, neighbours in float32, both zeros, subnormal numbers.
SCORES = st.sampled_from(
    [
        0.0, -0.0, 1.0, 1.0 + 2.0**-23, 1.0 - 2.0**-24, -1.0, -1.0 - 2.0**-23, 1e-45, 3e-45, -1e-45, 1e-38,
        3.4e38, -3.4e38, 1e20, 1e20 * (1 + 2.0**-23),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def ranking(make_model: Factory, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`recommend` of 50 items over a table [38, 8]."""
    methods = methods_of(make_model(), LIMITS, lowering="portable")
    program = programs.trace({"recommend": methods["recommend"]})
    return load(program, tmp_path_factory.mktemp("ranking"), "recommend")


def expected_ranking(scores: np.ndarray, seen: np.ndarray, count: int) -> np.ndarray:
    order = sorted(np.flatnonzero(~seen), key=lambda item: (-scores[item], item))[:count]
    return np.array(order + [-1] * (count - len(order)))


@settings(max_examples=200)
@given(
    st.lists(SCORES, min_size=38, max_size=38),
    st.lists(st.integers(0, 37), min_size=50, max_size=50),
    st.lists(st.booleans(), min_size=50, max_size=50),
    st.integers(1, 7),
)
def test_ranking_is_exact(
    ranking: Any, values: list[float], slots: list[int], seen: list[bool], count: int
) -> None:
    table = np.zeros((38, 8), np.float32)
    table[:, 0] = values
    user = np.zeros((1, 8), np.float32)
    user[0, 0] = 1.0
    where, mask = np.array(slots, np.int32), np.array([seen])
    items, scores = ranking.execute(user, table, where, mask.astype(np.uint8), np.arange(count))
    all_scores = table[where, 0]
    expected = expected_ranking(all_scores, mask[0], count)
    np.testing.assert_array_equal(items[0], expected)
    np.testing.assert_array_equal(scores[0], np.where(expected < 0, -np.inf, all_scores[expected]))


def test_rows_that_are_no_numbers_are_no_candidates(ranking: Any) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(-2, 3, (38, 8)).astype(np.float32)
    table[5] = np.nan
    rows = rng.integers(-2, 3, (4, 8)).astype(np.float32)
    slots = rng.integers(0, 38, 50).astype(np.int32)
    seen = rng.random((4, 50)) < 0.3
    items, _ = ranking.execute(rows, table, slots, seen * np.uint8(255), np.arange(7))
    for user in range(4):
        scores = rows[user] @ table[slots].T
        gone = seen[user] | np.isnan(scores)
        np.testing.assert_array_equal(items[user], expected_ranking(scores, gone, 7))


def test_more_items_than_keys_tell_apart_are_refused(
    make_model: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable_recommend, "_MOST_ITEMS", 49)
    with pytest.raises(InputError, match=r"50 items .* up to 49; use --lowering native"):
        methods_of(make_model(), LIMITS, lowering="portable")


@pytest.mark.parametrize("count", [256, 257, 32768, 32769, 65536, 65537])
def test_indices_are_stored_in_few_bytes(count: int) -> None:
    values = np.array([0, 1, count // 2, count - 1])
    stored, offset = stored_index(values, count=count)
    np.testing.assert_array_equal(stored.numpy().astype(np.int64) + offset, values)
    assert stored.element_size() == (1 if count <= 256 else 2 if count <= 65536 else 4)
