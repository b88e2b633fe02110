"""Files of interactions on the device."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.data.readers import _columns
from lerg_runtime import InputError, InteractionsFile
from lerg_runtime.reading import _columns as device_columns


def pairs(path: Path, content: str | bytes, **options: object) -> list[tuple[object, object]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(InteractionsFile(path, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        "user,item\na,1\nb,2\n",
        "item,user\n1,a\n2,b\n",
        "User,Item,Rating,Timestamp\na,1,5,10\nb,2,1,11",
        "user_id\titem_id\na\t1\nb\t2\n",
        "user_id:token\titem_id:token\trating:float\na\t1\t3\nb\t2\t4\n",
        "userId,movieId,rating,timestamp\na,1,3,9\nb,2,4,9\n",
        "\ufeffuser,item\r\na,1\r\n\r\nb,2\r\n",
        "\n\nuser,item\na,1\n , \nb,2\n",
        'user,item\n"a","1"\nb,2\n',
        "a 1\nb 2\n",
        "a   1\n\nc\nb\t2\n",
    ],
    ids=[
        "csv",
        "swapped",
        "more columns",
        "tsv",
        "recbole",
        "movielens",
        "bom and crlf",
        "blank lines",
        "quoted",
        "lines",
        "loose lines",
    ],
)
def test_every_form_gives_the_same_pairs(tmp_path: Path, content: str) -> None:
    assert pairs(tmp_path / "file", content) == [("a", "1"), ("b", "2")]


def test_a_line_lists_many_items(tmp_path: Path) -> None:
    assert pairs(tmp_path / "file", "7 1 2 1\n8 3\n") == [("7", "1"), ("7", "2"), ("7", "1"), ("8", "3")]


def test_ratings_below_the_threshold_are_left_out(tmp_path: Path) -> None:
    content = "user,item,rating\na,1,4\nb,2,3.9\nc,3,4.5\n"
    assert pairs(tmp_path / "file", content, rating_threshold=4) == [("a", "1"), ("c", "3")]
    assert len(pairs(tmp_path / "file", content)) == 3


BAD_ROWS = [
    ("user,item\na\n", "line 2: it has 1 fields and the header has 2"),
    ("user,item\na,1\n\nb,2,3\n", "line 4: it has 3 fields"),
    ("user,item\n,1\n", "line 2: an id is empty"),
    ("user,item,rating\na,1,x\n", "line 2: the rating 'x' is not a number"),
    ("user,item,rating\na,1,nan\n", "line 2: the rating 'nan' is not finite"),
    (b"user,item\na,\xff\n", "line 2: it is not UTF-8"),
    (b"a 1\nb \xff\n", "line 2: it is not UTF-8"),
    ('user,item\n"a"x,1\n', "line 2: its quotes are malformed"),
]


@pytest.mark.parametrize(("content", "reason"), BAD_ROWS)
def test_a_bad_row_is_named_or_skipped(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / ("file" if content[:1] in (b"a", "a") else "file.csv")
    options: dict[str, object] = {"rating_threshold": 1} if "rating" in str(content) else {}
    with pytest.raises(InputError) as caught:
        pairs(path, content, **options)
    assert f"{path}, {reason}" in str(caught.value)
    good = content if isinstance(content, bytes) else content.encode()
    good += b"z 9\n" if good.startswith(b"a ") else b"z,9,5\n" if b"rating" in good else b"z,9\n"
    path.write_bytes(good)
    told: list[str] = []
    file = InteractionsFile(path, skip_bad_rows=True, on_bad_row=told.append, **options)  # type: ignore[arg-type]
    assert list(file)[-1] == ("z", "9")
    assert file.bad_rows_skipped == len(told) == 1
    assert reason in told[0]
    assert list(file)[-1] == ("z", "9"), "a file can be read again"
    assert file.bad_rows_skipped == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "has no interactions"),
        ("\n \n", "has no interactions"),
        ("user,item\n", "has no interactions"),
        ("a\nb\n", "there is no column 'user' among 'a'"),
        ("user,thing\na,1\n", "line 1: there is no column 'item' among 'user', 'thing'"),
        ("who,item\na,1\n", "line 1: there is no column 'user'"),
        ("a,1\nb,2\n", "line 1: there is no column 'user'"),
        (b"PK\x03\x04,\x00\xff\n", "is a zip archive or a spreadsheet; CSV, TSV"),
        ('user,item\n"a,1\nb,2\n', "line 2: a quote that opens here is not closed"),
        ("user,item\n" + "a" * (1 << 24) + ",1\n", "line 2: it is longer than"),
    ],
)
@pytest.mark.parametrize("skip", [False, True])
def test_what_cannot_be_skipped(tmp_path: Path, content: str | bytes, reason: str, skip: bool) -> None:
    with pytest.raises(InputError) as caught:
        pairs(tmp_path / "file.csv", content, skip_bad_rows=skip)
    assert f"{tmp_path / 'file.csv'}" in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_go_by_the_names_that_an_export_knows() -> None:
    """The packages import nothing of each other, so both have the list."""
    assert device_columns.USER_COLUMNS == _columns.USER
    assert device_columns.ITEM_COLUMNS == _columns.ITEM
    assert device_columns.RATING_COLUMNS == _columns._RATING


def test_a_threshold_needs_a_rating(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'rating'"):
        pairs(tmp_path / "file", "user,item\na,1\n", rating_threshold=3)
    with pytest.raises(InputError, match="must be a finite number"):
        InteractionsFile(tmp_path / "file", rating_threshold=float("nan"))


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot read"):
        list(InteractionsFile(tmp_path / name))


def test_a_large_file_comes_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("user,item\n" + "".join(f"{row % 7},{row}\n" for row in range(70_000)))
    chunks = list(InteractionsFile(path).chunks())
    assert len(chunks) > 30
    assert max(len(chunk.items) for chunk in chunks) == 512
    assert [item for chunk in chunks for item in chunk.items] == [str(row) for row in range(70_000)]
    assert chunks[-1].places[-1] == 70_001


ids = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=8).filter(
    str.strip
)


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=20), st.sampled_from(",\t"))
def test_what_csv_writes_is_read(tmp_path: Path, rows: list[tuple[str, str]], delimiter: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows([("user", "item"), *rows])
    assert pairs(tmp_path / "file", stream.getvalue()) == rows


@given(st.binary(max_size=200))
def test_no_bytes_give_another_error(tmp_path: Path, content: bytes) -> None:
    for prefix in (b"", b"user,item\n"):
        with contextlib.suppress(InputError):
            pairs(tmp_path / "file", prefix + content, skip_bad_rows=True)
