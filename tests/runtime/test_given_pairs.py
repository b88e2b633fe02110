"""Ids and pairs as callers give them: what is read, by which names, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from _tiny import TinyModel, raw_ids, write_tiny
from scipy import sparse

from lerg_runtime import InputError, Recommender, UnknownIdError
from lerg_runtime.errors import BudgetError
from lerg_runtime.pairs._keys import PairKeys
from lerg_runtime.pairs._resolved import ResolvedPairs, resolve_pairs
from lerg_runtime.reading._columns import ColumnNames

USERS = raw_ids("integer", 30, prefix="user")
ITEMS = raw_ids("integer", 40, prefix="item")
PAIRS = [(USERS[2], ITEMS[7]), (USERS[3], ITEMS[1])]
COLUMNS = {"user": [user for user, _ in PAIRS], "item": [item for _, item in PAIRS]}


@pytest.fixture
def rec(tmp_path: Path, model: TinyModel, fake_native: None) -> Recommender:
    return Recommender.open(write_tiny(tmp_path / "b", model, ids="integer"))


def resolved(rec: Recommender, pairs: Any, **options: Any) -> list[tuple[int, int]]:
    found: ResolvedPairs = resolve_pairs(pairs, rec._open.entities, on_unknown="raise", **options)
    return list(zip(found.users.tolist(), found.items.tolist(), strict=True))


FORMS: dict[str, Any] = {
    "tuples": PAIRS,
    "lists": [list(pair) for pair in PAIRS],
    "generator": lambda: (pair for pair in PAIRS),
    "set": set(PAIRS),
    "tuple of tuples": tuple(PAIRS),
    "array": np.array(PAIRS),
    "object array": np.array(PAIRS, dtype=object),
    "texts": np.array(PAIRS).astype(str),
    "structured array": np.array(PAIRS, dtype=[("user", "i8"), ("item", "i4")]),
    "mapping": COLUMNS,
    "mapping of arrays": {name: np.array(values) for name, values in COLUMNS.items()},
    "polars": pl.DataFrame({**COLUMNS, "rating": [1.0, 2.0]}),
    "polars of texts": pl.DataFrame(COLUMNS).cast(pl.String),
    "polars, item first": pl.DataFrame({name: COLUMNS[name] for name in ("item", "user")}),
    "pandas": pd.DataFrame({"Item ID": COLUMNS["item"], "User ID": COLUMNS["user"]}),
    "pandas records": lambda: pd.DataFrame(COLUMNS).itertuples(index=False),
    "pandas of tuples": pd.Series(PAIRS),
    "arrow": pl.DataFrame(COLUMNS).to_arrow(),
}


@pytest.mark.parametrize("form", FORMS)
def test_two_pairs_are_read_as_they_are_meant(rec: Recommender, form: str) -> None:
    pairs = FORMS[form]
    assert resolved(rec, pairs() if callable(pairs) else pairs) == [(2, 7), (3, 1)]


def test_columns_go_by_the_names_of_the_export(rec: Recommender) -> None:
    frame = pl.DataFrame({"ware": COLUMNS["item"], "kunde": COLUMNS["user"], "item": [0, 0]})
    usual = ColumnNames(user="kunde", item="ware")
    assert resolved(rec, frame, usual=usual) == [(2, 7), (3, 1)]
    assert resolved(rec, COLUMNS, usual=usual) == [(2, 7), (3, 1)]


REFUSED: dict[str, tuple[Any, str]] = {
    "frame of other columns": (
        pl.DataFrame({"a": [1, 2], "b": [3, 4]}),
        "there is no column 'user' among 'a', 'b'",
    ),
    "columns twice": (pd.DataFrame([[1, 2, 3]], columns=["user", "item", "item"]), "could both be the item"),
    "lazy frame": (pl.LazyFrame(COLUMNS), "are a LazyFrame; collect"),
    "mapping of users": ({1: 2, 3: 4}, "there is no column 'user' among '1', '3'"),
    "scalars": ({"user": "alice", "item": "x"}, "holds a str where a column"),
    "columns of other lengths": ({"user": [1, 2], "item": [3]}, "has 2 users and 1 items"),
    "nested columns": ({"user": np.zeros((2, 2), int), "item": [1, 2]}, "no flat list"),
    "two letters": ({"ab", "cd"}, "give \\(user, item\\) tuples"),
    "bytes": ([b"ab"], "interaction 1 is .*a bytes"),
    "rated": ([(USERS[0], ITEMS[0]), (1, 2, 5.0)], "interaction 2 is .*of 3 parts.*ratings are not read"),
    "arrays of columns": ([np.array([1, 2]), np.array([3, 4])], "interaction 1 is .*a ndarray"),
    "series of columns": ([pl.Series([1, 2]), pl.Series([3, 4])], "interaction 1 is .*a Series"),
    "sets": ([{1, 2}], "interaction 1 is .*a set"),
    "rows by name": ([{"user": 1, "item": 2}], "interaction 1 is .*a dict"),
    "two lists": (([1, 2], [3, 4]), "zip\\(users, items\\)"),
    "wide array": (np.zeros((2, 3), int), "shape \\[2, 3\\]; it must be \\[n, 2\\]"),
    "flat array": (np.zeros(4, int), "shape \\[4\\]"),
    "floats": (np.zeros((2, 2)), "an array of float64"),
    "truths": (np.zeros((2, 2), bool), "an array of bool"),
    "sparse": (sparse.csr_array(np.eye(3)), "positions and not ids"),
    "path": (Path("x.csv"), "pass InteractionsFile"),
    "object": (SimpleNamespace(), "not SimpleNamespace"),
    "nothing": (np.empty((0, 2), int), "there are no interactions"),
    "empty frame": (pl.DataFrame({"user": [], "item": []}), "there are no interactions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_be_misread_is_refused(rec: Recommender, case: str) -> None:
    pairs, reason = REFUSED[case]
    with pytest.raises(InputError, match=reason) as caught:
        rec.finetune(pairs, epochs=1)
    assert "\n" not in str(caught.value)


def test_a_column_with_gaps_says_that_its_ids_are_no_integers(rec: Recommender) -> None:
    frame = pd.DataFrame({"user": [1, None], "item": [1, 2]})
    with pytest.raises(UnknownIdError, match=r"no user 1\.0 .*never a float; pass on_unknown='skip'"):
        rec.evaluate(frame)


@pytest.mark.parametrize("side", ["integer", "text"])
def test_lookup_goes_by_type_alone_in_company_and_one_by_one(
    tmp_path: Path, model: TinyModel, fake_native: None, side: str
) -> None:
    rec = Recommender.open(write_tiny(tmp_path / side, model, ids=side))
    known = rec.user_ids[0]
    twins: list[Any] = [
        1.0,
        True,
        None,
        float("nan"),
        np.float32(1),
        np.bool_(True),
        b"1",
        np.timedelta64(1),
        [1],
    ]
    for order in ([known, *twins], [*twins, known], [1, *twins, "1", *twins]):
        alone = [int(rec.user_ids.find(raw)) for raw in order]
        assert rec.user_ids.find_many(order).tolist() == alone
        assert [raw in rec.user_ids for raw in order] == [index >= 0 for index in alone]
        assert all(
            index == -1
            for raw, index in zip(order, alone, strict=True)
            if not isinstance(raw, (int, str)) or raw is True
        )
    items, _ = rec.recommend([1.0, known], k=3, on_unknown="skip")
    assert items[1].tolist() == rec.recommend(known, k=3)[0].tolist()
    assert set(items[0].tolist()) <= {-1, None}
    assert len(rec.recommend(1.0, k=3, on_unknown="skip")[0]) == 0


def test_who_is_asked_for_must_have_an_order(rec: Recommender) -> None:
    for users in (set(USERS[:2]), pl.DataFrame(COLUMNS), COLUMNS, np.zeros((2, 2), int)):
        with pytest.raises(InputError, match=r"^the users (are a|have 2 dimensions)"):
            rec.recommend(users, k=2)  # type: ignore[arg-type]
    for several in (pl.Series(USERS[:2]), pd.Series(USERS[:2]), tuple(USERS[:2]), iter(USERS[:2])):
        assert rec.recommend(several, k=2)[0].shape == (2, 2)  # type: ignore[arg-type]
    assert rec.recommend(np.array(USERS[1]), k=2)[0].shape == (2,)
    history = set(ITEMS[:3])
    expected = rec.recommend_from_history(sorted(history), k=2)[0].tolist()
    assert rec.recommend_from_history(history, k=2)[0].tolist() == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["integer", "text"])
def test_ids_are_a_sequence(tmp_path: Path, model: TinyModel, fake_native: None, side: str) -> None:
    ids = Recommender.open(write_tiny(tmp_path / side, model, ids=side)).user_ids
    expected = raw_ids(side, model.users, prefix="user")
    assert list(ids) == [ids[at] for at in range(len(ids))] == expected
    assert [type(raw) for raw in ids] == [type(expected[0])] * len(ids)
    assert (ids[-1], ids[-len(ids)], ids[np.int64(3)]) == (expected[-1], expected[0], expected[3])
    for part in (slice(2, 5), slice(None, None, -7), slice(40, 50), slice(-3, None)):
        assert ids[part] == expected[part]
    assert list(reversed(ids)) == expected[::-1]
    assert expected[4] in ids
    assert "nobody" not in ids
    assert ids.index(expected[4]) == 4
    assert (ids.count(expected[4]), ids.count("nobody")) == (1, 0)
    assert repr(ids).startswith(f"<30 ids: {expected[0]!r}, ")
    for wrong, error in ((30, IndexError), (-31, IndexError), (1.0, TypeError), ("x", TypeError)):
        with pytest.raises(error):
            ids[wrong]  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="not among"):
        ids.index("nobody")


@pytest.mark.parametrize(("distinct", "rows"), [(1, 5_000), (700, 20_000), (9_000, 9_000), (30_000, 60_000)])
def test_keys_are_those_of_numpy_in_memory_that_grows_with_the_distinct_ones(
    distinct: int, rows: int
) -> None:
    random = np.random.default_rng(distinct)
    pool = random.choice(1 << 40, distinct, replace=False)
    given = np.concatenate((pool, random.choice(pool, rows - distinct)))
    random.shuffle(given)
    held: list[int] = []

    def allocate(shape: tuple[int], dtype: str) -> np.ndarray:
        held.append(shape[0] * np.dtype(dtype).itemsize)
        return np.empty(shape, dtype)

    keys = PairKeys(allocate)
    for start in range(0, rows, 777):
        keys.add(given[start : start + 777])
    users, items = keys.pairs(1 << 20)
    expected = np.unique(given)
    assert users.dtype == items.dtype == np.int32
    assert (users.astype(np.int64) * (1 << 20) + items).tolist() == expected.tolist()
    assert max(held) <= 8 * max(256, 2 * distinct)


def test_pairs_that_do_not_fit_the_budget_are_refused(
    tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    bundle = write_tiny(tmp_path / "b", model, ids="integer")
    with Recommender.open(bundle) as free:
        needed = free.plan().phase("recommend").total_bytes
    rec = Recommender.open(bundle, memory_budget=needed)
    every = [(user, item) for user in USERS for item in ITEMS] * 3
    spare = rec._open.engine.budget.empty((needed - rec.memory[0] - 4_000,), "uint8")
    with pytest.raises(BudgetError, match=r"interactions take .* give a larger budget or fewer interactions"):
        rec.evaluate(every, k=3)
    del spare
