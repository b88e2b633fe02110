"""One contract over every form that interactions come in."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.data.readers import _delimited, _lines, _typed, read_dataset, read_interactions
from lerg_edge.data.synthetic import SHAPES, Shape
from lerg_edge.errors import InputError

Row = tuple[object, object, object, object]
Pairs = dict[tuple[object, object], int]

# Users 2 and 10, items of text; one pair comes twice.
ROWS: list[Row] = [(10, "b", 5, 300), (2, "a b", 1, 100), (10, "b", 4, 200), (2, "b", 3, 400)]
LATEST: Pairs = {(10, "b"): 300, (2, "a b"): 100, (2, "b"): 400}


def write_text(path: Path, text: str) -> Path:
    content = text.encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


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


def pairs_of(interactions: Interactions) -> Pairs:
    users = interactions.user_ids.values[interactions.users].tolist()
    items = interactions.item_ids.values[interactions.items].tolist()
    times = [0] * len(users) if interactions.timestamps is None else interactions.timestamps.tolist()
    return dict(zip(zip(users, items, strict=True), times, strict=True))


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


def folder(path: Path, train: str, test: str | None = None) -> Path:
    write_text(path / "train.txt", train)
    if test is not None:
        write_text(path / "test.txt", test)
    return path


def test_a_folder_gives_both_sets_over_the_same_ids(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path, "1 10 11\n2 10\n3\n", "1 12 10\n9 11\n"))
    assert data.test is not None
    assert set(pairs_of(data.train)) == {(1, 10), (1, 11), (2, 10)}
    assert set(pairs_of(data.test)) == {(1, 12), (9, 11)}
    assert data.pairs_in_both == 1
    assert data.train.user_ids is data.test.user_ids
    assert data.train.item_ids is data.test.item_ids
    assert data.train.user_ids.values.tolist() == [1, 2, 3, 9]
    assert (data.train.report.users_without, data.train.report.items_without) == (2, 1)
    assert read_interactions(tmp_path).user_count == 3


def test_one_text_id_in_the_test_set_makes_text_of_all(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path, "1 10\n2 9\n", "1 x\n"))
    assert data.train.item_ids.values.tolist() == ["10", "9", "x"]
    assert data.train.user_ids.values.tolist() == [1, 2]


def test_a_test_file_may_have_another_form_and_wins_over_the_folders(tmp_path: Path) -> None:
    path = folder(tmp_path, "1 10 11\n", "1 99\n")
    data = read_dataset(path, test=write_text(tmp_path / "held.csv", "user,item\n1,12\n"))
    assert data.test is not None
    assert set(pairs_of(data.test)) == {(1, 12)}
    assert 99 not in data.train.item_ids.values


def test_typed_text_and_plain_text_share_a_map(tmp_path: Path) -> None:
    pl.DataFrame({"user": ["1", "2"], "item": [3, 4]}).write_parquet(tmp_path / "x.parquet")
    data = read_dataset(tmp_path / "x.parquet", test=write_text(tmp_path / "t.csv", "user,item\n1,4\n2,x\n"))
    assert data.test is not None
    assert set(pairs_of(data.train)) == {("1", "3"), ("2", "4")}
    assert set(pairs_of(data.test)) == {("1", "4"), ("2", "x")}


def test_splits_without_a_given_test_set(tmp_path: Path) -> None:
    rows = "".join(f"{user},{item},{item}\n" for user in range(4) for item in range(5))
    timed = write_text(tmp_path / "timed.csv", "user,item,timestamp\n" + rows)
    by_time = read_dataset(timed)
    assert by_time.test is not None
    assert set(pairs_of(by_time.test)) == {(user, 4) for user in range(4)}
    by_ratio = read_dataset(timed, split="ratio", test_share=0.4, seed=3)
    assert by_ratio.test is not None
    assert by_ratio.test.pair_count == 8
    assert read_dataset(timed, split="none").test is None
    auto = read_dataset(folder(tmp_path, "1 1 2 3 4 5\n"))
    assert auto.test is not None
    assert (auto.train.pair_count, auto.test.pair_count) == (4, 1)
    with_own = read_dataset(folder(tmp_path, "1 1 2 3 4 5\n", "1 7\n"), split="ratio")
    assert 7 not in with_own.train.item_ids.values


def test_demo_needs_no_file() -> None:
    data = read_dataset("demo", seed=5)
    assert data.test is not None
    assert data.train.user_ids.values[0] == "user-0001"
    whole = read_interactions("demo", seed=5)
    assert data.train.pair_count + data.test.pair_count == whole.pair_count == 30_000


def test_a_shape_by_name_is_split_like_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "small", Shape(50, 40, 400, communities=4))
    data = read_dataset("demo:small", seed=5)
    assert data.test is not None
    assert data.train.pair_count + data.test.pair_count == 400
    assert read_interactions("demo:small", seed=5).pair_count == 400
    with pytest.raises(InputError, match="demo:other"):
        read_dataset("demo:other")
    with pytest.raises(InputError, match="demo:small makes its own test set"):
        read_dataset("demo:small", test="test.txt")


def test_a_path_object_called_demo_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="demo: there is no such file"):
        read_interactions(Path("demo"))


@pytest.mark.parametrize(
    ("name", "users", "items", "train", "test"),
    [("lastfm", 1880, 4489, 42135, 10533), ("gowalla", 29858, 40981, 810128, 217242)],
)
def test_public_sets_have_their_known_sizes(
    data_dir: Path, name: str, users: int, items: int, train: int, test: int
) -> None:
    data = read_dataset(data_dir / name)
    assert data.test is not None
    assert (data.train.user_count, data.train.item_count) == (users, items)
    assert (data.train.pair_count, data.test.pair_count) == (train, test)
    assert data.pairs_in_both == 0
    # The independent count: fields of the file less one a line.
    lines = (data_dir / name / "train.txt").read_text().splitlines()
    assert sum(len(line.split()) - 1 for line in lines) == data.train.pair_count
    first = data.train.users == 0
    assert data.train.item_ids.values[data.train.items[first]].tolist() == sorted(
        map(int, lines[0].split()[1:])
    )
    assert data.train.user_ids.integral
    assert data.train.report.users_without == users - len(lines)


def low_and_high(tmp_path: Path, rows: str, *, header: str = "user,item,rating,timestamp") -> Dataset:
    path = tmp_path / "ratings.csv"
    path.write_text(f"{header}\n{rows}")
    return read_dataset(path, split="none", rating_threshold=4)


def test_rows_below_the_threshold_are_seen_and_no_positives(tmp_path: Path) -> None:
    data = low_and_high(tmp_path, "a,x,5,1\na,y,1,2\nb,z,3.9,3\nb,x,4,4\n")
    assert data.disliked is not None
    assert set(pairs_of(data.train)) == {("a", "x"), ("b", "x")}
    assert set(pairs_of(data.disliked)) == {("a", "y"), ("b", "z")}
    assert (data.train.report.below_threshold, data.rating_threshold) == (2, 4)
    assert data.disliked.user_ids is data.train.user_ids


def test_where_ratings_of_a_pair_differ_the_latest_row_counts(tmp_path: Path) -> None:
    data = low_and_high(tmp_path, "a,x,5,9\na,x,1,3\nb,x,5,3\nb,x,1,9\nc,x,1,7\nc,x,5,7\na,y,5,1\n")
    assert data.disliked is not None
    assert set(pairs_of(data.train)) == {("a", "x"), ("c", "x"), ("a", "y")}
    assert set(pairs_of(data.disliked)) == {("b", "x")}
    assert data.train.report.below_threshold == 3


def test_without_times_the_last_row_of_a_pair_counts(tmp_path: Path) -> None:
    data = low_and_high(tmp_path, "a,x,5\na,x,1\nb,x,1\nb,x,5\n", header="user,item,rating")
    assert data.disliked is not None
    assert set(pairs_of(data.train)) == {("b", "x")}
    assert set(pairs_of(data.disliked)) == {("a", "x")}


def test_a_disliked_pair_is_never_held_out_and_no_part_of_a_given_test_set(tmp_path: Path) -> None:
    rows = [f"u{user},i{item},{1 if item == 0 else 5}\n" for user in range(9) for item in range(8)]
    (tmp_path / "all.csv").write_text("user,item,rating\n" + "".join(rows))
    cut_out = read_dataset(tmp_path / "all.csv", split="ratio", test_share=0.5, rating_threshold=2)
    assert cut_out.test is not None
    assert all(item != "i0" for _, item in pairs_of(cut_out.test))
    (tmp_path / "test.csv").write_text("user,item,rating\nu0,i0,5\nu0,new,5\nu1,new,1\nu2,i3,5\n")
    given_one = read_dataset(tmp_path / "all.csv", test=tmp_path / "test.csv", rating_threshold=2)
    assert given_one.test is not None
    assert set(pairs_of(given_one.test)) == {("u0", "new")}
    assert (given_one.pairs_in_both, given_one.held_out) == (2, None)


def test_all_rows_below_the_threshold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="below the threshold"):
        low_and_high(tmp_path, "a,x,1,1\na,x,2,2\n")
    with pytest.raises(InputError, match="in its latest row"):
        low_and_high(tmp_path, "a,x,5,1\na,x,2,2\n")


def test_what_is_generated_has_no_ratings_and_no_columns() -> None:
    for settings in ({"rating_threshold": 3.0}, {"user_column": "who"}):
        with pytest.raises(InputError, match="neither ratings nor columns"):
            read_dataset("demo", **settings)  # type: ignore[arg-type]


def test_a_test_file_that_is_left_aside_is_told(tmp_path: Path) -> None:
    place = folder(tmp_path, "1 10 11 12 13 14\n", "1 15\n")
    data = read_dataset(place, split="ratio")
    assert data.split is not None
    assert "test.txt is left aside" in data.split.reason
