"""`lerg-edge`: what it prints when all is well."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _shell import Shell
from _tiny import raw_ids, tiny_model, write_tiny

from lerg_runtime import Recommender

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text(f"user,item\n{USERS[0]},{ITEMS[1]}\n{USERS[7]},{ITEMS[30]}\n")
    return path


def test_info(shell: Shell, tiny_bundle: Path) -> None:
    told = shell.json("info", tiny_bundle)
    assert told["model"]["users"] == 30
    assert told["bundle_bytes"] == sum(path.stat().st_size for path in tiny_bundle.iterdir())
    assert told["files"]["model.pte"] == (tiny_bundle / "model.pte").stat().st_size
    assert told["state"] == {
        "saves": 0,
        "local_interactions": 0,
        "local_disliked": 0,
        "remainder_bytes": 0,
        "added_items": 0,
    }
    phases = {"open", "encode", "recommend", "finetune"}
    assert set(told["memory"]) == {"peak_bytes", "uncounted_bytes", "uncounted_most_bytes", *phases}
    for name in ("open", "encode", "recommend", "finetune"):
        phase = told["memory"][name]
        assert phase["total_bytes"] == sum(phase["items"].values()) <= told["memory"]["peak_bytes"]
    status, out, _ = shell("info", tiny_bundle)
    assert status == 0
    assert "Memory to finetune" in out
    assert f"--memory-budget of {told['memory']['peak_bytes']} bytes" in out
    assert "Interpreter and libraries: measured" in out
    # In a process of its own: this one has the libraries of other tests in memory.
    done = subprocess.run(
        [sys.executable, "-m", "lerg_runtime", "info", str(tiny_bundle), "--json"],
        capture_output=True,
        check=True,
    )
    alone = json.loads(done.stdout)["memory"]
    assert 10 << 20 < alone["uncounted_bytes"] <= alone["uncounted_most_bytes"] < 1 << 30
    # What it says is enough is enough.
    shell.json("recommend", tiny_bundle, "--user", USERS[0], "--memory-budget", told["memory"]["peak_bytes"])


def test_recommend_for_some_users(shell: Shell, tiny_bundle: Path) -> None:
    told = shell.json("recommend", tiny_bundle, "--user", USERS[3], "--user", USERS[1], "-k", 9)
    items, scores = Recommender.open(tiny_bundle).recommend([USERS[3], USERS[1]], k=9)
    assert [entry["user"] for entry in told["users"]] == [USERS[3], USERS[1]]
    for entry, row, points in zip(told["users"], items, scores, strict=True):
        assert [item["item"] for item in entry["items"]] == row.tolist()
        assert [item["rank"] for item in entry["items"]] == list(range(1, 10))
        assert np.array_equal(np.array([item["score"] for item in entry["items"]], np.float32), points)
    status, out, err = shell("recommend", tiny_bundle, "--user", USERS[3], "-k", 2)
    assert (status, err) == (0, "")
    assert f"user {USERS[3]}" in out
    assert items[0][0] in out


def test_recommend_for_all_users_to_a_file(shell: Shell, tiny_bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "top.csv"
    told = shell.json("recommend", tiny_bundle, "--all-users", "-k", 40, "--output", output)
    with open(output, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert told == {"output": str(output), "users": 30, "rows": len(rows), "k": 40}
    assert list(rows[0]) == ["user", "item", "rank", "score"]
    assert list(dict.fromkeys(row["user"] for row in rows)) == USERS
    first = [row for row in rows if row["user"] == USERS[0]]
    assert [int(row["rank"]) for row in first] == list(range(1, len(first) + 1))
    assert [row["item"] for row in first] == Recommender.open(tiny_bundle).recommend(USERS[0], k=40)[
        0
    ].tolist()
    status, out, _ = shell("recommend", tiny_bundle, "--all-users", "-k", 40)
    assert status == 0
    assert out.replace("\r\n", "\n") == output.read_text(encoding="utf-8")
    assert len(shell.json("recommend", tiny_bundle, "--all-users", "-k", 1)["users"]) == 30
    assert not list(tmp_path.glob(".*"))


def test_recommend_from_a_history(shell: Shell, tiny_bundle: Path, tmp_path: Path) -> None:
    told = shell.json("recommend", tiny_bundle, "--history", f"{ITEMS[3]},{ITEMS[8]}", "-k", 9)
    items, scores = Recommender.open(tiny_bundle).recommend_from_history([ITEMS[3], ITEMS[8]], k=9)
    assert [entry["user"] for entry in told["users"]] == [None]
    assert [item["item"] for item in told["users"][0]["items"]] == items.tolist()
    found = np.array([item["score"] for item in told["users"][0]["items"]], np.float32)
    assert np.array_equal(found, scores)
    assert told == shell.json("recommend", tiny_bundle, "--history", ITEMS[3], "--history", ITEMS[8], "-k", 9)
    status, out, err = shell("recommend", tiny_bundle, "--history", ITEMS[3], "-k", 2)
    assert (status, err) == (0, "")
    assert "from the history" in out
    output = tmp_path / "top.csv"
    arguments = ("--history", f"{ITEMS[3]},{ITEMS[8]}", "-k", 9, "--output", output)
    assert shell.json("recommend", tiny_bundle, *arguments)["users"] == 1
    with open(output, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["user"], row["item"]) for row in rows] == [("", item) for item in items]


def test_an_id_with_commas_in_a_history(shell: Shell, tmp_path: Path, fake_native: None) -> None:
    """Taken whole where it is an id as it stands, and found beside others when given apart."""
    model = tiny_model()
    names = sorted(["a", "a,b", "b", *(f"item{number:02d}" for number in range(37))])
    write_tiny(tmp_path / "b", model, item_ids=names)
    rec = Recommender.open(tmp_path / "b")
    for given, meant in (
        (["a,b"], ["a,b"]),
        (["a", "b"], ["a", "b"]),
        (["b,a"], ["a", "b"]),
        (["a,b", "b,item03"], ["a,b", "b", "item03"]),
    ):
        options = [part for text in given for part in ("--history", text)]
        told = shell.json("recommend", tmp_path / "b", *options, "-k", 3)["users"][0]["items"]
        assert [item["item"] for item in told] == rec.recommend_from_history(meant, k=3)[0].tolist()


def test_a_catalogue_shorter_than_the_usual_ranking(
    shell: Shell, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lerg_runtime.cli._options._USUAL_LENGTH", 100)
    _, out, _ = shell("recommend", tiny_bundle, "--all-users", "--include-seen")
    assert len(out.splitlines()) == 1 + 30 * 40


def test_include_seen(shell: Shell, tiny_bundle: Path) -> None:
    some = shell.json("recommend", tiny_bundle, "--user", USERS[0], "-k", 40)["users"][0]["items"]
    every = shell.json("recommend", tiny_bundle, "--user", USERS[0], "-k", 40, "--include-seen")["users"][0][
        "items"
    ]
    assert len(some) < len(every) == 40


def test_finetune_in_place_and_into_a_new_bundle(
    shell: Shell, tiny_bundle: Path, new: Path, tmp_path: Path
) -> None:
    before = (tiny_bundle / "state.bin").read_bytes()
    tuned = tmp_path / "tuned"
    told = shell.json(
        "finetune", tiny_bundle, "--interactions", new, "--epochs", 2, "-o", tuned, "--memory-budget", "1MiB"
    )
    assert (told["new_interactions"], len(told["losses"]), told["saved"]) == (2, 2, str(tuned))
    assert (tiny_bundle / "state.bin").read_bytes() == before
    status, out, err = shell("finetune", tiny_bundle, "--interactions", new, "--epochs", 2)
    assert status == 0
    assert "2 new and 0 known interactions" in out
    assert "fine-tune: " in err
    assert (tiny_bundle / "state.bin").read_bytes() == (tuned / "state.bin").read_bytes()
    assert shell.json("info", tiny_bundle)["state"] == {
        "saves": 1,
        "local_interactions": 2,
        "local_disliked": 0,
        "remainder_bytes": 96,
        "added_items": 0,
    }


def test_rows_to_skip(shell: Shell, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text(
        f"user,item,rating\n{USERS[0]},{ITEMS[1]},5\nbob,{ITEMS[1]},5\n{USERS[0]}\n{USERS[1]},{ITEMS[2]},1\n"
    )
    options = ("--skip-unknown", "--skip-bad-rows", "--rating-threshold", 3)
    told = shell.json("evaluate", tiny_bundle, "--test", path, *options)
    assert [told[name] for name in ("users", "rows", "unknown", "below_threshold", "bad_rows")] == [
        1,
        3,
        1,
        1,
        1,
    ]
    told = shell.json("finetune", tiny_bundle, "--interactions", path, "--epochs", 1, *options)
    assert told["below_threshold"] == 1
    assert (told["new_interactions"] + told["known_interactions"], told["unknown"], told["bad_rows"]) == (
        1,
        1,
        1,
    )


def test_evaluate(shell: Shell, tiny_bundle: Path, new: Path) -> None:
    told = shell.json("evaluate", tiny_bundle, "--test", new)
    assert {"recall@20", "ndcg@20", "users"} <= set(told)
    assert told["users"] == 2
    status, out, _ = shell("evaluate", tiny_bundle, "--test", new, "-k", 5)
    assert status == 0
    assert out.startswith("NDCG@5 ")


def test_evaluate_at_several_lengths(shell: Shell, tiny_bundle: Path, new: Path) -> None:
    told = shell.json("evaluate", tiny_bundle, "--test", new, "-k", "5,10,20")
    names = ("precision", "recall", "hit_rate", "mrr", "map", "ndcg", "coverage", "novelty", "popularity")
    assert {f"{name}@{k}" for name in names for k in (5, 10, 20)} <= set(told)
    assert sum(group["users"] for group in told["groups"]) == told["users"] == 2
    assert told["recall@5"] <= told["recall@10"] <= told["recall@20"]
    alone = shell.json("evaluate", tiny_bundle, "--test", new, "-k", 10)
    assert {name: told[name] for name in alone if name.endswith("@10")} == {
        name: alone[name] for name in alone if "@" in name
    }
    status, out, _ = shell("evaluate", tiny_bundle, "--test", new, "-k", "5,20")
    assert status == 0
    assert out.startswith("NDCG@20 ")
    rows = [line.split() for line in out.splitlines()]
    assert ["metric", "@5", "@20"] in rows
    assert ["NDCG", f"{told['ndcg@5']:.4f}", f"{told['ndcg@20']:.4f}"] in rows


def test_profile(shell: Shell, tiny_bundle: Path) -> None:
    state = (tiny_bundle / "state.bin").read_bytes()
    told = shell.json("profile", tiny_bundle, "--runs", 6, "--seconds", 0.1)
    assert set(told["latency_ms"]) == {"encode", "recommend", "finetune"}
    for times in told["latency_ms"].values():
        assert 0 < times["p50"] <= times["p95"] <= times["p99"]
    assert told["operators_ms"]["finetune"] == {"lerg::fake": 0.75}
    memory = told["memory"]
    assert 0 < memory["allocated_bytes"] <= memory["planned_bytes"]
    assert 0 < memory["baseline_rss_bytes"] <= memory["peak_rss_bytes"]
    assert (tiny_bundle / "state.bin").read_bytes() == state
    status, out, _ = shell("profile", tiny_bundle, "--runs", 1)
    assert status == 0
    assert "p50" in out
    assert "Operators of recommend" in out


def test_progress_is_a_bar_on_a_terminal(
    shell: Shell, tiny_bundle: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    status, _, err = shell("finetune", tiny_bundle, "--interactions", new)
    assert status == 0
    assert "fine-tune" in err
    assert "fine-tune: " not in err
    assert "100%" in err


def test_help_and_version(shell: Shell) -> None:
    status, out, _ = shell("--help")
    assert status == 0
    names = ("info", "recommend", "similar", "score", "explain", "finetune", "evaluate", "profile")
    assert all(f"  {name} " in out for name in names)
    for name in names:
        status, out, _ = shell(name, "--help")
        assert status == 0
        assert f"lerg-edge {name} bundle" in out, "the help has an example"
    status, out, _ = shell("--version")
    assert (status, out.count(".")) == (0, 2)


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lerg_runtime", "info", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr == f"Error: {tmp_path} is not a complete bundle: it has no SHA256SUMS; copy it again\n"
    assert done.stdout == ""


def test_a_reader_that_goes_away_is_no_traceback(tiny_bundle: Path) -> None:
    if shutil.which("head") is None:
        pytest.skip("there is no head")
    command = f"{sys.executable} -m lerg_runtime --help | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_behind_standard_output_is_told(tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "lerg_runtime", "info", str(tiny_bundle)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: standard output: No space left on device\n")


def test_columns_by_name_and_what_was_read(shell: Shell, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "kunde.csv"
    rows = "".join(f"{USERS[1]};{item};x\n" for item in ITEMS)
    path.write_text(f"kunde;ware;item\n{rows}", encoding="utf-8")
    names = ("--user-column", "kunde", "--item-column", "ware")
    told = shell.json("evaluate", tiny_bundle, "--test", path, *names, "-k", 5)
    assert told["file"] == {
        "layout": "table separated by semicolons",
        "user": "kunde",
        "item": "ware",
        "rating": None,
        "timestamp": None,
    }
    status, out, err = shell("finetune", tiny_bundle, "--interactions", path, *names, "--epochs", 1)
    assert status == 0, err
    assert "kunde.csv: table separated by semicolons: user from 'kunde', item from 'ware'" in out
    status, _, err = shell("evaluate", tiny_bundle, "--test", path, "--item-column", "ware")
    assert status == 2
    assert "line 1: there is no column 'user' among 'kunde', 'ware', 'item'" in err
