"""Sets of a folder, of splits and by name; and which pairs of a set ratings leave."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from _interaction_files import pairs_of, write_text

from lerg_edge.data.interactions import Dataset
from lerg_edge.data.readers import read_dataset, read_interactions
from lerg_edge.data.synthetic import SHAPES, Shape
from lerg_edge.errors import InputError


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
