"""One contract over every form that interactions come in."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from _interaction_files import Pairs, pairs_of, write_text
from hypothesis import assume, given
from hypothesis import strategies as st

from lerg_edge.data.readers import _delimited, _lines, _typed, read_dataset, read_interactions
from lerg_edge.errors import InputError

Row = tuple[object, object, object, object]

# Users 2 and 10, items of text; one pair comes twice.
ROWS: list[Row] = [(10, "b", 5, 300), (2, "a b", 1, 100), (10, "b", 4, 200), (2, "b", 3, 400)]
LATEST: Pairs = {(10, "b"): 300, (2, "a b"): 100, (2, "b"): 400}


def joined(separator: str, *, header: str = "") -> Callable[[Path, list[Row]], None]:
    def write(path: Path, rows: list[Row]) -> None:
        write_text(path, header + "".join(separator.join(map(str, row)) + "\n" for row in rows))

    return write


def quoted(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        writer.writerows(rows)


def parquet(path: Path, rows: list[Row]) -> None:
    pl.DataFrame(rows, schema=["user", "item", "rating", "timestamp"], orient="row").write_parquet(path)


FORMS: dict[str, tuple[str, Callable[[Path, list[Row]], None]]] = {
    "csv": ("x.csv", joined(",", header="user_id,item_id,rating,timestamp\n")),
    "csv, CRLF": ("x.csv", joined(",", header="user,item,rating,timestamp\r\n")),
    "csv, byte-order mark": ("x.csv", joined(",", header="\ufeffuser,item,rating,timestamp\n")),
    "csv, quoted": ("x.CSV", quoted),
    "csv, gzip": ("x.csv.gz", joined(",", header="User ID,Item ID,Score,ts\n")),
    "tsv": ("x.tsv", joined("\t", header="uid\tiid\tstars\ttime\n")),
    "RecBole": (
        "x.inter",
        joined("\t", header="user_id:token\titem_id:token\trating:float\ttimestamp:float\n"),
    ),
    "u.data": ("u.data", joined("\t")),
    "u.data, byte-order mark": ("u.data", joined("\t", header="\ufeff")),
    "ratings.dat": ("ratings.dat", joined("::")),
    "parquet": ("x.parquet", parquet),
}


@pytest.fixture(params=FORMS, ids=list(FORMS))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, write = FORMS[request.param]
    write(tmp_path / name, ROWS)
    return tmp_path / name


def test_every_form_reads_alike(written: Path) -> None:
    read = read_interactions(written)
    assert pairs_of(read) == LATEST
    assert read.user_ids.values.tolist() == [2, 10]
    assert read.item_ids.values.tolist() == ["a b", "b"]
    assert (read.report.rows_read, read.report.duplicates_merged, read.report.bad_rows_skipped) == (4, 1, 0)


def test_every_form_applies_the_threshold_and_keeps_the_entities(written: Path) -> None:
    read = read_interactions(written, rating_threshold=3)
    assert pairs_of(read) == {(10, "b"): 300, (2, "b"): 400}
    assert read.item_ids.values.tolist() == ["a b", "b"]
    assert (read.report.below_threshold, read.report.items_without, read.report.users_without) == (1, 1, 0)


def test_every_form_reads_alike_in_small_batches(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_delimited, "_PLAIN_BATCH", 1)
    monkeypatch.setattr(_delimited, "_CAREFUL_BATCH", 1)
    monkeypatch.setattr(_delimited, "_BLOCK_BYTES", 7)
    monkeypatch.setattr(_typed, "_BATCH", 1)
    assert pairs_of(read_interactions(written)) == LATEST


@pytest.mark.parametrize("batch", [1, 3, 1000])
@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
def test_lines_keep_users_who_stand_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, name: str
) -> None:
    monkeypatch.setattr(_lines, "_BATCH", batch)
    path = write_text(tmp_path / name, "\ufeff5 1 2 3\r\n7\n\n11\t1  4 \n5 3\n")
    read = read_interactions(path)
    assert pairs_of(read) == dict.fromkeys([(5, 1), (5, 2), (5, 3), (11, 1), (11, 4)], 0)
    assert read.user_ids.values.tolist() == [5, 7, 11]
    assert read.timestamps is None
    assert (read.report.rows_read, read.report.duplicates_merged, read.report.users_without) == (6, 1, 1)


FIELD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(
    lambda text: text.strip()
)
TOKEN = FIELD.filter(
    lambda text: len(text.encode().split()) == 1 and text.encode().split()[0] == text.encode()
)
PLAIN = FIELD.filter(lambda text: not set(text) & set("\t\r\n:"))


def typed(pairs: set[tuple[str, str]]) -> set[tuple[object, object]]:
    """Ids as they come back from text: a side whose ids are all canonical integers holds integers."""

    def side(texts: set[str]) -> Callable[[str], object]:
        numbers = all(
            text.isascii() and text.lstrip("-").isdigit() and str(int(text)) == text for text in texts
        )
        return int if numbers else str

    user, item = side({user for user, _ in pairs}), side({item for _, item in pairs})
    return {(user(left), item(right)) for left, right in pairs}


OTHER_TEXTS = ('{"', "[{", "<html", "<!doctype", "<?xml")


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1))
def test_what_csv_writes_is_read_back(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "x.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("user", "item"), *rows])
    assert set(pairs_of(read_interactions(path))) == typed(set(rows))


@given(st.lists(st.tuples(PLAIN, PLAIN), min_size=1), st.sampled_from(["x.inter", "u.data", "x.dat"]))
def test_what_is_joined_plainly_is_read_back(tmp_path: Path, rows: list[tuple[str, str]], name: str) -> None:
    separator = "::" if name == "x.dat" else "\t"
    header = "user_id:token\titem_id:token\n" if name == "x.inter" else ""
    # A byte-order mark at the very start of a file is no part of an id, and what begins as JSON is refused.
    rows = [(user.lstrip("\ufeff") or "u", item) for user, item in rows]
    assume(not rows[0][0].strip().lower().startswith(OTHER_TEXTS))
    path = write_text(tmp_path / name, header + "".join(f"{user}{separator}{item}\n" for user, item in rows))
    assert set(pairs_of(read_interactions(path))) == typed(set(rows))


@given(st.lists(st.tuples(TOKEN, st.lists(TOKEN)), min_size=1))
def test_lines_are_read_back(tmp_path: Path, rows: list[tuple[str, list[str]]]) -> None:
    rows = [(user.lstrip("\ufeff") or "u", items) for user, items in rows]
    assume(not rows[0][0].strip().lower().startswith(OTHER_TEXTS))
    path = write_text(tmp_path / "x.txt", "".join(" ".join([user, *items]) + "\n" for user, items in rows))
    pairs = {(user, item) for user, items in rows for item in items}
    if not pairs:
        with pytest.raises(InputError, match="no interactions"):
            read_interactions(path)
        return
    read = read_interactions(path)
    assert {(str(user), str(item)) for user, item in pairs_of(read)} == pairs
    assert {str(user) for user in read.user_ids.values} == {user for user, _ in rows}


@given(st.lists(st.tuples(FIELD, st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_parquet_keeps_the_types_of_ids(tmp_path: Path, rows: list[tuple[str, int]]) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame(rows, schema={"user": pl.String, "item": pl.Int64}, orient="row").write_parquet(path)
    assert set(pairs_of(read_interactions(path))) == set(rows)


def test_text_columns_of_parquet_stay_text_and_large_numbers_become_it(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["1", "2"], "item": pl.Series([3, 2**64 - 1], dtype=pl.UInt64)})
    frame.write_parquet(tmp_path / "x.parquet")
    assert set(pairs_of(read_interactions(tmp_path / "x.parquet"))) == {("1", "3"), ("2", str(2**64 - 1))}
    frame.with_columns(item=pl.Series([3, 4], dtype=pl.UInt64)).write_parquet(tmp_path / "x.parquet")
    assert set(pairs_of(read_interactions(tmp_path / "x.parquet"))) == {("1", 3), ("2", 4)}


@given(
    st.lists(
        st.lists(
            st.sampled_from(["1", "2", "a", "", " ", "nan", "3.5", " 4", 'x"', '"y,"', "\r"]), max_size=4
        ),
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_both_readers_of_csv_agree(tmp_path: Path, rows: list[list[str]], end: str) -> None:
    """Compressed files go to the careful reader, plain ones to polars where it can be trusted."""
    text = "".join(",".join(row) + end for row in [["user", "item", "rating"], *rows])

    def outcome(name: str) -> object:
        bad: list[tuple[int, str]] = []
        try:
            read = read_interactions(
                write_text(tmp_path / name, text),
                skip_bad_rows=True,
                on_bad_row=lambda row: bad.append((row.line, row.reason)),
            )
        except InputError as error:
            return str(error).replace(".gz", "")
        return pairs_of(read), read.report, bad

    assert outcome("x.csv") == outcome("x.csv.gz")


def test_columns_are_found_by_usual_names_or_given(tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "x.csv", "who,user_name,Movie-ID,what,when\nann,a,1,x,soon\nbob,b,2,y,late\n"
    )
    assert set(pairs_of(read_interactions(path))) == {("a", 1), ("b", 2)}
    given_names = read_interactions(path, user_column="who", item_column="what")
    assert set(pairs_of(given_names)) == {("ann", "x"), ("bob", "y")}
    with pytest.raises(InputError, match="line 2: the timestamp 'soon'"):
        read_interactions(path, timestamp_column="when")


def test_a_column_can_be_left_out(tmp_path: Path) -> None:
    path = write_text(tmp_path / "x.csv", "user,item,rating,time\n1,2,good,noon\n")
    read = read_interactions(path, rating_column="", timestamp_column="")
    assert set(pairs_of(read)) == {(1, 2)}
    assert read.timestamps is None


def test_typed_names_are_found_with_and_without_their_type(tmp_path: Path) -> None:
    path = write_text(tmp_path / "x.inter", "a:token\tb:token\n1\t2\n")
    for item in ("b", "b:token"):
        assert set(pairs_of(read_interactions(path, user_column="a", item_column=item))) == {(1, 2)}


def test_timestamps_keep_what_a_float_would_lose(tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "x.csv", "user,item,ts\n1,1,1700000000123456789\n1,2,12.75\n1,3,-0.5\n1,4,1e9\n"
    )
    assert list(pairs_of(read_interactions(path)).values()) == [1700000000123456789, 12, -1, 10**9]


def test_dates_of_parquet_are_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    days = pl.Series(["2020-01-02", "2020-01-01"]).str.to_date()
    pl.DataFrame({"user": [1, 1], "item": [1, 2], "timestamp": days}).write_parquet(path)
    test = read_dataset(path, split="leave-last-out").test
    assert test is not None
    assert set(pairs_of(test)) == {(1, 1)}
