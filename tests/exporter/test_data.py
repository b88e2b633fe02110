"""What an export does with its data: nothing comes back that was seen, and nothing goes untold."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_exporter.bundles.summary import data_sentences
from lerg_exporter.cli import main
from lerg_exporter.exporting.data_report import described_data
from lerg_exporter.exporting.saved_test import check_test_file, write_test_file
from lerg_runtime import InputError, InteractionsFile, Recommender
from lerg_runtime.cli import main as edge_main

SMALL = (
    "--set",
    "codebook_rows=24",
    "--dim",
    "8",
    "--epochs",
    "2",
    "--set",
    "finetune_epochs=0",
    "--set",
    "batch=128",
)
QUICK = (
    *SMALL,
    "--assignment",
    "metis",
    "--set",
    "selector=degree",
    "--set",
    "pruned_users=history",
    "--quiet",
)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(exited.value.code or 0), captured.out, captured.err


def rows() -> Iterator[tuple[str, str, int]]:
    """40 users with 8 of 30 items each; an item in four was rated 1, the others 5."""
    for user in range(40):
        for step in range(8):
            yield f"u{user}", f"i{(user * 7 + step * 3) % 30}", 1 if step % 4 == 3 else 5


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "user,item,rating\n" + "".join(f"{user},{item},{value}\n" for user, item, value in rows())
    )
    return path


@dataclass(frozen=True)
class Exported:
    document: dict[str, Any]
    bundle: Path

    def recommended(self) -> set[tuple[str, str]]:
        with Recommender.open(self.bundle) as recommender:
            users = recommender.user_ids.take(range(len(recommender.user_ids))).tolist()
            found, _ = recommender.recommend(users, k=len(recommender.item_ids))
        return {(user, item) for user, row in zip(users, found.tolist(), strict=True) for item in row if item}


def exported(capsys: pytest.CaptureFixture[str], table: Path, *options: object) -> Exported:
    bundle = table.parent / "bundle"
    status, out, err = run(capsys, "run", table, "-o", bundle, *QUICK, "--json", *options)
    assert status == 0, err
    return Exported(json.loads(out), bundle)


@pytest.mark.native
@pytest.mark.parametrize(
    "form",
    [
        (),
        (
            "--lowering",
            "portable",
            "--propagation",
            "folded",
            "--set",
            "codebook_rows=12",
            "--set",
            "entries=4",
        ),
    ],
)
def test_nothing_of_the_data_is_recommended_and_the_figure_can_be_repeated(
    capsys: pytest.CaptureFixture[str], table: Path, form: tuple[str, ...]
) -> None:
    saved = table.parent / "test.csv"
    made = exported(capsys, table, "--rating-threshold", 4, "--save-test", saved, *form)
    everything = {(user, item) for user, item, _ in rows()}
    assert made.recommended()
    assert not made.recommended() & everything

    told = made.document["data"]
    assert (told["rating_threshold"], told["below_threshold"], told["disliked_pairs"]) == (4, 80, 80)
    assert told["trained_on"] == "train"
    split = told["split"]
    assert (split["kind"], split["share"], split["seed"], split["test_pairs"]) == ("ratio", 0.2, 0, 40)
    assert split["train_pairs"] + split["test_pairs"] + told["disliked_pairs"] == len(everything)

    with open(saved, newline="") as stream:
        pairs = {(row["user"], row["item"]) for row in csv.DictReader(stream)}
    assert pairs <= {(user, item) for user, item, value in rows() if value == 5}
    measured = made.document["metrics"]["folded" if form else "rewired"]
    with Recommender.open(made.bundle) as recommender:
        found = recommender.evaluate(InteractionsFile(saved), k=20)
        assert {name: found.as_dict()[name] for name in measured} == measured
        assert (found.pairs, found.rows, found.already_seen) == (40, 40, 0)
        disliked = [(user, item) for user, item, value in rows() if value == 1]
        with pytest.raises(InputError, match="80 are pairs that the bundle has seen already"):
            recommender.evaluate(disliked)
    with pytest.raises(SystemExit):
        edge_main(["evaluate", str(made.bundle), "--test", str(saved)])
    assert "give --rating-threshold 4" in capsys.readouterr().err


@pytest.mark.native
def test_split_none_trains_on_every_row(capsys: pytest.CaptureFixture[str], table: Path) -> None:
    made = exported(capsys, table, "--split", "none")
    everything = [(user, item) for user, item, _ in rows()]
    assert made.document["metrics"] == {"before_pruning": {}, "rewired": {}}
    assert made.document["training"]["pairs"] == len(everything)
    assert made.document["data"]["trained_on"] == "everything"
    assert not made.recommended() & set(everything)
    with Recommender.open(made.bundle) as recommender:
        assert recommender.finetune(everything, epochs=1).known_interactions == len(everything)


@pytest.mark.native
def test_refitting_measures_first_and_ships_what_saw_everything(
    capsys: pytest.CaptureFixture[str], table: Path
) -> None:
    saved = table.parent / "test.csv"
    plain = exported(capsys, table)
    again = exported(capsys, table, "--refit", "--save-test", saved, "--force")
    assert again.document["metrics"] == plain.document["metrics"]
    assert plain.document["training"]["pairs"] < again.document["training"]["pairs"] == 320
    assert again.document["data"]["trained_on"] == "everything"
    assert "metrics_of" in again.document["data"]
    with (
        Recommender.open(again.bundle) as recommender,
        pytest.raises(InputError, match="nothing is left to measure"),
    ):
        recommender.evaluate(InteractionsFile(saved))
    shipped = (again.bundle / "SHA256SUMS").read_bytes()
    exported(capsys, table, "--refit", "--force")
    assert (again.bundle / "SHA256SUMS").read_bytes() == shipped


@pytest.mark.native
def test_a_given_test_set_is_not_seen(capsys: pytest.CaptureFixture[str], table: Path) -> None:
    given = table.parent / "given.csv"
    wanted = [(f"u{user}", f"i{(user * 7 + 1) % 30}") for user in range(40)]
    given.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in wanted))
    made = exported(capsys, table, "--test", given, "--refit")
    assert set(wanted) <= made.recommended()
    assert made.document["data"]["split"]["kind"] == "given"
    assert made.document["data"]["trained_on"] == "everything"
    assert made.document["training"]["pairs"] == 320


@pytest.mark.native
def test_stamps_that_are_all_alike_do_not_tell_the_last(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "stamped.csv"
    path.write_text(
        "user,item,timestamp\n" + "".join(f"{user},{item},1700000000\n" for user, item, _ in rows())
    )
    status, out, err = run(capsys, "run", path, "-o", tmp_path / "b", *QUICK)
    assert status == 0, err
    assert "40 of 40 users have all their pairs at one time" in out
    assert "\nSplit ratio" in out


def test_sentences_tell_ties_thresholds_and_what_was_left_aside() -> None:
    def pairs(items: list[int]) -> Interactions:
        return Interactions.from_raw(["a"] * len(items), items, timestamps=[5] * len(items))

    from lerg_edge.data.splits import cut

    made = cut(pairs([3, 1, 2]), "last", seed=0)
    said = " ".join(data_sentences(described_data(made)))
    assert "1 users have several pairs of their latest time; the file order decided" in said
    plain = described_data(Dataset(pairs([1])))
    assert data_sentences(plain) == ["Split none: nothing is measured (there is no test set)."]


def test_where_test_pairs_cannot_be_saved_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], table: Path
) -> None:
    there = table.parent / "there.csv"
    there.write_text("mine")
    bundle = table.parent / "bundle"
    for place, reason, options in (
        (there, "is there already", ()),
        (table, "is what is read", ("--force",)),
        (bundle / "test.csv", "lies in the bundle", ()),
        (table.parent / "no" / "test.csv", "there is no folder", ()),
        (table.parent / "new.csv", "there is no test set to write", ("--split", "none")),
    ):
        status, out, err = run(capsys, "run", table, "-o", bundle, "--save-test", place, *options)
        assert (status, out) == (2, ""), reason
        assert reason in err
    assert there.read_text() == "mine"
    assert not bundle.exists()
    assert not (table.parent / "new.csv").exists()


def test_saved_test_pairs_keep_their_ids(tmp_path: Path) -> None:
    users, items = ["a,b", 'say "x"', "c\nd", " e"], ["1", "2", "é", "#3"]
    path = tmp_path / "test.csv"
    check_test_file(path, bundle=tmp_path / "b", sources=(None,), overwrite=False)
    write_test_file(path, Interactions.from_raw(users, items))
    with open(path, newline="", encoding="utf-8") as stream:
        found = sorted((row["user"], row["item"]) for row in csv.DictReader(stream))
    assert found == sorted(zip(users, items, strict=True))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.native
@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a,x\na,y\nb,x\nb,z\nc,y\nc,z\n", ("--test-share", "0.4")),
        ("a,x\n", ("--propagation", "folded")),
    ],
)
def test_tiny_data_works_at_defaults(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "tiny.csv"
    path.write_text("user,item\n" + text)
    status, out, err = run(capsys, "run", path, "-o", tmp_path / "b", "--epochs", "1", "--quiet", *options)
    assert status == 0, err
    kind = "ratio" if "--test-share" in options else "none: nothing is measured (nobody"
    assert f"\nSplit {kind}" in out
    with Recommender.open(tmp_path / "b") as recommender:
        seen = {tuple(line.split(",")) for line in text.split()}
        users = recommender.user_ids.take(range(len(recommender.user_ids))).tolist()
        found, _ = recommender.recommend(users)
        given = {
            (user, item) for user, row in zip(users, found.tolist(), strict=True) for item in row if item
        }
        assert not given & seen


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--set", "codebook_rows=9"), "--set codebook_rows is 9 and there are 6 entities"),
        (
            ("--assignment", "metis", "--set", "codes_per_entity=7"),
            "--set codes_per_entity is 7 and there are 6 entities",
        ),
        (("--propagation", "folded", "--set", "entries=7"), "--set entries is 7 and 6 entities stay"),
        (("--test-share", "0.1"), "hold out --test-share 0.1"),
        (("--split", "last"), "needs timestamps"),
        (("--split", "given"), "brings no test set"),
    ],
)
def test_an_option_that_tiny_data_cannot_hold_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    path = tmp_path / "three.csv"
    path.write_text("user,item\na,x\na,y\nb,x\nb,z\nc,y\nc,z\n")
    status, out, err = run(capsys, "run", path, "-o", tmp_path / "b", "--quiet", *options)
    assert (status, out) == (2, "")
    assert says in err
    assert not (tmp_path / "b").exists()


def test_test_pairs_that_cannot_be_written_are_told_with_their_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lerg_exporter.exporting.saved_test.os.fsync", full)
    path = tmp_path / "test.csv"
    with pytest.raises(OSError, match="No space left on device; the bundle is whole") as caught:
        write_test_file(path, Interactions.from_raw(["a"], ["b"]))
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.native
def test_titles_go_with_their_items(capsys: pytest.CaptureFixture[str], table: Path) -> None:
    films = table.parent / "movies.dat"
    films.write_text("".join(f"i{item}::Film {item}::x\n" for item in range(0, 40, 2)))
    made = exported(capsys, table, "--item-titles", films)
    assert made.document["data"]["titles"] == {"items": 15, "unknown": 5}
    assert "item_titles" not in made.document["training"]["config"]
    assert all(str(films).encode() not in file.read_bytes() for file in made.bundle.iterdir())
    with Recommender.open(made.bundle) as recommender:
        items = list(recommender.item_ids)
        expected = [f"Film {item[1:]}" if int(item[1:]) % 2 == 0 else None for item in map(str, items)]
        assert recommender.titles(items) == expected
    status, _, err = run(capsys, "run", table, "-o", table.parent / "b", *QUICK, "--item-titles", table)
    assert status == 2
    assert "no column looks like the titles" in err
