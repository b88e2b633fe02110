"""Retrieval from float32 and int8 tables against brute force: exact, in order, the same however it is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from operator_programs import Call, Runner, run_with_isa, write_program

from lerg_runtime import _native as native
from lerg_runtime.errors import LergRuntimeError

pytestmark = pytest.mark.native


def catalogue(
    users: int, items: int, dim: int, *, seen: float, slots: int | None = None
) -> list[torch.Tensor]:
    """Integers, so that scores are exact and ties many."""
    rng = np.random.default_rng(users + items + dim)
    rows = slots or items
    return [
        torch.tensor(rng.integers(-3, 4, (users, dim)), dtype=torch.float32),
        torch.tensor(rng.integers(-2, 3, (rows, dim)), dtype=torch.float32),
        torch.tensor(rng.integers(0, rows, items), dtype=torch.int32),
        torch.tensor(rng.random((users, items)) < seen),
    ]


def listed(users: int, items: int, dim: int, *, open_items: int) -> list[torch.Tensor]:
    """A catalogue of which the same few items are open to everybody."""
    inputs = catalogue(users, items, dim, seen=0)
    inputs[3][:] = True
    inputs[3][:, np.random.default_rng(0).choice(items, open_items, replace=False)] = False
    return inputs


def in_runs(inputs: list[torch.Tensor], *, run: int) -> list[torch.Tensor]:
    """The same catalogue, every other run of items barred."""
    inputs[3][:] = torch.arange(inputs[3].shape[1]) // run % 2 == 0
    return inputs


TOP = {
    "one of each": (catalogue(1, 1, 1, seen=0), 1),
    "all seen": (catalogue(3, 20, 4, seen=1.1), 5),
    "more ranks than items": (catalogue(4, 6, 3, seen=0.2), 11),
    "all items": (catalogue(17, 70, 5, seen=0.3), 70),
    "single user": (catalogue(1, 9_000, 3, seen=0.1), 20),
    "odd group of users": (catalogue(37, 4_500, 3, seen=0.1, slots=100), 256),
    "full batch": (catalogue(64, 5_000, 17, seen=0.5), 20),
    "few open to one": (catalogue(1, 9_000, 3, seen=0.99), 20),
    "few open to two": (catalogue(2, 3_000, 3, seen=0.95), 200),
    "few open to many": (catalogue(37, 3_000, 5, seen=0.999), 40),
    "few open, the same to all": (listed(40, 5_000, 7, open_items=90), 50),
    "runs of open and barred": (in_runs(catalogue(1, 9_000, 3, seen=0), run=300), 50),
    "runs for a group": (in_runs(catalogue(19, 4_000, 3, seen=0), run=170), 50),
}


@pytest.mark.parametrize("name", TOP)
def test_top_items_are_exact_and_in_order(name: str, run: Runner) -> None:
    inputs, ranks = TOP[name]
    top = Call("top_items", (*inputs, torch.arange(ranks)))
    items = torch.from_numpy(top.expected())
    score = Call("score_items", (*inputs[:3], items))
    results = run({"top": top, "score": score})
    assert np.array_equal(results["top"], top.expected())
    assert np.array_equal(results["score"], score.expected().astype(np.float32))


def test_one_user_alone_gets_what_it_gets_in_a_batch(run: Runner) -> None:
    rng = np.random.default_rng(3)
    inputs = catalogue(33, 300, 63, seen=0.2)
    inputs[0] = torch.tensor(rng.normal(size=inputs[0].shape), dtype=torch.float32)
    inputs[1] = torch.tensor(rng.normal(size=inputs[1].shape), dtype=torch.float32)
    whole = run({"top": Call("top_items", (*inputs, torch.arange(40)))})["top"]
    calls = {"scores": Call("score_items", (*inputs[:3], torch.from_numpy(whole.copy())))}
    for user in (0, 16, 32):
        own = [inputs[0][user : user + 1], inputs[1], inputs[2], inputs[3][user : user + 1]]
        calls[f"top{user}"] = Call("top_items", (*(part.contiguous() for part in own), torch.arange(40)))
        chosen = torch.from_numpy(whole[user : user + 1].copy())
        calls[f"scores{user}"] = Call("score_items", (own[0].contiguous(), *own[1:3], chosen))
    results = run(calls)
    for user in (0, 16, 32):
        assert np.array_equal(results[f"top{user}"][0], whole[user])
        assert np.array_equal(results[f"scores{user}"][0], results["scores"][user])
    assert (np.diff(results["scores"], axis=1) <= 0).all()  # the scores told are the scores that ranked


def test_scores_that_are_not_numbers_are_no_candidates(run: Runner) -> None:
    inputs = catalogue(2, 30, 4, seen=0)
    inputs[0][0] = math.nan
    inputs[1][0] = math.inf  # times a zero or minus itself: NaN for some items, an infinity for others
    items = run({"top": Call("top_items", (*inputs, torch.arange(30)))})["top"]
    assert (items[0] == -1).all()
    told = items[1][items[1] >= 0]
    assert len(np.unique(told)) == len(told) > 0


def test_bad_catalogues_are_refused_by_name(folder: Path) -> None:
    inputs = catalogue(3, 20, 4, seen=0)
    calls = {
        "top": Call("top_items", (*inputs, torch.arange(5))),
        "score": Call("score_items", (*inputs[:3], torch.zeros(3, 5, dtype=torch.int64))),
    }
    program = native.Program(str(write_program(folder / "catalogue.pte", calls)), native.Budget(0))
    for slot in (-1, 20):
        for name, call in calls.items():
            arrays = [array.copy() for array in call.arrays()]
            arrays[2][7] = slot
            with pytest.raises(LergRuntimeError, match="an item slot lies outside"):
                program.load(name).execute(*arrays)
    for item in (-2, 20):
        arrays = [array.copy() for array in calls["score"].arrays()]
        arrays[3][1, 1] = item
        with pytest.raises(LergRuntimeError, match="an item lies outside"):
            program.load("score").execute(*arrays)


def quantised(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and scale of each row, in float32 as the kernels work."""
    scales = np.abs(rows).max(1) / np.float32(127)
    codes = np.rint(rows / np.where(scales > 0, scales, 1)[:, None])
    return codes.astype(np.int8), scales


