"""Studies as they run: what is kept is not made again, failures, and one small study from file to report."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _studies import STUDY, record, write_data, write_study

from lerg_edge.errors import BudgetError, InputError
from lerg_exporter.cli import main
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.study import _runs, load_study
from lerg_exporter.study._data import read_folds, read_source
from lerg_exporter.study._runs import plan_runs
from lerg_exporter.study._store import Store, run_fingerprint

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "studies"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Exports that take no time; the retention of each that was asked for."""
    asked: list[float | None] = []

    def export(dataset: Any, output: Path, options: ExportOptions, **_: Any) -> Any:
        asked.append(options.retention)
        output.mkdir()
        (output / "manifest.json").write_text("{}", encoding="utf-8")
        return SimpleNamespace(options=options)

    def record_of(report: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return record(report.options, ndcg=report.options.retention / 4)

    monkeypatch.setattr(_runs, "export", export)
    monkeypatch.setattr(_runs, "record_of", record_of)
    return asked


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main(["study", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return int(exited.value.code or 0), captured.out, captured.err


def test_a_second_call_makes_nothing_and_a_removed_result_is_made_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, made: list[float | None]
) -> None:
    out = tmp_path / "out"
    arguments = (write_study(tmp_path), "-o", out, "--data-dir", data)
    status, printed, err = run(capsys, *arguments)
    assert (status, made) == (0, [0.7, 0.4]), err
    assert "2 runs made, 0 taken" in printed
    assert "run 2 of 2: tiny, retention 0.4, seed 0" in err
    report = (out / "report.md").read_bytes()
    pictures = [(out / name).read_bytes() for name in ("ndcg.png", "ndcg.svg")]

    status, printed, _ = run(capsys, *arguments, "--quiet", "--json")
    assert (status, made) == (0, [0.7, 0.4])
    assert json.loads(printed)["made"] == 0
    # The same results give the same bytes.
    assert (out / "report.md").read_bytes() == report
    assert [(out / name).read_bytes() for name in ("ndcg.png", "ndcg.svg")] == pictures

    (stored,) = [
        path
        for path in (out / "runs").iterdir()
        if json.loads(path.read_text())["record"]["plan"]["retention"] == 0.4
    ]
    stored.write_text(stored.read_text()[:-40], encoding="utf-8")  # damaged counts as not there
    status, _, err = run(capsys, *arguments, "--dry-run")
    assert (status, made) == (0, [0.7, 0.4]), err
    assert run(capsys, *arguments)[0] == 0
    assert made == [0.7, 0.4, 0.4]
    assert (out / "report.md").read_bytes() == report
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]


def test_a_dry_run_lists_and_makes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, made: list[float | None]
) -> None:
    arguments = (write_study(tmp_path), "-o", tmp_path / "out", "--data-dir", data)
    status, printed, _ = run(capsys, *arguments, "--dry-run")
    assert (status, made) == (0, [])
    assert "tiny, retention 0.7, seed 0  to make" in printed
    assert "2 runs, 0 of them there" in printed
    assert not (tmp_path / "out").exists()
    run(capsys, *arguments, "--quick")
    status, printed, _ = run(capsys, *arguments, "--dry-run", "--json", "--quiet")
    assert json.loads(printed)["runs"] == [
        {"run": "tiny, retention 0.7, seed 0", "there": True},
        {"run": "tiny, retention 0.4, seed 0", "there": False},
    ]


def test_a_bundle_that_is_wanted_and_not_there_is_made_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, made: list[float | None]
) -> None:
    out = tmp_path / "out"
    arguments = (write_study(tmp_path), "-o", out, "--data-dir", data, "--quick")
    run(capsys, *arguments)
    assert not (out / "bundles").exists()
    for _ in range(2):
        assert run(capsys, *arguments, "--keep-bundles")[0] == 0
    assert made == [0.7, 0.7]
    assert len(list((out / "bundles").iterdir())) == 1


