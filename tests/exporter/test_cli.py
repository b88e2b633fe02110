"""`lerg-export`: each way to be wrong has its exit status and one sentence; stdout carries results alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lerg_exporter.cli import main
from lerg_exporter.exporting.options import ExportOptions
from lerg_runtime import InteractionsFile, Recommender

SMALL = (
    "--set",
    "codebook_rows=24",
    "--dim",
    "8",
    "--epochs",
    "1",
    "--set",
    "finetune_epochs=1",
    "--set",
    "batch=128",
)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(exited.value.code or 0), captured.out, captured.err


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "interactions.csv"
    rows = [f"u{user},i{(user * 7 + step * 3) % 40}" for user in range(50) for step in range(8)]
    path.write_text("user,item\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.native
def test_run_prints_the_tables(capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path) -> None:
    status, out, err = run(capsys, "run", table, "-o", tmp_path / "bundle", *SMALL)
    assert status == 0, err
    for expected in (
        "before pruning",
        "after rewiring",
        "pruned users by",
        "after fine-tuning",
        "NDCG@20",
        "embedding storage",
        "of full table",
        "finetune",
        "MACs",
    ):
        assert expected in out
    assert "pretraining" in err
    again, out, err = run(capsys, "run", table, "-o", tmp_path / "bundle", *SMALL)
    assert (again, out) == (2, "")
    assert "--force" in err
    status, out, err = run(
        capsys, "run", table, "-o", tmp_path / "bundle", *SMALL, "--force", "--json", "--quiet"
    )
    assert status == 0, err
    assert json.loads(out)["storage"]["bundle_bytes"] > 0
    assert err == ""


@pytest.mark.native
def test_inspect_and_verify(capsys: pytest.CaptureFixture[str], exported: Path) -> None:
    status, out, _ = run(capsys, "inspect", exported, "--json")
    assert status == 0
    found = json.loads(out)
    assert {"embedding_bytes", "bundle_bytes", "baseline_bytes"} <= set(found["storage"])
    assert {"method", "planned_bytes", "operators"} <= set(found["programs"][0])
    status, out, _ = run(capsys, "inspect", exported)
    assert status == 0
    assert "lerg::propagate_table.out" in out
    assert "all files" in out
    assert "directory and alignment" in out
    status, out, _ = run(capsys, "verify", exported)
    assert status == 0
    assert "golden" in out


# What is wrong, the arguments (DATA, NOWHERE and TABLE stand for paths), the exit status, what is named.
WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no command": ((), 2, "inspect"),
    "unknown command": (("walk",), 2, "walk"),
    "unknown option": (("run", "TABLE", "-o", "OUT", "--nonsense"), 2, "--nonsense"),
    "no output": (("run", "TABLE"), 2, "-o"),
    "no such file": (("run", "NOWHERE", "-o", "OUT"), 2, "nowhere"),
    "no such test file": (("run", "TABLE", "-o", "OUT", "--test", "NOWHERE"), 2, "nowhere"),
    "no such column": (("run", "TABLE", "-o", "OUT", "--user-column", "person"), 2, "person"),
    "no column of items": (("run", "PEOPLE", "-o", "OUT"), 2, "people.csv: no column"),
    "a column to be named": (("run", "PEOPLE", "-o", "OUT"), 2, "name one with --item-column"),
    "a bad row": (("run", "TORN", "-o", "OUT"), 2, "--skip-bad-rows"),
    "no GPU": (("run", "TABLE", "-o", "OUT", "--device", "cuda"), 2, "no GPU"),
    "empty data": (("run", "EMPTY", "-o", "OUT"), 2, "empty.csv"),
    "unknown kept user": (("run", "TABLE", "-o", "OUT", "--set", "keep_users=nobody"), 2, "nobody"),
    "bits": (("run", "TABLE", "-o", "OUT", "--bits", "5"), 2, "--bits"),
    "odd dim at 4 bits": (("run", "TABLE", "-o", "OUT", "--bits", "4", "--dim", "7"), 2, "--dim"),
    "negative codes": (("run", "TABLE", "-o", "OUT", "--set", "codebook_rows=-3"), 2, "--set codebook_rows"),
    "zero codes": (("run", "TABLE", "-o", "OUT", "--set", "codebook_rows=0"), 2, "--set codebook_rows"),
    "too many codes": (("run", "TABLE", "-o", "OUT", "--set", "codebook_rows=4000"), 2, "codebook_rows"),
    "retention above 1": (("run", "TABLE", "-o", "OUT", "--retention", "1.5"), 2, "--retention"),
    "retention 0": (("run", "TABLE", "-o", "OUT", "--retention", "0"), 2, "--retention"),
    "batch of 1": (("run", "TABLE", "-o", "OUT", "--set", "batch=1"), 2, "--set batch"),
    "no size": (("run", "TABLE", "-o", "OUT", "--memory-budget", "lots"), 2, "--memory-budget"),
    "zero size": (("run", "TABLE", "-o", "OUT", "--memory-budget", "0"), 2, "--memory-budget"),
    "rate": (("run", "TABLE", "-o", "OUT", "--set", "learning_rate=-1"), 2, "--set learning_rate"),
    "seed": (("run", "TABLE", "-o", "OUT", "--seed", "-1"), 2, "--seed"),
    "split without a test set": (("run", "TABLE", "-o", "OUT", "--split", "given"), 2, "test"),
    "split last without times": (("run", "TABLE", "-o", "OUT", "--split", "last"), 2, "timestamps"),
    "no such lowering": (("run", "TABLE", "-o", "OUT", "--lowering", "metal"), 2, "metal"),
    "a propagation that is not there": (
        ("run", "TABLE", "-o", "OUT", "--propagation", "mean"),
        2,
        "mean",
    ),
    "selector": (("run", "TABLE", "-o", "OUT", "--set", "selector=best"), 2, "best"),
    "boundary above 1": (
        ("run", "TABLE", "-o", "OUT", "--set", "rounding_boundary=1.2"),
        2,
        "--set rounding_boundary",
    ),
    "nothing to round": (
        ("run", "TABLE", "-o", "OUT", "--set", "rounding_boundary=0.3", "--set", "selector=degree"),
        2,
        "--set rounding_boundary",
    ),
    "no such rewiring": (("run", "TABLE", "-o", "OUT", "--set", "rewiring=some"), 2, "some"),
    "folded is not rewired": (
        ("run", "TABLE", "-o", "OUT", "--set", "rewiring=none", "--propagation", "folded"),
        2,
        "--set rewiring",
    ),
    "output in the way": (("run", "TABLE", "-o", "FOREIGN", "--force"), 2, "foreign"),
    "output is a file": (("run", "TABLE", "-o", "TABLE", "--force"), 2, "interactions.csv"),
    "no folder for the output": (("run", "TABLE", "-o", "NOWHERE/below"), 2, "nowhere"),
    "work folder is a file": (("run", "TABLE", "-o", "OUT", "--work-dir", "TABLE"), 2, "interactions.csv"),
    "too many users": (("run", "TABLE", "-o", "OUT", "--set", "min_users=500"), 2, "--set min_users is 500"),
    "impossible edges": (
        ("run", "TABLE", "-o", "OUT", "--set", "edge_budget=1"),
        3,
        "--set edge_budget is 1",
    ),
    "impossible memory": (("run", "TABLE", "-o", "OUT", "--memory-budget", "10KB"), 3, "10000"),
    "impossible storage": (("run", "TABLE", "-o", "OUT", "--storage-budget", "1000"), 3, "1000"),
    "inspect nothing": (("inspect", "NOWHERE"), 2, "nowhere"),
    "inspect a foreign folder": (("inspect", "FOREIGN"), 4, "foreign"),
    "verify nothing": (("verify", "NOWHERE"), 2, "nowhere"),
    "verify a foreign folder": (("verify", "FOREIGN"), 4, "foreign"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    table: Path,
    tmp_path: Path,
    case: str,
) -> None:
    arguments, expected, named = WRONG[case]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("lerg_exporter.exporting.stages.assigned", None)  # nothing comes so far
    (tmp_path / "empty.csv").write_text("user,item\n", encoding="utf-8")
    (tmp_path / "people.csv").write_text("user,face\na,b\n", encoding="utf-8")
    (tmp_path / "torn.csv").write_text("user,item\na\n", encoding="utf-8")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("dear", encoding="utf-8")
    places = {
        "TABLE": table,
        "EMPTY": tmp_path / "empty.csv",
        "PEOPLE": tmp_path / "people.csv",
        "TORN": tmp_path / "torn.csv",
        "NOWHERE": tmp_path / "nowhere",
        "FOREIGN": foreign,
        "OUT": tmp_path / "out",
        "NOWHERE/below": tmp_path / "nowhere" / "below",
    }
    status, out, err = run(capsys, *(places.get(argument, argument) for argument in arguments))
    assert status == expected, err
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert named in last
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert (foreign / "letter.txt").read_text(encoding="utf-8") == "dear"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("program.arrays", lambda data: data[:-10]),
        ("program.arrays", lambda data: data[:100] + b"x" + data[101:]),
        ("manifest.json", lambda data: data.replace(b'"version": 2', b'"version": 9')),
        ("SHA256SUMS", lambda data: data[:-1]),
        ("entities.arrays", lambda data: b""),
    ],
)
def test_damaged_bundles_have_exit_4(
    capsys: pytest.CaptureFixture[str], exported: Path, tmp_path: Path, name: str, change: Any
) -> None:
    folder = shutil.copytree(exported, tmp_path / "bundle")
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    for command in ("inspect", "verify"):
        status, out, err = run(capsys, command, folder)
        assert (status, out) == (4, ""), err
        assert err.startswith("Error: ")
        assert len(err.strip().splitlines()) == 1


def test_a_newer_format_says_to_upgrade(
    capsys: pytest.CaptureFixture[str], exported: Path, tmp_path: Path
) -> None:
    import hashlib

    folder = shutil.copytree(exported, tmp_path / "bundle")
    old = (folder / "manifest.json").read_bytes()
    new = old.replace(b'"version": 2', b'"version": 9')
    assert new != old
    (folder / "manifest.json").write_bytes(new)
    sums = (folder / "SHA256SUMS").read_text()
    listed = sums.replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest())
    (folder / "SHA256SUMS").write_text(listed)
    status, _, err = run(capsys, "inspect", folder)
    assert status == 4
    assert "upgrade" in err


def test_bad_rows_are_skipped_and_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    good = "".join(f"{user},{item},5\n" for user in "abcdef" for item in range(4))
    path.write_text(f"user,item,rating\na,1,5\nb,2\n{good}c\n", encoding="utf-8")
    # No bundle fits into 100 bytes: the run ends once the file has been read.
    arguments = ("run", path, "-o", tmp_path / "out", "--memory-budget", "100")
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert "line 3" in err
    assert "--skip-bad-rows" in err
    status, _, err = run(capsys, *arguments, "--skip-bad-rows")
    assert status == 3
    assert re.findall(r"skipped \S*rows\.csv, line (\d+): ", err) == ["3", "28"]
    assert "2 bad rows skipped" in err


HELP = """
import sys
from lerg_exporter.cli import main
from lerg_exporter.cli._main import _lerg_export
heavy = "torch scipy executorch polars pyarrow rich sklearn pymetis highspy matplotlib".split()
for arguments in ([], *([name] for name in _lerg_export.commands)):
    try:
        main([*arguments, "--help"])
    except SystemExit as ended:
        assert ended.code == 0, arguments
    print("loaded by", *arguments, sorted(set(heavy) & set(sys.modules)))