def code_catalogue(users: int, items: int, dim: int, *, slots: int | None = None) -> list[torch.Tensor]:
    """Trained tables look like this: rows of any size around a common direction; rows shared by items tie."""
    rng = np.random.default_rng(users * 7 + items + dim)
    count = slots or items
    table = (rng.normal(size=(count, dim)) + 0.5) * rng.uniform(0.1, 3, (count, 1))
    codes, scales = quantised(table.astype(np.float32))
    return [
        torch.tensor(rng.normal(size=(users, dim)), dtype=torch.float32),
        torch.from_numpy(codes),
        torch.from_numpy(scales),
        torch.tensor(rng.integers(0, count, items), dtype=torch.int32),
        torch.tensor(rng.random((users, items)) < 0.1),
    ]


def code_scores(inputs: list[torch.Tensor]) -> np.ndarray:
    """Every item's score by the definition, float32 [users, items]."""
    rows, codes, scales, slots = (tensor.numpy() for tensor in inputs[:4])
    user_codes, user_scales = quantised(rows)
    products = user_codes.astype(np.int64) @ codes.astype(np.int64).T
    return ((products.astype(np.float32) * scales) * user_scales[:, None])[:, slots]


SHAPES = {
    "one of each": (1, 1, 1, None),
    "a user alone": (1, 9_000, 64, None),
    "two users": (2, 1_000, 128, 300),
    "three users": (3, 1_000, 64, 300),
    "dim 3": (1, 200, 3, None),
    "dim 17": (20, 200, 17, None),
    "dim 63": (1, 500, 63, 100),
    "dim 65": (1, 500, 65, None),
    "dim 100": (33, 300, 100, None),
    "dim 130": (2, 300, 130, None),
    "odd group of users": (37, 4_500, 31, 100),
    "full batch": (256, 3_000, 64, None),
}


@pytest.fixture(scope="module")
def code_program(folder: Path) -> Path:
    """Methods `top` and `score` of int8 tables of any size."""
    inputs = code_catalogue(3, 20, 8)
    calls = {
        "top": Call("top_items_int8", (*inputs, torch.arange(5))),
        "score": Call("score_items_int8", (*inputs[:4], torch.zeros(3, 5, dtype=torch.int64))),
    }
    return write_program(folder / "codes.pte", calls, dynamic=True, most=(9_000, 9_000))


@pytest.fixture(scope="module")
def code_methods(code_program: Path) -> dict[str, Callable[..., list[np.ndarray]]]:
    program = native.Program(str(code_program), native.Budget(0))
    return {name: program.load(name).execute for name in ("top", "score")}


@pytest.mark.parametrize("barred", [0.1, 0.97], ids=["most open", "few open"])
@pytest.mark.parametrize("shape", SHAPES)
def test_int8_ranking_is_that_of_brute_force(
    shape: str, barred: float, code_methods: dict[str, Callable[..., list[np.ndarray]]]
) -> None:
    users, items, dim, slots = SHAPES[shape]
    inputs = code_catalogue(users, items, dim, slots=slots)
    inputs[4] = torch.tensor(np.random.default_rng(items).random((users, items)) < barred)
    scores = code_scores(inputs)
    masked = np.where(inputs[4].numpy(), -np.inf, scores)
    wanted = min(items, 50)
    order = np.argsort(-masked, axis=1, kind="stable")[:, :wanted]
    expected = np.where(np.take_along_axis(masked, order, 1) > -np.inf, order, -1)
    arrays = [tensor.numpy() for tensor in inputs]
    top = code_methods["top"](*arrays, np.arange(wanted))[0]
    assert np.array_equal(top, expected)
    told = code_methods["score"](*arrays[:4], top)[0]
    there = top >= 0
    assert np.array_equal(told[there], np.take_along_axis(scores, np.maximum(top, 0), 1)[there])
    assert (told[~there] == -np.inf).all()


