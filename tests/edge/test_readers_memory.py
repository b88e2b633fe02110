"""Frames, columns and matrices in memory are read as a file of the same rows is."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from lerg_edge import BadRow, InputError, Interactions, read_dataset, read_interactions

# Users 2 and 10, items of text, one of which looks like an integer; one pair comes twice.
COLUMNS: dict[str, list[Any]] = {
    "user": [10, 2, 10, 2, 2],
    "item": ["b", "12", "b", "b", "c"],
    "rating": [5.0, 1.0, 4.0, 3.0, 2.0],
    "timestamp": [300, 100, 200, 400, 100],
}
LATEST = {(10, "b"): 300, (2, "12"): 100, (2, "b"): 400, (2, "c"): 100}

FORMS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "mapping of lists": lambda columns: columns,
    "mapping of arrays": lambda columns: {name: np.array(values) for name, values in columns.items()},
    "pandas": pd.DataFrame,
    "pandas of objects": lambda columns: pd.DataFrame(columns, dtype=object),
    "pandas, an index of its own": lambda columns: pd.DataFrame(columns, index=[9, 9, 3, 1, 0]),
    "pandas of categories": lambda columns: pd.DataFrame(columns).astype({"item": "category"}),
    "pandas of nullable integers": lambda columns: pd.DataFrame(columns).astype({"user": "Int64"}),
    "polars": pl.DataFrame,
    "lazy polars": lambda columns: pl.DataFrame(columns).lazy(),
    "polars of categories": lambda columns: pl.DataFrame(columns).cast({"item": pl.Categorical}),
    "Arrow": pa.table,
    "structured array": lambda columns: np.array(
        list(zip(*columns.values(), strict=True)),
        dtype=[("user", "i8"), ("item", "U4"), ("rating", "f4"), ("timestamp", "i8")],
    ),
}


def times_of(found: Interactions) -> dict[tuple[Any, Any], int]:
    users, items = found.user_ids.values[found.users].tolist(), found.item_ids.values[found.items].tolist()
    assert found.timestamps is not None
    return dict(zip(zip(users, items, strict=True), found.timestamps.tolist(), strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_alike(form: str) -> None:
    found = read_interactions(FORMS[form](COLUMNS))
    assert times_of(found) == LATEST
    assert (found.report.rows_read, found.report.duplicates_merged) == (5, 1)
    assert found.report.columns == {name: name for name in COLUMNS}
    rated = read_dataset(FORMS[form](COLUMNS), rating_threshold=3, split="none")
    assert rated.train.pair_count == 2
    assert rated.disliked is not None
    assert rated.disliked.pair_count == 2


def test_as_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame(COLUMNS)
    frame.write_parquet(tmp_path / "x.parquet")
    read, held = (read_interactions(source) for source in (tmp_path / "x.parquet", frame))
    assert read.user_ids.values.tolist() == held.user_ids.values.tolist()
    assert read.item_ids.values.tolist() == held.item_ids.values.tolist()
    assert times_of(read) == times_of(held)


def test_no_table_library_is_imported_for_it() -> None:
    code = (
        "import sys; from lerg_edge import read_interactions\n"
        "found = read_interactions({'user': ['a', 'b'], 'item': [1, 2]})\n"
        "print(found.pair_count, 'pandas' in sys.modules, 'pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False", "False"]


def test_columns_by_name_and_by_usual_names() -> None:
    frame = pd.DataFrame({"kunde": ["a", "b"], "Movie ID": [7, 8], "item": [0, 0]})
    assert read_interactions(frame, user_column="kunde").item_ids.values.tolist() == [0]
    named = read_interactions(frame, user_column="kunde", item_column="Movie ID")
    assert named.item_ids.values.tolist() == [7, 8]


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_dates(library: Callable[[Any], Any]) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    naive = datetime.datetime(2024, 5, 31, 12)
    aware = datetime.datetime(2024, 5, 31, 14, tzinfo=zone)
    texts = "2024-05-31T12:00:00Z"
    for moment in (naive, aware, texts):
        found = read_interactions(library({"user": [1], "item": [2], "timestamp": [moment]}))
        assert found.timestamps is not None
        assert found.timestamps.tolist() == [1_717_156_800 * 10**6]
        assert found.report.timestamp_unit == "us"


def test_test_sets_splits_and_what_is_told() -> None:
    frame = pd.DataFrame(COLUMNS)
    later = pl.DataFrame({"user": [10, 10], "item": ["12", "b"]})
    found = read_dataset(frame, test=later)
    assert found.test is not None
    assert (found.test.pair_count, found.pairs_in_both) == (1, 1)
    assert found.split is not None
    assert (found.split.kind, found.split.reason) == ("given", "a test set was given")
    assert found.train.report.form == "pandas DataFrame"
    last = read_dataset(frame)
    assert last.split is not None
    assert last.split.kind == "last"


def test_bad_rows_are_counted_from_one() -> None:
    frame = pd.DataFrame({"user": ["a", None, "c"], "item": [1, 2, 3], "timestamp": [1.0, 2.0, np.nan]})
    with pytest.raises(InputError, match="the pandas DataFrame: row 2: the user is missing"):
        read_interactions(frame)
    rows: list[BadRow] = []
    found = read_interactions(frame, skip_bad_rows=True, on_bad_row=rows.append)
    assert (found.pair_count, found.report.bad_rows_skipped) == (1, 2)
    assert [row.line for row in rows] == [2, 3]


def test_mixed_and_large_ids() -> None:
    mixed = read_interactions({"user": ["a", 1, pd.NA], "item": [1, 2, 3]}, skip_bad_rows=True)
    assert mixed.user_ids.values.tolist() == ["1", "a"]
    large = read_interactions({"user": [2**64, 1], "item": np.array([2**63, 1], np.uint64)})
    assert large.user_ids.values.tolist() == ["1", str(2**64)]
    assert large.item_ids.values.tolist() == ["1", str(2**63)]


REFUSED: dict[str, tuple[Any, str]] = {
    "other columns": (pd.DataFrame({"a": [1], "b": [2]}), "no column .* looks like the user"),
    "float ids": (pd.DataFrame({"user": [1, None], "item": [1, 2]}), "'user' holds .*; user ids must be"),
    "truths": ({"user": [True, False], "item": [1, 2]}, "'user' holds values of type bool"),
    "objects": ({"user": [object()], "item": [1]}, "'user' holds values of type object"),
    "scalars": ({"user": "alice", "item": "x"}, "'user' is no flat column"),
    "nested": ({"user": np.zeros((2, 2), int), "item": [1, 2]}, "'user' is no flat column"),
    "other lengths": ({"user": [1, 2], "item": [3]}, "several lengths"),
    "columns twice": (pd.DataFrame([[1, 2, 3]], columns=["user", "item", "item"]), "could both be the item"),
    "no rows": (pl.DataFrame(COLUMNS).head(0), "holds no interactions"),
    "array": (np.zeros((3, 2), int), "holds no interactions that are read here"),
    "pairs": ([(1, 2)], "Interactions.from_raw"),
    "object": (SimpleNamespace(), "holds no interactions that are read here"),
    "none": (None, "holds no interactions that are read here"),
    "empty matrix": (sparse.csr_array((3, 3)), "holds no interactions"),
    "matrix with nothing": (sparse.csr_array(np.array([[np.nan, 1.0]])), "no finite numbers"),
    "matrix of texts": (SimpleNamespace(tocoo=None, shape=(1, 2, 3)), "has 3 dimensions"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    source, reason = REFUSED[case]
    with pytest.raises(InputError, match=reason) as caught:
        read_interactions(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array, sparse.lil_matrix])
def test_matrices(kind: Callable[[Any], Any]) -> None:
    dense = np.array([[0, 2, 5], [0, 0, 0], [1, 0, 0]])
    found = read_interactions(kind(dense))
    assert found.user_ids.values.tolist() == [0, 1, 2]
    assert (found.matrix().toarray() == (dense > 0)).all()
    assert (found.report.users_without, found.report.rows_read) == (1, 3)
    rated = read_dataset(kind(dense), rating_threshold=2, split="none")
    assert (rated.train.matrix().toarray() == (dense >= 2)).all()
    assert rated.disliked is not None
    assert (rated.disliked.matrix().toarray() == ((dense > 0) & (dense < 2))).all()


def test_matrix_of_repeated_and_of_zero_entries() -> None:
    at = (np.array([0, 0, 1]), np.array([1, 1, 0]))
    matrix = sparse.coo_matrix((np.array([1.0, 2.0, 0.0]), at), shape=(2, 2))
    assert read_interactions(matrix).matrix().toarray().tolist() == [[0, 1], [0, 0]]
    rated = read_dataset(matrix, rating_threshold=3, split="none")
    assert (rated.train.pair_count, rated.disliked and rated.disliked.pair_count) == (1, 1)
    assert matrix.nnz == 3  # as it was
    with pytest.raises(InputError, match="has no columns to name"):
        read_interactions(matrix, user_column="x")
