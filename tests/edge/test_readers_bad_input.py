"""Everything that can be wrong with a source: named with file, line and reason, or skipped and counted."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from lerg_edge.data.interactions import Interactions
from lerg_edge.data.readers import BadRow, read_dataset, read_interactions
from lerg_edge.errors import InputError


def write_text(path: Path, text: str) -> Path:
    content = text.encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def pairs_of(interactions: Interactions) -> set[tuple[object, object]]:
    users = interactions.user_ids.values[interactions.users].tolist()
    return set(zip(users, interactions.item_ids.values[interactions.items].tolist(), strict=True))


BAD_ROWS = {
    "too few fields": ("u1,i1,5", 3, "3 fields where 4 are expected"),
    "too many fields": ("u1,i1,5,1,9", 3, "5 fields where 4 are expected"),
    "no user": (",i1,5,1", 3, "the user is missing"),
    "blank item": ("u1,  ,5,1", 3, "the item is missing"),
    "no rating": ("u1,i1,,1", 3, "the rating is missing"),
    "no timestamp": ("u1,i1,5,", 3, "the timestamp is missing"),
    "rating in words": ("u1,i1,five,1", 3, "the rating 'five' is not a finite number"),
    "rating not a number": ("u1,i1,nan,1", 3, "the rating 'nan' is not a finite number"),
    "endless rating": ("u1,i1,inf,1", 3, "the rating 'inf' is not a finite number"),
    "timestamp in words": ("u1,i1,5,2020-01-01", 3, "the timestamp '2020-01-01' is not a finite number"),
    "timestamp too large": ("u1,i1,5,1e300", 3, "the timestamp '1e300' is not a finite number"),
    "long value": (f"u1,i1,{'x' * 999},1", 3, "the rating 'xxx"),
    "bad quotes": ('"u1"x,i1,5,1', 3, "the quotes or the line end are malformed"),
    "lone carriage return": ("u1,i\r1,5,1", 3, "the quotes or the line end are malformed"),
    "not UTF-8": ("u\udcff,i1,5,1", 3, "not UTF-8"),
    "after a blank line and a quoted line end": ('\n"u\n9",i9,5,1\nu1,i1,x,1', 6, "the rating 'x'"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_bad_rows_are_named_or_skipped(tmp_path: Path, case: str, name: str) -> None:
    row, line, reason = BAD_ROWS[case]
    text = f"user,item,rating,timestamp\nu0,i0,1,1\n{row}\nu2,i2,2,2\n,,,\n"
    path = write_text(tmp_path / name, text)
    with pytest.raises(InputError) as raised:
        read_interactions(path, rating_threshold=0)
    message = str(raised.value)
    assert message.startswith(f"{path}: line {line}: ")
    assert reason in message
    assert "\n" not in message
    message.encode()  # can be printed

    skipped: list[BadRow] = []
    read = read_interactions(path, rating_threshold=0, skip_bad_rows=True, on_bad_row=skipped.append)
    assert read.report.bad_rows_skipped == len(skipped) == 1, "a row of empty fields is a blank line"
    assert (skipped[0].path, skipped[0].line) == (path, line)
    assert reason in skipped[0].reason
    assert {("u0", "i0"), ("u2", "i2")} <= pairs_of(read)
    assert "u1" not in read.user_ids.values


def test_bad_rows_of_parquet_are_counted_by_row(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    ratings = [1.0, float("nan"), 2.0, None]
    pl.DataFrame({"user": [1, 2, None, 4], "item": list("abcd"), "rating": ratings}).write_parquet(path)
    with pytest.raises(InputError, match="row 2: the rating nan is not a finite number"):
        read_interactions(path, rating_threshold=0)
    skipped: list[BadRow] = []
    read = read_interactions(path, rating_threshold=0, skip_bad_rows=True, on_bad_row=skipped.append)
    assert [(row.line, row.reason.split()[1]) for row in skipped] == [
        (2, "rating"),
        (3, "user"),
        (4, "rating"),
    ]
    assert pairs_of(read) == {(1, "a")}


def test_a_line_that_is_not_text_is_a_bad_row(tmp_path: Path) -> None:
    path = write_text(tmp_path / "x.txt", "1 2\n\udcff 3\n2 3\n")
    with pytest.raises(InputError, match="line 2: the user is not UTF-8"):
        read_interactions(path)
    assert read_interactions(path, skip_bad_rows=True).report.bad_rows_skipped == 1


CSV = "user,item,rating\n1,2,3\n"
REFUSED: dict[str, tuple[str, str, dict[str, object], str]] = {
    "missing file": ("", "", {}, "there is no such file or folder"),
    "name too long": (f"{'x' * 300}.csv", "", {}, "there is no such file or folder"),
    "unknown kind": ("x.xlsx", "1", {}, "unknown kind of file; use one of .txt, .csv"),
    "compressed parquet": ("x.parquet.gz", "1", {}, "unknown kind of file"),
    "empty csv": ("x.csv", "", {}, "the file is empty"),
    "empty text": ("x.txt", "", {}, "holds no interactions"),
    "blank csv": ("x.csv", "\n \n", {}, "the file is empty"),
    "header alone": ("x.csv", "user,item\n", {}, "holds no interactions"),
    "users alone": ("x.txt", "1\n2\n", {}, "holds no interactions"),
    "comma lines": ("x.txt", "1,2\n", {}, "holds no interactions"),
    "no user column": ("x.csv", "who,item\n1,2\n", {}, "no column (who, item) looks like the user"),
    "no item column": ("x.csv", "user,what\n1,2\n", {}, "no column (user, what) looks like the item"),
    "wrong column": (
        "x.csv",
        CSV,
        {"user_column": "who"},
        "no column 'who' for the user; there are user, item",
    ),
    "wrong rating column": ("x.csv", CSV, {"rating_column": "r"}, "no column 'r' for the rating"),
    "same column": ("x.csv", CSV, {"user_column": "item"}, "'item' cannot be both user and item"),
    "columns of lines": ("x.txt", "1 2\n", {"user_column": "u"}, "have neither columns nor ratings"),
    "threshold of lines": ("x.txt", "1 2\n", {"rating_threshold": 3}, "have neither columns nor ratings"),
    "threshold without ratings": (
        "x.csv",
        "user,item\n1,2\n",
        {"rating_threshold": 3},
        "needs a rating column",
    ),
    "threshold not finite": ("x.csv", CSV, {"rating_threshold": float("nan")}, "must be a finite number"),
    "threshold too high": (
        "x.csv",
        CSV,
        {"rating_threshold": 9},
        "no interactions (0 bad rows, 1 rated below",
    ),
    "only bad rows": ("x.csv", "user,item\n1\n", {"skip_bad_rows": True}, "no interactions (1 bad rows"),
    "open quote": (
        "x.csv",
        'user,item\n1,2\n"3,4\n5,6\n',
        {"skip_bad_rows": True},
        "line 3: a quote opened here",
    ),
    "header not text": ("x.csv", "user,it\udcff\n1,2\n", {}, "the header is not UTF-8"),
    "headerless of other width": (
        "u.data",
        "1\t2\t3\t4\t5\n",
        {},
        "5 fields, where files of this kind have 2 to 4",
    ),
    "damaged gzip": ("x.inter.gz", "damaged", {}, "the compressed data is damaged"),
    "damaged parquet": ("x.parquet", "PAR1 damaged", {}, "cannot be read as Parquet"),
    "unknown split": ("x.csv", CSV, {"split": "half"}, "split is 'half'; choose one of auto, given"),
    "test with split": (
        "x.csv",
        CSV,
        {"split": "ratio", "test": "t.csv"},
        "split=ratio makes its own test set",
    ),
    "missing test": ("x.csv", CSV, {"test": "t.csv"}, "t.csv: there is no such file"),
    "none given": ("x.csv", CSV, {"split": "given"}, "brings no test set"),
    "no timestamps": ("x.csv", CSV, {"split": "leave-last-out"}, "needs timestamps"),
    "share": ("x.csv", CSV, {"split": "ratio", "test_share": 2.0}, "test_share is 2.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    name, text, options, sentence = REFUSED[case]
    path = tmp_path / (name or "missing.csv")
    if case == "damaged gzip":
        path.write_bytes(gzip.compress(b"user_id:token\titem_id:token\n" + b"1\t2\n" * 999)[:-12])
    elif len(name) < 99 and name:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as raised:
        read_dataset(path, **options)  # type: ignore[arg-type]
    message = str(raised.value)
    assert sentence in message
    assert "\n" not in message
    assert not message.endswith(".")


def test_folders_and_test_sets_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the folder has no train\.txt"):
        read_dataset(tmp_path)
    write_text(tmp_path / "train.txt", "1 10 11\n")
    write_text(tmp_path / "test.txt", "1 11\n")
    with pytest.raises(InputError, match=r"test\.txt: every pair is in the training set too"):
        read_dataset(tmp_path)
    with pytest.raises(InputError, match="demo makes its own test set"):
        read_dataset("demo", test=tmp_path / "test.txt")


@pytest.mark.parametrize(
    ("dtype", "values", "sentence"),
    [
        (pl.Float64, [1.0], "holds Float64; user ids must be integers or strings"),
        (pl.Boolean, [True], "holds Boolean; user ids must be"),
        (pl.List(pl.Int64), [[1]], "user ids must be"),
    ],
)
def test_parquet_columns_of_other_types_are_refused(
    tmp_path: Path, dtype: pl.DataType, values: list[object], sentence: str
) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"user": pl.Series(values, dtype=dtype), "item": [1]}).write_parquet(path)
    with pytest.raises(InputError) as raised:
        read_interactions(path)
    assert sentence in str(raised.value)


def test_parquet_ratings_must_be_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"user": [1], "item": [1], "rating": [True]}).write_parquet(path)
    with pytest.raises(InputError, match="a rating must be a number"):
        read_interactions(path, rating_threshold=1)