def test_int8_reference_operators_follow_the_same_definition() -> None:
    inputs = code_catalogue(3, 40, 12, slots=15)
    items = torch.ops.lerg.top_items_int8(*inputs, torch.arange(10))
    told = torch.ops.lerg.score_items_int8(*inputs[:4], items)
    scores = np.where(inputs[4].numpy(), -np.inf, code_scores(inputs))
    assert np.array_equal(told.numpy(), -np.sort(-scores, axis=1)[:, :10])


@pytest.mark.parametrize("isa", ["generic", "avx2", "avx512", "neon"])
def test_int8_is_the_same_to_the_last_bit_on_every_instruction_set(
    isa: str, folder: Path, code_program: Path, code_methods: dict[str, Callable[..., list[np.ndarray]]]
) -> None:
    calls = {}
    for shape in ("two users", "dim 17", "dim 63", "dim 65", "dim 100", "odd group of users", "full batch"):
        users, items, dim, slots = SHAPES[shape]
        inputs = code_catalogue(users, items, dim, slots=slots)
        chosen = torch.arange(20).expand(users, 20).contiguous()
        calls[f"top of {shape}"] = Call("top_items_int8", (*inputs, torch.arange(20)))
        calls[f"score of {shape}"] = Call("score_items_int8", (*inputs[:4], chosen))
    results = run_with_isa(isa, code_program, calls, folder)
    for name, call in calls.items():
        here = code_methods[name.split(" of ")[0]](*call.arrays())[0]
        assert np.array_equal(results[name], here), name


def test_rows_are_quantised_by_their_largest_magnitude(run: Runner) -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(70, 19)).astype(np.float32)
    table[3] = 0
    table[4] = [-127, 0.5, 1.5, 2.5, -0.5] + [0] * 14  # halves to even
    table[5, 2] = np.nan
    table[6, 2] = -np.inf
    results = run({name: Call(name, (torch.from_numpy(table),)) for name in ("row_scales", "quantise_rows")})
    codes, scales = results["quantise_rows"], results["row_scales"]
    assert codes.dtype == np.int8
    assert codes[4].tolist() == [-127, 0, 2, 2, 0] + [0] * 14
    assert (codes[[3, 5, 6]] == 0).all()
    assert scales[3] == 0
    assert not np.isfinite(scales[[5, 6]]).any()
    good = np.r_[0:3, 4:5, 7:70]
    expected = quantised(table[good])
    assert np.array_equal(codes[good], expected[0])
    assert np.array_equal(scales[good], expected[1])
    assert (np.abs(codes[good] * scales[good, None] - table[good]) <= 0.5001 * scales[good, None]).all()
    for name, found in results.items():
        assert np.array_equal(found, getattr(torch.ops.lerg, name)(torch.from_numpy(table)), equal_nan=True)


def test_int8_scores_that_are_not_numbers_are_no_candidates(
    code_methods: dict[str, Callable[..., list[np.ndarray]]],
) -> None:
    for users in (2, 5):
        inputs = [tensor.numpy() for tensor in code_catalogue(users, 30, 4)]
        inputs[4][:] = False
        inputs[0][0, 1] = np.nan
        inputs[0][1, 1] = np.inf
        inputs[2][:10] = np.nan
        top = code_methods["top"](*inputs, np.arange(30))[0]
        assert (top[:2] == -1).all()
        told = [row[row >= 0] for row in top[2:]]
        bad = np.isin(inputs[3], np.arange(10)).sum()
        assert all(len(row) == 30 - bad and (inputs[3][row] >= 10).all() for row in told)


BAD_CODES = {
    "item_codes must be": (1, lambda codes: codes[:, :-1].copy()),
    "item_scales must be": (2, lambda scales: scales[:-1].copy()),
    "an item slot lies outside": (3, lambda slots: slots + 20),
}


@pytest.mark.parametrize("message", BAD_CODES)
def test_bad_int8_tables_are_refused_by_name(
    message: str, code_methods: dict[str, Callable[..., list[np.ndarray]]]
) -> None:
    arrays = [tensor.numpy() for tensor in code_catalogue(3, 20, 8)]
    place, spoil = BAD_CODES[message]
    arrays[place] = spoil(arrays[place])
    with pytest.raises(LergRuntimeError, match=message):
        code_methods["top"](*arrays, np.arange(5))
    with pytest.raises(LergRuntimeError, match=message):
        code_methods["score"](*arrays[:4], np.zeros((3, 5), np.int64))
