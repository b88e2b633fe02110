"""Settings of an export: one declaration for options, files, `--set`, help and checks."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lerg_edge.errors import InputError
from lerg_exporter.cli import main
from lerg_exporter.exporting.config import RUN_SETTINGS, gathered, toml_text, values_of
from lerg_exporter.exporting.options import EXPORT_SETTINGS, ExportOptions
from lerg_exporter.exporting.reading import ReadingOptions

ROOT = Path(__file__).resolve().parents[2]
PINNED = ("--dim", "64", "--retention", "1", "--set", "batch=4096", "--set", "codebook_rows=90")
SMALL = (
    "--dim",
    "8",
    "--epochs",
    "1",
    "--set",
    "finetune_epochs=1",
    "--set",
    "codebook_rows=24",
    "--threads",
    "2",
)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main(["run", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return int(exited.value.code or 0), captured.out, captured.err


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(options: dict[str, object], sets: tuple[str, ...], file: Path | None) -> list[str]:
    with pytest.raises(InputError) as refused:
        gathered(options, sets, file)
    return [str(each) for each in refused.value.faults]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "interactions.csv"
    rows = [f"u{user},i{(user * 7 + step * 3) % 40}" for user in range(50) for step in range(8)]
    path.write_text("user,item\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_an_option_wins_over_set_and_set_over_the_file(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "bits = 16\ndim = 24\nretention = 0.4\nmax_k = 9\n")
    found = gathered({"bits": "8"}, ("bits=4", "dim=16"), file).options
    assert (found.bits, found.dim, found.retention, found.max_k) == (8, 16, 0.4, 9)
    assert gathered({}, ("seed=1", "seed=2"), None).options.seed == 2  # as of an option, the last
    assert gathered({}, (), None).options == ExportOptions()
    assert gathered({}, (), None).reading == ReadingOptions()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("codebook_rows=24", {"codebook_rows": 24}),
        ("codebook_rows=auto", {"codebook_rows": None}),
        ("retention=1", {"retention": 1.0}),
        ("learning_rate=1e-3", {"learning_rate": 1e-3}),
        ("refit=true", {"refit": True}),
        ("memory_budget=2KiB", {"memory_budget": 2048}),
        ("storage_budget=1500000", {"storage_budget": 1_500_000}),
        ("selector=degree", {"selector": "degree"}),
        ("selector=own=x.py:f", {"selector": "own=x.py:f"}),
        ("pruned_users=auto", {"pruned_users": "auto"}),
        ("keep_users=a, b", {"keep_users": ("a", "b")}),
        ('keep_items=["a,b", 3]', {"keep_items": ("a,b", 3)}),
    ],
)
def test_set_takes_texts_numbers_sizes_and_lists(text: str, expected: dict[str, object]) -> None:
    found = gathered({}, (text,), None).options
    assert {name: getattr(found, name) for name in expected} == expected


def test_all_faults_are_told_with_the_place_that_gave_them(tmp_path: Path) -> None:
    file = settings_file(
        tmp_path, 'bathc = 3\nbatch = 1\ndim = "wide"\nmemory_budget = "lots"\nsplit = "half"\nrefit = 1\n'
    )
    sets = ("epochs=0", "recommender=mf", "layers=2", "colour", "l2=x")
    told = faults({"bits": "5"}, sets, file)
    assert told == [
        f"{file}: there is no setting 'bathc'; did you mean 'batch'?",
        "--set is 'colour'; write --set name=value",
        f"batch in {file} is 1; it must be at least 2",
        f"dim in {file} is 'wide'; it must be a whole number, at least 1",
        f"memory_budget in {file} is 'lots'; write it as 64MiB, 2MB or 1500000",
        f"split in {file} is half; choose one of auto, none, given, ratio, last, time",
        f"refit in {file} is 1; it must be true or false",
        "--set epochs is 0; it must be at least 1",
        "--set l2 is 'x'; it must be a number, at least 0",
        "--bits is 5; choose one of 4, 8, 16, 32",
        "--set layers is 2; --set recommender=mf propagates nothing, so leave it out",
    ]


def test_a_contradiction_is_not_told_of_what_has_a_fault_of_its_own(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'rounding_boundary = 0.3\nselector = "degree"\nentries = 0\n')
    told = faults({"assignment": "full"}, ("codes_per_entity=2",), file)
    assert told == [
        f"entries in {file} is 0; it must be at least 1",
        "--set codes_per_entity has no effect with --assignment full; leave it out",
        f"rounding_boundary in {file} has no effect with selector = degree in {file}, which rounds nothing; "
        "choose auto, bip-reach, bip-norm, bip or bip-global, or leave it out",
    ]
    assert faults({}, ("selector=degree", "rounding_boundary=2"), None) == [
        "--set rounding_boundary is 2.0; it must be above 0 and at most 1"
    ]
    for name, rule in (("seed", "a whole number"), ("l2", "a number"), ("memory_budget", "a size in bytes")):
        (told,) = faults({}, (), settings_file(tmp_path, f"{name} = 1{'0' * 400}\n"))
        assert rule in told


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"batch = ", "not TOML"),
        (b"a = " + b"[" * 9999, "not TOML"),
        (b"a = " + b"9" * 9999, "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, named: str) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    (told,) = faults({}, (), path)
    assert str(path) in told
    assert named in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--batch", "128"), "write --set batch=128,"),
        (("--batch=128",), "write --set batch=128,"),
        (("--pruned-users",), "write --set pruned_users=VALUE,"),
        (("--keep-user", "alice"), "write --set keep_users=alice,"),
        (("--item-table", "int8"), "write --set item_table=int8,"),
    ],
)
def test_a_former_option_says_how_to_set_it(
    capsys: pytest.CaptureFixture[str], table: Path, given: tuple[str, ...], told: str
) -> None:
    status, out, err = run(capsys, table, "-o", table.parent / "out", *given)
    assert (status, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


def test_every_setting_without_an_option_is_known_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    for name, setting in RUN_SETTINGS.items():
        status, _, err = run(
            capsys, "demo", "-o", "out", setting.flag, "x y", "--config", os.devnull, "--bits", "5"
        )
        assert status == 2
        assert setting.option != (f"--set {name}=x y" in err), err


def test_every_fault_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str], table: Path) -> None:
    out = table.parent / "out"
    status, text, err = run(capsys, table, "-o", out, "--set", "batch=1", "--set", "codex=1", "--dim", "0")
    assert (status, text) == (2, "")
    assert [line.partition(" is ")[0] for line in err.splitlines()] == [
        "Error: --set codex: there",
        "Error: --set batch",
        "Error: --dim",
    ]
    assert not out.exists()


def test_errors_of_later_stages_name_what_was_written(
    capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path
) -> None:
    file = settings_file(tmp_path, 'min_users = 500\ntest_share = 0.5\nsplit = "ratio"\n')
    status, _, err = run(capsys, table, "-o", tmp_path / "out", "--config", file, "--quiet")
    assert (status, err) == (
        2,
        f"Error: min_users in {file} is 500; it must be between 0 and the 50 users there are.\n",
    )
    status, _, err = run(capsys, table, "-o", tmp_path / "out", "--set", "test_share=0.3", "--split", "none")
    assert status == 2
    assert "--set test_share has no effect with --split none; leave it out or give --split ratio" in err
    status, _, err = run(capsys, table, "-o", tmp_path / "out", "--memory-budget", "1200KB", *PINNED)
    assert status == 3
    assert "--set codebook_rows=" in err
    assert " --retention 0." in err
    assert " --set batch=" in err


def test_printed_without_data_is_a_file_of_every_setting(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = ("--bits", "4", "--set", "selector=degree", "--test-share", "0.3", "--threads", "2")
    status, text, err = run(capsys, "--print-config", *given)
    assert (status, err) == (0, "")
    assert all(f"\n{name} =" in text or f"\n# {name} =" in text for name in RUN_SETTINGS)
    read = tomllib.loads(text)
    assert (read["bits"], read["selector"], read["test_share"], read["threads"]) == (4, "degree", 0.3, 2)
    assert "codes" not in read
    status, again, _ = run(capsys, "--print-config", "--config", settings_file(tmp_path, text))
    assert (status, again) == (0, text)


def test_a_printed_text_may_hold_anything() -> None:
    values = {"user_column": 'a "b"\\ \x7f\u00e9\U0001f600\n', "keep_users": ("x]", 3), "l2": 1e-05}
    assert tomllib.loads(toml_text(values)) == {**values, "keep_users": ["x]", 3]}


@pytest.mark.native
@pytest.mark.parametrize(
    "form", [(), ("--propagation", "folded", "--assignment", "metis", "--set", "keep_users=u1,u2")]
)
def test_a_run_with_what_was_printed_makes_the_same_bundle(
    capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path, form: tuple[str, ...]
) -> None:
    work = ("--work-dir", tmp_path / "work", "--quiet")
    status, text, err = run(capsys, table, "--print-config", *SMALL, *form)
    assert status == 0, err
    assert {"retention", "batch", "placeholders", "learning_rate", "l2", "refit"} <= set(tomllib.loads(text))
    status, _, err = run(capsys, table, "-o", tmp_path / "first", *SMALL, *form, *work)
    assert status == 0, err
    file = settings_file(tmp_path, text)
    status, _, err = run(capsys, table, "-o", tmp_path / "again", "--config", file, *work)
    assert status == 0, err
    made = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    training = json.loads(made["manifest.json"])["training"]
    assert training["config"] == tomllib.loads(text)


def test_the_page_of_settings_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "tools" / "settings_page.py"))
    assert page["page"]() == page["PAGE"].read_text(encoding="utf-8"), "call python tools/settings_page.py"


def test_defaults_are_within_their_own_rules() -> None:
    for setting in RUN_SETTINGS.values():
        assert setting.help.endswith(".")
        assert (
            setting.unset
            or setting.read(list(setting.default) if isinstance(setting.default, tuple) else setting.default)
            == setting.default
        )
    assert set(values_of(ExportOptions())) == set(EXPORT_SETTINGS)


@pytest.mark.parametrize("before", ["", "import lerg_exporter.exporting.stages;"])
def test_export_can_be_called_whatever_was_imported_before(before: str) -> None:
    code = f"{before}from lerg_exporter import ExportOptions, export; export(None, '/nowhere/below')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "nowhere" in done.stderr.strip().splitlines()[-1], done.stderr
    assert "InputError" in done.stderr
