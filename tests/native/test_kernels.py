"""The native kernels against the reference operators, through ExecuTorch programs of one operator each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from operator_programs import Call, GraphSpec, Runner, run_with_isa, write_program

from lerg_runtime import _native as native
from lerg_runtime.errors import BudgetError, LergRuntimeError

pytestmark = pytest.mark.native

SMALL = GraphSpec(users=23, items=31, dim=64, edges=150)
# Blocks of a row and their columns: within a table's 16 or 32 columns, across its end, and wider than it.
CUTS = ((1, 5), (8, 1), (40, 1), (7, 3), (32, 3), (9, 4), (8, 8), (5, 12), (3, 40))
SPECS = {
    "small": (SMALL, 3),
    "layers 0": (SMALL, 0),
    "layers 1": (SMALL, 1),
    "layers 2": (SMALL, 2),
    "layers 5": (SMALL, 5),
    "dim 1": (replace(SMALL, dim=1), 3),
    "dim 3": (replace(SMALL, dim=3), 3),
    "dim 17": (replace(SMALL, dim=17), 3),
    "dim 63": (replace(SMALL, dim=63), 3),
    "dim 100": (replace(SMALL, dim=100), 3),
    "dim 128": (replace(SMALL, dim=128), 3),
    "one code an entity": (replace(SMALL, per_row=1), 3),
    "four codes an entity": (replace(SMALL, per_row=4), 3),
    "uint8": (replace(SMALL, code_type=torch.uint8, index_type=torch.uint8), 3),
    "int32": (replace(SMALL, code_type=torch.int32, index_type=torch.int32), 3),
    "one user and one item": (GraphSpec(users=1, items=1, dim=5, edges=1, requests=4), 3),
    "as many requests as rows": (GraphSpec(users=20, items=31, dim=40, edges=150, requests=31), 3),
    "hardly any edge": (GraphSpec(users=40, items=50, dim=8, edges=1), 3),
    "every edge": (GraphSpec(users=20, items=30, dim=33, edges=20_000), 3),
    "255 items": (GraphSpec(users=9, items=255, dim=3, edges=90, index_type=torch.uint8), 2),
    "256 items": (GraphSpec(users=9, items=256, dim=3, edges=90, index_type=torch.uint8), 2),
    "65535 items": (GraphSpec(users=5, items=65_535, dim=3, edges=60), 2),
    "65536 items": (GraphSpec(users=5, items=65_536, dim=3, edges=60), 2),
    "65537 items": (GraphSpec(users=5, items=65_537, dim=3, edges=60, index_type=torch.int32), 2),
    "65535 users": (GraphSpec(users=65_535, items=5, dim=3, edges=60, index_type=torch.uint8), 2),
    "65536 users": (GraphSpec(users=65_536, items=5, dim=3, edges=60, index_type=torch.uint8), 2),
    "65537 users": (GraphSpec(users=65_537, items=5, dim=3, edges=60, index_type=torch.uint8), 2),
    **{
        f"{count} blocks of {width}": (replace(SMALL, dim=count * width, per_row=count, blocks=True), 3)
        for count, width in CUTS
    },
    "blocks, layers 0": (replace(SMALL, per_row=8, blocks=True), 0),
    "blocks, layers 1": (replace(SMALL, per_row=8, blocks=True), 1),
    "blocks, layers 2": (replace(SMALL, per_row=4, blocks=True), 2),
    "blocks, uint8": (replace(SMALL, per_row=8, blocks=True, code_type=torch.uint8), 3),
    "blocks, int32": (replace(SMALL, per_row=8, blocks=True, code_type=torch.int32), 3),
    "blocks, hardly any edge": (GraphSpec(users=40, items=50, dim=24, edges=1, per_row=3, blocks=True), 3),
    "blocks, as many requests as rows": (
        GraphSpec(users=20, items=31, dim=40, edges=150, requests=31, per_row=5, blocks=True),
        3,
    ),
}
# Enough edges for every pass to be shared among threads.
LARGE = GraphSpec(users=700, items=900, dim=72, edges=30_000, codebook_rows=300, requests=200)


def assert_close(result: np.ndarray, expected: np.ndarray) -> None:
    """float32 kernels against float64: 2e-6 of the largest value."""
    assert result.shape == expected.shape
    assert np.abs(result - expected).max(initial=0) <= 2e-6 * max(np.abs(expected).max(initial=0), 1e-3)


def assert_half_close(result: np.ndarray, expected: np.ndarray) -> None:
    """Layers rounded to 11 bits, twice each: 2^-10 of the largest value, as most of it averages out."""
    assert result.shape == expected.shape
    assert np.abs(result - expected).max(initial=0) <= 2**-10 * max(np.abs(expected).max(initial=0), 1e-3)


@pytest.fixture(scope="session")
def any_graph(folder: Path) -> Callable[..., native.Program]:
    """A program for graphs of any size with the given types and layers, compiled when first asked for."""
    compiled: dict[str, native.Program] = {}

    def program_for(spec: GraphSpec, layers: int, layer_bits: int = 32) -> native.Program:
        example = replace(SMALL, code_type=spec.code_type, index_type=spec.index_type, blocks=spec.blocks)
        name = f"{spec.code_type} {spec.index_type} {layers} {layer_bits} {spec.blocks}.pte"
        if name not in compiled:
            path = write_program(folder / name, example.calls(layers, layer_bits=layer_bits), dynamic=True)
            compiled[name] = native.Program(str(path), native.Budget(0))
        return compiled[name]

    return program_for


@pytest.mark.parametrize("name", SPECS)
def test_propagation_equals_the_reference(name: str, any_graph: Callable[..., native.Program]) -> None:
    spec, layers = SPECS[name]
    program = any_graph(spec, layers)
    for kind, call in spec.calls(layers).items():
        assert_close(program.load(kind).execute(*call.arrays())[0], call.expected())


HALF_SPECS = [
    name
    for name, (spec, layers) in SPECS.items()
    if layers in (0, 2, 3) and spec.code_type == spec.index_type == torch.uint16
]


@pytest.mark.parametrize("name", HALF_SPECS)
def test_layers_of_float16_are_as_near_as_their_rounding(
    name: str, any_graph: Callable[..., native.Program]
) -> None:
    spec, layers = SPECS[name]
    program = any_graph(spec, layers, 16)
    for kind, call in spec.calls(layers, layer_bits=16).items():
        result, expected = program.load(kind).execute(*call.arrays())[0], call.expected()
        assert_half_close(result, expected)
        if layers == 0:
            assert_close(result, expected)


@pytest.mark.parametrize("power", [-100, -40, 0, 40, 100])
def test_layers_of_float16_fit_numbers_of_any_size(
    power: int, any_graph: Callable[..., native.Program]
) -> None:
    """Halves span 2^-24 to 2^16: tables are scaled by powers of two, so that nothing else changes."""
    program = any_graph(SMALL, 3, 16)
    for kind, call in SMALL.calls(3, layer_bits=16).items():
        arrays = [array.copy() for array in call.arrays()]
        usual = program.load(kind).execute(*arrays)[0].copy()
        arrays[0] *= np.float32(2.0**power)  # the codebook or the gradient
        if "grad" not in kind:
            arrays[5] *= np.float32(2.0**power)  # placeholders
        assert np.array_equal(program.load(kind).execute(*arrays)[0], usual * np.float32(2.0**power)), kind


def test_layers_of_float16_are_rounded(any_graph: Callable[..., native.Program]) -> None:
    """And take half the memory of the tables: 32 columns of each side, in two lanes."""
    wide = replace(LARGE, dim=128, codebook_rows=SMALL.codebook_rows)
    peaks = []
    for bits in (32, 16):
        program = any_graph(wide, 3, bits)
        for kind, call in wide.calls(3, layer_bits=bits).items():
            method = program.load(kind)
            result, expected = method.execute(*call.arrays())[0], call.expected()
            error = np.abs(result - expected).max() / np.abs(expected).max()
            assert (error > 2e-6) == (bits == 16), kind
            if kind == "table0":
                peaks.append(method.scratch_peak)
    assert peaks[0] - peaks[1] == pytest.approx((wide.users + wide.items) * 64 * 2, abs=256)


@pytest.mark.parametrize("blocks", [False, True])
def test_codes_up_to_the_end_of_their_type_and_past_it(blocks: bool, run: Runner) -> None:
    spec = replace(SMALL, dim=2, requests=40, blocks=blocks)
    for codes, code_type in (
        (256, torch.uint8), (257, torch.uint16), (65_536, torch.uint16), (65_537, torch.int32)
    ):  # fmt: skip
        calls = replace(spec, codebook_rows=codes, code_type=code_type).calls(1)
        call = calls["grad1"]
        call.tensors[1][0, 0] = codes - 1
        assert_close(run({"grad": call})["grad"], call.expected())


def test_gradient_is_the_adjoint_of_the_rows(run: Runner) -> None:
    """<P q, g> = <q, P^T g>, with no reference in between."""
    calls = {
        name: call for name, call in replace(SMALL, dim=40).calls(3).items() if not name.startswith("table")
    }
    results = run(calls)
    for side in (0, 1):
        rows, grad = calls[f"rows{side}"], calls[f"grad{side}"]
        codebook, placeholders, slots = (rows.arrays()[place] for place in (0, 5, 6))
        incoming = grad.arrays()[0].astype(np.float64)
        retained = slots < (SMALL.users, SMALL.items)[side]
        forward = (results[f"rows{side}"] * incoming)[retained].sum()
        backward = (results[f"grad{side}"] * codebook.astype(np.float64)).sum()
        assert forward == pytest.approx(backward, rel=1e-5)
        assert np.array_equal(
            results[f"rows{side}"][~retained], placeholders[slots[~retained] - slots_of(side)]
        )


def slots_of(side: int) -> int:
    return (SMALL.users, SMALL.items)[side]


@pytest.fixture(scope="session")
def large_program(folder: Path) -> tuple[Path, dict[str, Call]]:
    calls = LARGE.calls(3)
    calls |= {f"half {name}": call for name, call in LARGE.calls(3, layer_bits=16).items()}
    for prefix, bits, count in (("blocks", 32, 9), ("odd blocks", 32, 24), ("half blocks", 16, 9)):
        spec = replace(LARGE, per_row=count, blocks=True)
        calls |= {f"{prefix} {name}": call for name, call in spec.calls(3, layer_bits=bits).items()}
    rng = np.random.default_rng(5)
    catalogue = (
        torch.tensor(rng.normal(size=(5, LARGE.dim)), dtype=torch.float32),
        torch.tensor(rng.normal(size=(6_000, LARGE.dim)), dtype=torch.float32),
        torch.tensor(rng.integers(0, 6_000, 9_000), dtype=torch.int32),
        torch.tensor(rng.random((5, 9_000)) < 0.1),
    )
    calls["top"] = Call("top_items", (*catalogue, torch.arange(50)))
    weights = torch.tensor(rng.normal(size=(600, 128)), dtype=torch.float32)
    for kind in ("codebook", "step"):
        calls[f"quantiser {kind}"] = Call(
            f"fake_quantise_grad_{kind}", (weights, weights.flip(0), torch.tensor([0.02])), (8,)
        )
    return write_program(folder / "large.pte", calls), calls


def test_results_do_not_depend_on_the_number_of_threads(large_program: tuple[Path, dict[str, Call]]) -> None:
    path, calls = large_program
    threads = native.build_info()["threads"]
    results = []
    try:
        for count in (1, 2, 3, 7):
            native.set_threads(count)
            program = native.Program(str(path), native.Budget(0))
            results.append(
                {name: program.load(name).execute(*call.arrays())[0] for name, call in calls.items()}
            )
    finally:
        native.set_threads(threads)
    for name in calls:
        for other in results[1:]:
            assert np.array_equal(results[0][name], other[name]), name


@pytest.mark.parametrize("isa", ["generic", "avx2"])
def test_every_instruction_set_gives_the_same(
    isa: str, folder: Path, large_program: tuple[Path, dict[str, Call]]
) -> None:
    path, calls = large_program
    results = run_with_isa(isa, path, calls, folder)
    for name, call in calls.items():
        if call.operator == "top_items":
            assert (results[name] != call.expected()).mean() < 0.01  # near ties may change places
        elif name.startswith("half"):
            assert_half_close(results[name], call.expected())
        else:
            assert_close(results[name], call.expected())


BAD_GRAPHS = {
    "code outside": ("user_codes", lambda codes: codes.put(0, 99), "a code lies outside"),
    "item code outside": ("item_codes", lambda codes: codes.put(-1, 99), "a code lies outside"),
    "indptr falls": ("indptr", lambda indptr: indptr.put(3, 1_000), "indptr must rise"),
    "indptr starts late": ("indptr", lambda indptr: indptr.put(0, 1), "indptr must rise"),
    "indptr ends early": ("indptr", lambda indptr: indptr.put(-1, indptr[-2]), "indptr must rise"),
    "indptr negative": ("indptr", lambda indptr: indptr.put(1, -5), "indptr must rise"),
    "index outside": ("indices", lambda indices: indices.put(-1, 31), "an index lies outside"),
    "index repeated": ("indices", lambda indices: indices.put(1, indices[0]), "ascend strictly"),
    "negative slot": ("rows", lambda rows: rows.put(2, -1), "is negative|slot in rows lies outside"),
}


@pytest.mark.parametrize("kind", ["rows0", "grad1", "table1"])
def test_bad_graphs_are_refused_by_name(kind: str, folder: Path) -> None:
    spec = replace(SMALL, index_type=torch.int32, code_type=torch.int32, edges=400)
    call = spec.calls(2)[kind]
    program = native.Program(str(write_program(folder / "bad.pte", {kind: call})), native.Budget(0))
    places = ["user_codes", "item_codes", "indptr", "indices"]
    rows_last = {"rows0": 6, "grad1": 5}
    method = program.load(kind)
    good = method.execute(*call.arrays())[0].copy()
    for name, (which, spoil, message) in BAD_GRAPHS.items():
        if which == "rows" and kind not in rows_last:
            continue
        arrays = [array.copy() for array in call.arrays()]
        spoil(arrays[rows_last[kind] if which == "rows" else 1 + places.index(which)])
        with pytest.raises(LergRuntimeError, match=message):
            method.execute(*arrays)
        assert np.array_equal(method.execute(*call.arrays())[0], good), name


def test_slot_past_the_placeholders_is_refused(folder: Path) -> None:
    call = SMALL.calls(2)["rows0"]
    method = native.Program(str(write_program(folder / "slot.pte", {"rows": call})), native.Budget(0)).load(
        "rows"
    )
    arrays = [array.copy() for array in call.arrays()]
    arrays[6][0] = SMALL.users + 3
    with pytest.raises(LergRuntimeError, match="slot in rows lies outside"):
        method.execute(*arrays)


def test_numbers_out_of_range_are_refused(folder: Path) -> None:
    call = SMALL.calls(2)["rows0"]
    values = torch.randn(5, 4)
    bad = {
        "side must be": replace(call, numbers=(2, 2, 0.8)),
        "layers must lie": replace(call, numbers=(0, -1, 0.8)),
        "columns must be a multiple of the number of blocks": replace(
            replace(SMALL, per_row=3).calls(2)["rows0"], numbers=(0, 2, 0.8, 32, True)
        ),
        "bits must be": Call("fake_quantise", (values, torch.ones(1)), (5,)),
        "step must be": Call("fake_quantise", (values, torch.ones(3)), (8,)),
        "placeholders must be": replace(
            call, tensors=(*call.tensors[:5], torch.randn(3, SMALL.dim + 1), call.tensors[6])
        ),
    }
    for message, spoiled in bad.items():  # tracing checks shapes only, so these compile
        program = native.Program(
            str(write_program(folder / "numbers.pte", {"call": spoiled})), native.Budget(0)
        )
        with pytest.raises(LergRuntimeError, match=message):
            program.load("call").execute(*spoiled.arrays())


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_quantiser_equals_the_reference(bits: int, per_row: bool, run: Runner) -> None:
    rng = np.random.default_rng(bits)
    rows, dim, high = 13, 38, 2 ** (bits - 1) - 1
    step = torch.tensor(rng.uniform(0.5, 2, rows if per_row else 1), dtype=torch.float32)
    codebook = torch.tensor(rng.uniform(-1.5, 1.5, (rows, dim)) * high, dtype=torch.float32) * step[:, None]
    codebook[0, :4] = torch.tensor([0.5, 1.5, -2.5, high + 0.5]) * step[0]
    grad = torch.tensor(rng.normal(size=(rows, dim)), dtype=torch.float32)
    dtype = {4: torch.uint8, 8: torch.int8, 16: torch.int16}[bits]
    limits = torch.iinfo(dtype)
    stored = torch.tensor(rng.integers(limits.min, limits.max + 1, (rows, dim // 2 if bits == 4 else dim)))
    calls = {
        "value": Call("fake_quantise", (codebook, step), (bits,)),
        "codebook": Call("fake_quantise_grad_codebook", (grad, codebook, step), (bits,)),
        "step": Call("fake_quantise_grad_step", (grad, codebook, step), (bits,)),
        "stored": Call("dequantise", (stored.to(dtype), step), (bits,)),
    }
    results = run(calls)
    for name, call in calls.items():
        # The reference in float32 too: which way a half is rounded depends on the ratio's last bit.
        exact = getattr(torch.ops.lerg, call.operator)(*call.tensors, *call.numbers).numpy()
        if name == "step":
            np.testing.assert_allclose(results[name], exact, rtol=1e-5, atol=1e-6 * high**0.5)
        else:
            assert np.array_equal(results[name], exact), name


def test_32_bits_pass_everything_on(run: Runner) -> None:
    codebook = torch.tensor([[1.5, -1e30, math.nan], [2.0**-149, 0.0, 3.25]])
    grad, step = torch.randn(2, 3), torch.ones(1)
    results = run(
        {
            "value": Call("fake_quantise", (codebook, step), (32,)),
            "codebook": Call("fake_quantise_grad_codebook", (grad, codebook, step), (32,)),
            "step": Call("fake_quantise_grad_step", (grad, codebook, step), (32,)),
            "stored": Call("dequantise", (codebook, step), (32,)),
        }
    )
    np.testing.assert_array_equal(results["value"], codebook.numpy())
    np.testing.assert_array_equal(results["codebook"], grad.numpy())
    np.testing.assert_array_equal(results["step"], [0.0])
    np.testing.assert_array_equal(results["stored"], codebook.numpy())


def test_a_codebook_that_is_not_a_number_stays_one(run: Runner) -> None:
    codebook = torch.full((2, 20), math.nan)
    assert np.isnan(run({"value": Call("fake_quantise", (codebook, torch.ones(1)), (8,))})["value"]).all()


def test_working_memory_depends_on_shapes_alone(large_program: tuple[Path, dict[str, Call]]) -> None:
    """A device plans with what was measured here, on other requests and with other threads."""
    path, calls = large_program
    call = calls["grad0"]
    program = native.Program(str(path), native.Budget(0))
    peaks = set()
    threads = native.build_info()["threads"]
    try:
        for count, slot in ((1, 0), (2, 5), (3, LARGE.users)):
            native.set_threads(count)
            method = program.load("grad0")
            arrays = call.arrays()
            method.execute(*arrays[:5], np.full_like(arrays[5], slot))
            peaks.add(method.scratch_peak)
    finally:
        native.set_threads(threads)
    assert len(peaks) == 1
    tables = (LARGE.users + LARGE.items) * 64 * 4
    assert tables <= peaks.pop() <= 1.5 * tables


def test_scratch_over_the_budget_is_refused(large_program: tuple[Path, dict[str, Call]]) -> None:
    path, calls = large_program
    method = native.Program(str(path), native.Budget(0)).load("grad0", scratch_bytes=10_000)
    with pytest.raises(BudgetError):
        method.execute(*calls["grad0"].arrays())
