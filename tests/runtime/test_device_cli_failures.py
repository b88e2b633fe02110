"""`lerg-edge` when something is wrong: its exit status, its one sentence, and what it leaves as it was."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _fake_native
import pytest
from _oracles import reseal
from _shell import Shell
from _tiny import raw_ids

from lerg_runtime import Recommender

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text(f"user,item\n{USERS[0]},{ITEMS[1]}\n{USERS[7]},{ITEMS[30]}\n")
    return path


def damaged(name: str) -> Callable[[Path], None]:
    def apply(bundle: Path) -> None:
        data = bytearray((bundle / name).read_bytes())
        data[len(data) // 2] ^= 1
        (bundle / name).write_bytes(data)

    return apply


def truncated(name: str) -> Callable[[Path], None]:
    return lambda bundle: (bundle / name).write_bytes((bundle / name).read_bytes()[:-1]) and None


def written(text: str) -> Callable[[Path], None]:
    return lambda bundle: (bundle.parent / "file.csv").write_text(text) and None


def newer(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text().replace('"version": 2', '"version": 3')
    (bundle / "manifest.json").write_text(text)
    reseal(bundle)


def nothing(_: Path) -> None:
    pass


GOOD = written(f"user,item\n{USERS[0]},{ITEMS[1]}\n")
FINETUNE = "finetune B --interactions F"
FAILURES: list[tuple[str, Callable[[Path], None], int, str]] = [
    ("", nothing, 2, "name a command"),
    ("dance", nothing, 2, "No such command 'dance'"),
    ("info", nothing, 2, "Missing argument 'BUNDLE'"),
    ("info N", nothing, 2, "'N' does not exist|Directory .* does not exist"),
    ("info B --yaml", nothing, 2, "--yaml"),
    ("info F", GOOD, 2, "is a file"),
    ("info P", nothing, 4, "has no SHA256SUMS"),
    ("recommend B", nothing, 2, "give --user ID or --history ITEM,..., each once or more, or --all"),
    ("recommend B --user x --all-users", nothing, 2, "give --user ID"),
    ("recommend B --history x --all-users", nothing, 2, "give --user ID"),
    ("recommend B --history x --user U", nothing, 2, "give --user ID"),
    ("recommend B --history nothing", nothing, 2, "there is no item 'nothing' .* it knows 40 items"),
    (
        f"recommend B --history {ITEMS[0]},x,y",
        nothing,
        2,
        f"no item 'x' .*; '{ITEMS[0]},x,y' is no item's id and was cut at its 2 commas, .*of its own",
    ),
    ("recommend B --all-users -k 41", nothing, 2, "-k is 41 and there are 40 items; ask for at most 40"),
    ("finetune B --interactions F -o no/such/place", GOOD, 2, "there is no folder .*no/such; make it first"),
    ("recommend B --user nobody", nothing, 2, "there is no user 'nobody' .*; for somebody .* give --history"),
    ("recommend B --user U -k 0", nothing, 2, "'-k'"),
    ("recommend B --user U -k -5", nothing, 2, "'-k'"),
    ("recommend B --user U -k many", nothing, 2, "'many' is not a valid integer"),
    ("recommend B --user U -k 41", nothing, 2, "k is 41 and there are 40 items; ask for at most 40"),
    ("recommend B --user U --memory-budget 0", nothing, 2, "at least one byte"),
    ("recommend B --user U --memory-budget -1", nothing, 2, "memory-budget"),
    ("recommend B --user U --memory-budget 12XB", nothing, 2, "write it as 64MiB"),
    ("recommend B --user U --memory-budget 10KiB", nothing, 3, "opening this bundle needs .* give at least"),
    ("recommend B --user U --output P", nothing, 2, "is a folder"),
    ("recommend B --user U --output N/top.csv", nothing, 2, "there is no folder"),
    ("finetune B", nothing, 2, "Missing option '--interactions'"),
    (FINETUNE, nothing, 2, "does not exist"),
    (FINETUNE, written(""), 2, "file.csv has no interactions"),
    (FINETUNE, written("user,item\n"), 2, "file.csv has no interactions"),
    (FINETUNE, written("user,film\na,b\n"), 2, "file.csv, line 1: there is no column 'item'"),
    (FINETUNE, written("user,item\na\n"), 2, "file.csv, line 2: it has 1 fields"),
    (
        FINETUNE,
        written(f"user,item\n{USERS[0]},x\n"),
        2,
        "file.csv, line 2: there is no item 'x' .*; give --skip-unknown",
    ),
    (f"{FINETUNE} --skip-unknown", written("user,item\na,x\n"), 2, "none of the 1 interactions"),
    (f"{FINETUNE} --epochs 0", GOOD, 2, "'--epochs'"),
    (f"{FINETUNE} --epochs -3", GOOD, 2, "'--epochs'"),
    (f"{FINETUNE} --batch 1", GOOD, 2, "'--batch'"),
    (f"{FINETUNE} --batch 65", GOOD, 2, "takes up to 64"),
    (f"{FINETUNE} --learning-rate 0", GOOD, 2, "learning_rate is 0.0"),
    (f"{FINETUNE} --optimiser sgd", GOOD, 2, "no default learning rate"),
    (f"{FINETUNE} --optimiser lion", GOOD, 2, "'lion' is not one of"),
    (f"{FINETUNE} --memory-budget 76KiB", GOOD, 3, "fine-tuning needs"),
    (f"{FINETUNE} --output P", GOOD, 2, "exists already"),
    (f"{FINETUNE} --output N/b", GOOD, 2, "there is no folder"),
    ("evaluate B --test F", nothing, 2, "does not exist"),
    ("evaluate B --test F -k 100", GOOD, 2, "k is 100 and there are 40 items"),
    ("evaluate B --test F -k 5,100", GOOD, 2, "k is 100 and there are 40 items"),
    ("evaluate B --test F -k 5,,10", GOOD, 2, "'5,,10' is no list of lengths"),
    ("evaluate B --test F -k 0,5", GOOD, 2, "'0,5' is no list of lengths"),
    (
        "evaluate B --test F",
        written("user,item\nbob,y\n"),
        2,
        "line 2: there is no user 'bob' .*; give --skip-unknown",
    ),
    ("evaluate B --test F --rating-threshold 3", GOOD, 2, "no column 'rating'"),
    ("profile B --runs 0", nothing, 2, "'--runs'"),
    ("profile B --seconds 0", nothing, 2, "'--seconds'"),
    *[
        (f"{command}", harm, 4, name)
        for command in ("info B", "recommend B --user U", "profile B")
        for name in (
            "manifest.json",
            "model.pte",
            "entities.arrays",
            "interactions.arrays",
            "golden.arrays",
            "state.bin",
        )
        for harm in (damaged(name), truncated(name))
    ],
    ("recommend B --user U", lambda bundle: (bundle / "state.bin").unlink(), 4, "no state.bin"),
    ("recommend B --user U", newer, 4, "format version 3 .* upgrade lerg-edge"),
]


@pytest.mark.parametrize(
    ("command", "prepare", "status", "reason"),
    FAILURES,
    ids=[f"{number}-{command or 'none'}" for number, (command, *_) in enumerate(FAILURES)],
)
def test_failures(
    shell: Shell, tiny_bundle: Path, command: str, prepare: Callable[[Path], None], status: int, reason: str
) -> None:
    prepare(tiny_bundle)
    (tiny_bundle.parent / "plain").mkdir()
    (tiny_bundle.parent / "plain" / "notes").write_text("")
    before = snapshot(tiny_bundle.parent)
    names = {
        "B": tiny_bundle,
        "F": tiny_bundle.parent / "file.csv",
        "N": tiny_bundle.parent / "nothing",
        "N/b": tiny_bundle.parent / "nothing" / "b",
        "N/top.csv": tiny_bundle.parent / "nothing" / "top.csv",
        "P": tiny_bundle.parent / "plain",
        "U": USERS[0],
    }
    found, out, err = shell(*(names.get(word, word) for word in command.split()))
    lines = err.splitlines()
    assert found == status, err
    assert lines[-1].startswith("Error: ")
    assert re.search(reason, lines[-1]), lines[-1]
    assert not any(line.startswith(("Traceback", "Usage")) for line in lines)
    assert out == ""
    assert snapshot(tiny_bundle.parent) == before, "a failure changes nothing"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (KeyboardInterrupt(), 130, "Error: interrupted; nothing was changed"),
        (
            MemoryError(),
            1,
            "Error: the system has no more memory; give a memory budget and see lerg-edge info",
        ),
        (
            OSError(28, "No space left on device", "x/state.bin"),
            1,
            "Error: x/state.bin: No space left on device",
        ),
        (ZeroDivisionError("a\nb"), 1, "Error: ZeroDivisionError: a b; please report this as a bug"),
    ],
)
def test_anything_else(
    shell: Shell,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    sentence: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Recommender, "recommend", fail)
    found, out, err = shell("recommend", tiny_bundle, "--user", USERS[0])
    assert (found, out, err.strip()) == (status, "", sentence)


def test_ctrl_c_while_fine_tuning_keeps_the_bundle(
    shell: Shell, tiny_bundle: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = _fake_native.Method._finetune, []

    def interrupted(self: Any, *inputs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *inputs)

    monkeypatch.setattr(_fake_native.Method, "_finetune", interrupted)
    before = snapshot(tiny_bundle)
    status, out, err = shell("finetune", tiny_bundle, "--interactions", new)
    assert (status, out) == (130, "")
    assert err.endswith("Error: interrupted; nothing was changed\n")
    assert snapshot(tiny_bundle) == before


def test_a_full_disk_names_what_could_not_be_written(
    shell: Shell, tiny_bundle: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = snapshot(tiny_bundle)
    monkeypatch.setattr(os, "fsync", full)
    top, copy = tmp_path / "top.csv", tmp_path / "copy"
    for arguments, target in (
        (("recommend", tiny_bundle, "--all-users", "--output", top), top),
        (("finetune", tiny_bundle, "--interactions", new), tiny_bundle / "state.bin"),
        (("finetune", tiny_bundle, "--interactions", new, "-o", copy), copy),
    ):
        status, out, err = shell(*arguments)
        assert (status, out) == (1, "")
        assert err.splitlines()[-1] == f"Error: {target}: No space left on device"
    assert snapshot(tiny_bundle) == before
    assert not {path.name for path in tmp_path.iterdir()} & {"top.csv", "copy"}


def test_a_failing_output_leaves_the_old_file(
    shell: Shell, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "top.csv"
    output.write_text("old")
    original, calls = Recommender.recommend, []

    def fail(self: Recommender, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    monkeypatch.setattr(Recommender, "recommend", fail)
    monkeypatch.setattr("lerg_runtime.cli.recommend._USERS_AT_ONCE", 10)
    assert shell("recommend", tiny_bundle, "--all-users", "--output", output)[0] == 130
    assert output.read_text() == "old"
    assert [path.name for path in tmp_path.glob("*top*")] == ["top.csv"]
