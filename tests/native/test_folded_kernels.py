"""The kernels of folded propagation against the reference operators, at every type and odd sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from operator_programs import Call, run_with_isa, write_program

from lerg_exporter.programs.native import reference
from lerg_runtime import _native as native
from lerg_runtime.errors import LergRuntimeError

pytestmark = pytest.mark.native


@dataclass(frozen=True)
class FoldedSpec:
    """Sizes of random folded rows and of a batch of triples; `places` are placeholders by side."""

    users: int = 13
    items: int = 17
    dim: int = 64
    codebook_rows: int = 29
    entries: int = 5
    batch: int = 9
    bits: int = 8
    row_steps: bool = False
    places: tuple[int, int] = (3, 2)
    code_type: torch.dtype = torch.uint8

    def calls(self, *, l2: float = 0.1) -> dict[str, Call]:
        """Every operator, on inputs that follow from the sizes alone."""
        rng = np.random.default_rng(self.users * 31 + self.dim * 7 + self.entries)
        rows, high = self.users + self.items, 2 ** (self.bits - 1) - 1

        def floats(*shape: int) -> torch.Tensor:
            return torch.tensor(rng.normal(size=shape), dtype=torch.float32)

        entries = (
            torch.tensor(np.sort(rng.integers(0, self.codebook_rows, (rows, self.entries)))).to(
                self.code_type
            ),
            torch.tensor(rng.integers(-127, 128, (rows, self.entries)), dtype=torch.int8),
            torch.tensor(rng.integers(0, 256, rows), dtype=torch.uint8),
            torch.tensor(np.geomspace(1e-3, 1e-2, 256), dtype=torch.float32),
        )
        step = torch.tensor(
            rng.uniform(0.5, 2, self.codebook_rows if self.row_steps else 1) / high, dtype=torch.float32
        )
        kind = {4: torch.uint8, 8: torch.int8, 16: torch.int16}[self.bits]
        limits, width = torch.iinfo(kind), self.dim // 2 if self.bits == 4 else self.dim
        packed = torch.tensor(rng.integers(limits.min, limits.max + 1, (self.codebook_rows, width))).to(kind)
        sides = (self.users + self.places[0], self.items + self.places[1])
        triples = [rng.integers(0, side, self.batch) for side in (sides[0], sides[1], sides[1])]
        for slots, side in zip(triples, (sides[0], sides[1], sides[1]), strict=True):
            slots[:2] = [slots[-1], side - 1][: self.batch]  # a slot twice, and the last one
        slots = tuple(torch.tensor(column) for column in triples)
        rest = floats(sum(self.places), self.dim)
        where = (self.users, self.places[0])
        values, weights = floats(3 * self.batch, self.dim), (floats(self.codebook_rows, self.dim), step)
        return {
            "rows": Call("folded_rows", (*weights, *entries, rest, *slots), (*where, self.bits)),
            "users": Call("folded_table", (packed, step, *entries, rest), (*where, 0, self.bits)),
            "items": Call("folded_table", (packed, step, *entries, rest), (*where, 1, self.bits)),
            "loss": Call("folded_loss", (values, *weights, *entries, *slots), (self.users, self.bits, l2)),
            "grad": Call(
                "folded_loss_grad",
                (torch.tensor(0.7), values, *entries, *slots),
                (self.users, self.codebook_rows, l2),
            ),
        }


SMALL = FoldedSpec()
SPECS = {
    "small": SMALL,
    "dim 1": replace(SMALL, dim=1),
    "dim 31": replace(SMALL, dim=31),
    "dim 33": replace(SMALL, dim=33),
    "dim 96": replace(SMALL, dim=96),
    "dim 127": replace(SMALL, dim=127),
    "dim 128": replace(SMALL, dim=128),
    "one triple": replace(SMALL, batch=1),
    "many entries": replace(SMALL, entries=29),
    "one entry": replace(SMALL, entries=1),
    "a step a row": replace(SMALL, row_steps=True),
    "4 bits": replace(SMALL, bits=4, dim=38),
    "16 bits": replace(SMALL, bits=16),
    "16 bits, a step a row": replace(SMALL, bits=16, row_steps=True, dim=40),
    "65536 codes": replace(SMALL, codebook_rows=65_536, dim=3, code_type=torch.uint16),
    "65537 codes": replace(SMALL, codebook_rows=65_537, dim=3, code_type=torch.int32),
    "one of each": FoldedSpec(users=1, items=1, dim=5, codebook_rows=1, entries=1, batch=2, places=(1, 1)),
}
# Enough work for every pass to be shared among threads.
LARGE = FoldedSpec(
    users=400, items=300, dim=96, codebook_rows=500, entries=16, batch=300, code_type=torch.uint16
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folded")


def compiled(folder: Path, calls: dict[str, Call]) -> native.Program:
    return native.Program(str(write_program(folder / "calls.pte", calls)), native.Budget(0))


def assert_close(result: np.ndarray, call: Call) -> None:
    """float32 kernels against float64: 2e-6 of the largest value."""
    expected = rows_in_float64(call) if call.operator == "folded_rows" else call.expected()
    assert result.shape == expected.shape
    assert np.abs(result - expected).max(initial=0) <= 2e-6 * max(np.abs(expected).max(initial=0), 1e-3)


def rows_in_float64(call: Call) -> np.ndarray:
    """The reference with a codebook quantised in float32, as which way a half is rounded depends on that."""
    codebook, step, *others = call.tensors
    quantised = torch.ops.lerg.fake_quantise(codebook, step, call.numbers[-1]).double()
    wide = [tensor.double() if tensor.dtype == torch.float32 else tensor for tensor in others]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lerg_exporter.programs.native.reference.fake_quantise", lambda table, *_: table)
        found: torch.Tensor = reference.folded_rows(quantised, step, *wide, *call.numbers)
    return found.numpy()


@pytest.fixture(scope="module")
def any_sizes(folder: Path) -> Callable[[FoldedSpec], native.Program]:
    """A program for the numbers that calls carry and tensors of any size, compiled when asked for."""
    programs: dict[FoldedSpec, native.Program] = {}

    def program_for(spec: FoldedSpec) -> native.Program:
        shared = replace(spec, dim=64, entries=min(5, spec.codebook_rows), row_steps=True, batch=9)
        if shared not in programs:
            path = folder / f"{len(programs)}.pte"
            programs[shared] = native.Program(
                str(write_program(path, shared.calls(), dynamic=True)), native.Budget(0)
            )
        return programs[shared]

    return program_for


@pytest.mark.parametrize("name", SPECS)
def test_operators_equal_the_reference(
    name: str, any_sizes: Callable[[FoldedSpec], native.Program], folder: Path
) -> None:
    spec = SPECS[name]
    program = any_sizes(spec) if spec.codebook_rows > 1 else compiled(folder, spec.calls())
    for kind, call in spec.calls().items():
        assert_close(program.load(kind).execute(*call.arrays())[0], call)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_gradient_is_the_derivative_of_the_loss(folder: Path, l2: float) -> None:
    """By central differences along a direction of the codebook, with the rows and the loss in float64."""
    calls = replace(SMALL, dim=40).calls(l2=l2)
    rows, grad = calls["rows"], calls["grad"]
    program = compiled(folder, {"rows": rows, "grad": grad})
    found = program.load("rows").execute(*rows.arrays())[0]
    scalar, _, *others = grad.arrays()
    slope = program.load("grad").execute(scalar, found, *others)[0].astype(np.float64)
    direction = torch.tensor(np.random.default_rng(4).normal(size=slope.shape))
    entries = [tensor.double() if tensor.dtype == torch.float32 else tensor for tensor in rows.tensors[2:6]]
    # Rows of a codebook of integers, so that quantising it changes nothing; placeholders do not move.
    integers, one = torch.round(100 * direction), torch.ones(1, dtype=torch.float64)
    moved = reference.folded_rows(
        integers, one, *entries, torch.zeros_like(rows.tensors[6]).double(), *rows.tensors[7:],
        *rows.numbers[:2], 16,
    )  # fmt: skip

    def loss(times: float) -> float:
        return float(reference.folded_loss(torch.tensor(found).double() + times * moved, *[None] * 11, l2))

    size = 1e-7
    expected = float(scalar) * (loss(size) - loss(-size)) / (2 * size)
    assert (slope * integers.numpy()).sum() == pytest.approx(expected, rel=1e-4)


def test_a_batch_of_one_triple_over_and_over(folder: Path) -> None:
    """All its rows meet in the same codes, and a mean of equal losses is one of them."""
    grad = replace(SMALL, dim=70, batch=200).calls()["grad"]
    one = replace(SMALL, dim=70, batch=1).calls()["grad"]
    scalar, values, *entries = one.tensors[:6]
    slots = tuple(torch.tensor([slot]) for slot in (2, 5, 5))
    single = replace(one, tensors=(scalar, values, *entries, *slots))
    many = replace(
        grad,
        tensors=(
            scalar, values.repeat_interleave(200, 0), *entries, *(slot.repeat(200) for slot in slots)
        ),
    )  # fmt: skip
    results = []
    for call in (single, many):
        program = native.Program(str(write_program(folder / "again.pte", {"grad": call})), native.Budget(0))
        results.append(program.load("grad").execute(*call.arrays())[0])
        assert_close(results[-1], call)
    assert np.abs(results[0] - results[1]).max() <= 1e-5 * np.abs(results[0]).max()


def test_sums_of_the_largest_bytes_are_exact(folder: Path) -> None:
    """Products of 127 * 128 of one sign pass 16 bits as soon as three meet."""
    spec = replace(SMALL, codebook_rows=400, code_type=torch.uint16)
    traced = {"users": replace(spec, row_steps=True).calls()["users"]}
    path = write_program(folder / "bytes.pte", traced, dynamic=True, most=(500, 500))
    method = native.Program(str(path), native.Budget(0)).load("users")
    for entries in (1, 2, 3, 4, 29, 252, 253, 300):
        packed, step, codes, weights, scales, table, rest = (
            replace(spec, entries=entries).calls()["users"].arrays()
        )
        packed[...] = np.where(np.arange(packed.shape[1]) % 3 == 0, 127, -128)
        signs = np.resize([1, -1], entries)
        factors = step[0] * table[scales[: SMALL.users], None]  # float32, as the kernel multiplies them
        for kind, row in {
            "positive": np.full(entries, 127),
            "negative": np.full(entries, -127),
            "mixed": 127 * signs,
            "with -128": np.where(np.arange(entries) == entries - 1, -128, 127 * signs),
        }.items():
            weights[...] = row
            found = method.execute(packed, step, codes, weights, scales, table, rest)[0][: SMALL.users]
            sums = packed.astype(np.int64)[codes[: SMALL.users]].swapaxes(1, 2) @ row
            assert np.array_equal(found, sums.astype(np.float32) * factors), (entries, kind)


@pytest.fixture(scope="module")
def large(folder: Path) -> tuple[Path, dict[str, Call]]:
    calls = LARGE.calls()
    return write_program(folder / "large.pte", calls), calls


def test_results_do_not_depend_on_the_number_of_threads(large: tuple[Path, dict[str, Call]]) -> None:
    path, calls = large
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
    isa: str, folder: Path, large: tuple[Path, dict[str, Call]]
) -> None:
    path, calls = large
    results = run_with_isa(isa, path, calls, folder)
    here = native.Program(str(path), native.Budget(0))
    for name, call in calls.items():
        assert_close(results[name], call)
        if name in ("rows", "users", "items"):  # sums of integers: the same to the last bit
            assert np.array_equal(results[name], here.load(name).execute(*call.arrays())[0]), name


def test_a_weight_that_is_not_a_number_shows(folder: Path) -> None:
    call = SMALL.calls()["rows"]
    call.tensors[0][3, 5] = float("nan")
    found = compiled(folder, {"rows": call}).load("rows").execute(*call.arrays())[0]
    retained = call.arrays()[7] < SMALL.users
    assert np.isnan(found[: SMALL.batch][retained]).all()


BAD = {
    "codes that fall": ("rows", 2, lambda codes: codes.__setitem__((slice(None), 0), 28), "out of order"),
    "code outside": ("rows", 2, lambda codes: codes.fill(29), "a code outside"),
    "user outside": ("rows", 7, lambda slots: slots.put(0, 13 + 3), "a slot lies outside"),
    "item outside": ("rows", 9, lambda slots: slots.put(4, 17 + 2), "a slot lies outside"),
    "negative slot": ("rows", 8, lambda slots: slots.put(2, -1), "a slot lies outside"),
    "code outside for the gradient": ("grad", 2, lambda codes: codes.fill(29), "a code lies outside"),
    "codes that fall for the gradient": (
        "grad",
        2,
        lambda codes: codes.__setitem__((slice(None), 0), 28),
        "out of order",
    ),
    "negative slot for the gradient": ("grad", 7, lambda slots: slots.put(0, -1), "a slot is negative"),
    "code outside the table": ("items", 2, lambda codes: codes.put(-1, 29), "a code lies outside"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_refused_by_name(name: str, folder: Path) -> None:
    kind, place, spoil, message = BAD[name]
    call = SMALL.calls()[kind]
    method = compiled(folder, {kind: call}).load(kind)
    good = method.execute(*call.arrays())[0].copy()
    arrays = [array.copy() for array in call.arrays()]
    spoil(arrays[place])
    with pytest.raises(LergRuntimeError, match=message):
        method.execute(*arrays)
    assert np.array_equal(method.execute(*call.arrays())[0], good)


def test_working_memory_depends_on_shapes_alone(large: tuple[Path, dict[str, Call]]) -> None:
    path, calls = large
    peaks = set()
    threads = native.build_info()["threads"]
    try:
        for count in (1, 2, 3):
            native.set_threads(count)
            method = native.Program(str(path), native.Budget(0)).load("grad")
            method.execute(*calls["grad"].arrays())
            peaks.add(method.scratch_peak)
    finally:
        native.set_threads(threads)
    assert len(peaks) == 1
    blocks = 2 * 32 * 4 * LARGE.codebook_rows  # of the codebook's gradient, one a lane
    assert peaks.pop() <= blocks + 8 * 3 * LARGE.batch + 4096