def test_a_failing_run_ends_the_study_or_is_listed(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    data: Path,
    made: list[float | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    working = _runs.export

    def export(dataset: Any, output: Path, options: ExportOptions, **given: Any) -> Any:
        if options.retention == 0.7:
            raise BudgetError("it does not fit")
        return working(dataset, output, options, **given)

    monkeypatch.setattr(_runs, "export", export)
    out = tmp_path / "out"
    arguments = (write_study(tmp_path), "-o", out, "--data-dir", data)
    status, printed, err = run(capsys, *arguments)
    assert (status, printed) == (3, "")
    assert err.strip().splitlines()[-1] == "Error: tiny, retention 0.7, seed 0: it does not fit"
    assert not (out / "report.md").exists()
    status, _, err = run(capsys, *arguments, "--keep-going")
    assert (status, made) == (1, [0.4])
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "- tiny, retention 0.7, seed 0: it does not fit" in report
    assert "2 runs, 1 of them failed" in report
    monkeypatch.setattr(_runs, "export", working)
    assert run(capsys, *arguments)[0] == 0
    assert made == [0.4, 0.7]
    assert "failed" not in (out / "report.md").read_text(encoding="utf-8")


def test_what_cannot_be_made_is_told_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, made: list[float | None]
) -> None:
    text = STUDY.replace("[grid]\n", "[grid]\nmin_users = [10, 70]\n")
    status, _, err = run(capsys, write_study(tmp_path, text), "-o", tmp_path / "out", "--data-dir", data)
    assert (status, made) == (2, [])
    assert "tiny, min_users 70, retention 0.4, seed 0: " in err


WRONG: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no such file": ("", ("NOWHERE", "-o", "OUT"), "nowhere.toml"),
    "no output": ("", ("FILE",), "-o"),
    "no such data": ("tiny2", ("FILE", "-o", "OUT", "--data-dir", "DATA"), "--data-dir"),
    "no such path": ("./tiny2", ("FILE", "-o", "OUT"), "./tiny2"),
    "no data folder": ("", ("FILE", "-o", "OUT", "--data-dir", "NOWHERE"), "nowhere.toml"),
    "a foreign folder": ("", ("FILE", "-o", "DATA", "--data-dir", "DATA"), "other files"),
    "a file": ("", ("FILE", "-o", "FILE", "--data-dir", "DATA"), "not a folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, made: list[float | None], case: str
) -> None:
    name, arguments, named = WRONG[case]
    places = {
        "FILE": write_study(tmp_path, STUDY.replace('["tiny"]', f'["{name or "tiny"}"]')),
        "OUT": tmp_path / "out",
        "DATA": data,
        "NOWHERE": tmp_path / "nowhere.toml",
    }
    status, printed, err = run(capsys, *(places.get(argument, argument) for argument in arguments))
    assert (status, printed, made) == (2, "", []), err
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert named in last
    assert not (tmp_path / "out").exists()


def test_each_problem_of_a_file_has_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write_study(tmp_path, STUDY.replace("[base]", "[base]\nbitz = 4\nretention = 2.0"))
    status, _, err = run(capsys, path, "-o", tmp_path / "out")
    assert status == 2
    lines = err.strip().splitlines()
    assert all(line.startswith(f"Error: {path}, [base]: ") for line in lines[:1])
    assert sum("'bitz'" in line for line in lines) == 1


def test_data_by_its_path_and_by_the_variable(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    data: Path,
    made: list[float | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_study(tmp_path, STUDY.replace('data = ["tiny"]', 'data = ["data/tiny"]', 1))
    assert run(capsys, path, "-o", tmp_path / "one")[0] == 0
    monkeypatch.setenv("LERG_DATA", str(data))
    assert run(capsys, write_study(tmp_path), "-o", tmp_path / "two")[0] == 0
    # The same pairs by another name are the same data.
    names = [sorted(path.name for path in (tmp_path / out / "runs").iterdir()) for out in ("one", "two")]
    assert names[0] == names[1]


def test_a_fingerprint_is_of_everything_that_counts(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("a = 1\n", encoding="utf-8")
    known = {
        run_fingerprint(data=data, options=options, arrivals=None)
        for data in ("a", "b")
        for options in (ExportOptions(), ExportOptions(seed=1), ExportOptions(selector=f"{own}:a"))
    }
    own.write_text("a = 2\n", encoding="utf-8")
    known.add(run_fingerprint(data="a", options=ExportOptions(selector=f"{own}:a"), arrivals=None))
    assert len(known) == 7


def test_folds_are_runs_of_their_own_and_means_in_the_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests: list[frozenset[tuple[int, int]]] = []

    def export(dataset: Any, output: Path, options: ExportOptions, **_: Any) -> Any:
        pairs = frozenset(zip(dataset.test.users.tolist(), dataset.test.items.tolist(), strict=True))
        tests.append(pairs)
        assert not pairs & set(zip(dataset.train.users.tolist(), dataset.train.items.tolist(), strict=True))
        return SimpleNamespace(options=options)

    scores = {0: 0.1, 1: 0.2, 2: 0.6}
    monkeypatch.setattr(_runs, "export", export)
    monkeypatch.setattr(
        _runs, "record_of", lambda report, *_, **__: record(report.options, ndcg=scores[(len(tests) - 1) % 3])
    )
    text = STUDY.replace("[base]", 'folds = 3\n[report]\ncolumns = ["ndcg@20"]\n[base]', 1)
    out = tmp_path / "out"
    status, printed, err = run(capsys, write_study(tmp_path, text), "-o", out, "--data-dir", data)
    assert status == 0, err
    assert "6 runs made" in printed
    assert "tiny, retention 0.7, seed 0, fold 2 of 3" in err
    # Both retentions are measured on the same folds, which share no pair.
    assert tests[:3] == tests[3:]
    assert len(frozenset().union(*tests)) == sum(map(len, tests[:3]))
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "| 0.7 | 0.3000 ± 0.2646 |" in report
    assert "means over 3 folds, ± their sample standard deviation" in report
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["fold"] for row in rows] == ["1", "2", "3"] * 2
    status, printed, _ = run(capsys, write_study(tmp_path, text), "-o", out, "--data-dir", data)
    assert "0 runs made, 6 taken" in printed


def test_folds_leave_the_test_file_aside(tmp_path: Path, data: Path) -> None:
    whole = read_source("tiny", data / "tiny").dataset
    given = (data / "tiny" / "test.txt").read_text(encoding="utf-8")
    before = [source.digest for source in read_folds("tiny", data / "tiny", 2)]
    assert len(set(before)) == 2
    for source in read_folds("tiny", data / "tiny", 2):
        dataset = source.dataset
        assert dataset.test is not None
        assert dataset.train.pair_count + dataset.test.pair_count == whole.train.pair_count
    (data / "tiny" / "test.txt").write_text(given.partition("\n")[0] + "\n", encoding="utf-8")
    assert [source.digest for source in read_folds("tiny", data / "tiny", 2)] == before


def test_folds_of_users_have_results_of_their_own(tmp_path: Path, data: Path) -> None:
    text = STUDY.replace("[base]", 'folds = 3\nprotocol = "arrivals"\n[base]', 1)
    study = load_study(write_study(tmp_path, text))
    runs = plan_runs(study, tmp_path / "small.toml", data_dir=data, progress=Silent())
    assert [run.fold for run in runs] == [1, 2, 3] * 2
    assert len({run.fingerprint for run in runs}) == 6
    assert len({run.source.digest for run in runs}) == 1


def test_the_example_of_folds_can_be_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It is made by the slow test below."""
    example = EXAMPLES / "folds.toml"
    status, printed, err = run(capsys, example, "-o", tmp_path / "out", "--quick", "--dry-run")
    assert status == 0, err
    assert re.findall(r"^demo, .* fold (\d) of 2 +to make$", printed, flags=re.M) == ["1", "2"]


@pytest.mark.slow
@pytest.mark.native
def test_the_example_of_folds_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, _, err = run(capsys, EXAMPLES / "folds.toml", "-o", out, "--quick", "--quiet")
    assert status == 0, err
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "means over 2 folds" in report
    assert re.search(r"^\| 0\.5 \| 0\.\d{4} ± 0\.\d{4} \|", report, flags=re.M)


def test_a_store_takes_new_empty_and_its_own_folders(tmp_path: Path) -> None:
    Store.at(tmp_path / "new").make()
    Store.at(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    Store.at(tmp_path / "empty")
    with pytest.raises(InputError, match="other files"):
        Store.at(tmp_path)


@pytest.mark.native
def test_a_study_from_file_to_report(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    """Every figure is that of a bundle, and the second run has not trained again."""
    from lerg_exporter.bundles.inspection import inspect_bundle

    out = tmp_path / "out"
    arguments = (write_study(tmp_path), "-o", out, "--data-dir", data, "--keep-bundles")
    status, printed, err = run(capsys, *arguments)
    assert status == 0, err
    assert "2 runs made" in printed
    assert err.count("pretraining is taken from the work folder") == 1
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["retention"]) for row in rows] == [0.7, 0.4]
    for row in rows:
        found = inspect_bundle(out / "bundles" / row["fingerprint"][:20])
        assert float(row["ndcg@20"]) == found["metrics"]["rewired"]["ndcg@20"]
        assert float(row["ndcg_before_pruning"]) == found["metrics"]["before_pruning"]["ndcg@20"]
        assert int(row["embedding_bytes"]) == found["storage"]["embedding_bytes"]
        assert int(row["bundle_bytes"]) == found["storage"]["bundle_bytes"]
        assert int(row["macs"]) == found["macs"]["rewired"]
        assert int(row["edges"]) == found["model"]["edges"]
        assert int(row["isolated"]) == found["training"]["rewiring"]["isolated"] == 0
        planned = {program["method"]: program["planned_bytes"] for program in found["programs"]}
        assert int(row["finetune_bytes"]) == planned["finetune"]
        assert int(row["finetune_plan_bytes"]) > planned["finetune"]
        assert float(row["finetune_ms"]) > 0
        assert int(row["rss_bytes"]) > 1 << 20
        assert int(row["pretraining_epochs"]) == 2
        assert float(row["validation_ndcg"]) > 0
    assert [bool(row["epoch_s"]) for row in rows] == [True, False]
    report = (out / "report.md").read_text(encoding="utf-8")
    assert f"{float(rows[0]['ndcg@20']):.4f}" in report
    assert "| cached |" in report