"""


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    loaded = [line for line in done.stdout.splitlines() if line.startswith("loaded by")]
    assert {"loaded by []", "loaded by run []", "loaded by verify []"} <= set(loaded)
    assert all(line.endswith(" []") for line in loaded), loaded
    assert "--memory-budget" in done.stdout


def test_defaults_are_the_trainers() -> None:
    from lerg_edge.training.options import TrainingOptions

    ours, theirs = ExportOptions(assignment="metis"), TrainingOptions()
    for name in ("bits", "dim", "seed", "device"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.resolved_layers == theirs.layers


@pytest.mark.native
def test_a_device_finds_the_columns_that_the_export_was_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [
        f"u{user};i{(user * 7 + step * 3) % 40};2024-05-{step + 1:02}"
        for user in range(50)
        for step in range(8)
    ]
    table, bundle = tmp_path / "kunde.csv", tmp_path / "bundle"
    table.write_text("Kunde;Ware;date\n" + "\n".join(rows) + "\n", encoding="utf-8")
    names = ("--user-column", "Kunde", "--item-column", "Ware")
    status, out, err = run(capsys, "run", table, "-o", bundle, *names, *SMALL)
    assert status == 0, err
    assert (
        "Read as table separated by semicolons: user from 'Kunde', item from 'Ware', timestamp from 'date'"
        in out
    )
    data = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["data"]
    assert data["columns"] == {"user": "Kunde", "item": "Ware", "rating": None, "timestamp": "date"}
    assert data["timestamp_unit"] == "us"
    test = tmp_path / "test.csv"
    test.write_text("ID,Ware,Kunde\n1,i30,u0\n", encoding="utf-8")
    with Recommender.open(bundle) as rec:
        assert rec.evaluate(InteractionsFile(test)).pairs == 1
        assert rec.evaluate({"Ware": ["i30"], "Kunde": ["u0"], "item": ["no"]}).pairs == 1
        test.write_text("item,user\ni30,u0\n", encoding="utf-8")
        assert rec.evaluate(InteractionsFile(test)).pairs == 1
