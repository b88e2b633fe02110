"""How many threads: `threads=`, `--threads`, OMP_NUM_THREADS, and the processors that there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from _shell import Shell
from _tiny import raw_ids

from lerg_runtime import InputError, Recommender, _native
from lerg_runtime.engine._threads import choose_threads, usable_processors

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture(autouse=True)
def pool() -> Iterator[None]:
    before = _native.build_info()["threads"]
    yield
    _native.set_threads(before)


@pytest.mark.parametrize(("value", "expected"), [("3", 3), (" 2 ", 2), ("4,2", 4), ("1024", 1024)])
def test_the_environment_is_obeyed(monkeypatch: pytest.MonkeyPatch, value: str, expected: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert choose_threads() == expected
    assert choose_threads(7) == 7


@pytest.mark.parametrize("value", ["0", "-1", "many", "2.5", "1025", "\u0661", ","])
def test_what_the_environment_cannot_say(
    monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, shell: Shell, value: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    with pytest.raises(InputError, match=r"OMP_NUM_THREADS=.* set it to a whole number from 1 to 1024"):
        Recommender.open(tiny_bundle)
    status, out, err = shell("recommend", tiny_bundle, "--user", USERS[0])
    assert (status, out) == (2, "")
    assert f"OMP_NUM_THREADS={value!r}" in err
    assert len(Recommender.open(tiny_bundle, threads=2).recommend(USERS[0], k=3)[0]) == 3


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "2", 1025])
def test_what_is_no_number_of_threads(tiny_bundle: Path, value: object) -> None:
    with pytest.raises(InputError, match="it must be a whole number from 1 to 1024"):
        Recommender.open(tiny_bundle, threads=value)  # type: ignore[arg-type]


def test_opening_sets_the_pool_and_the_lanes(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle, threads=3)
    assert (rec.threads, _native.build_info()["threads"]) == (3, 3)
    # What is not said leaves the pool as it was set.
    assert Recommender.open(tiny_bundle).threads == 3


@pytest.mark.parametrize("command", ["recommend", "evaluate", "finetune", "profile"])
def test_every_command_that_works_takes_threads(
    shell: Shell, tiny_bundle: Path, tmp_path: Path, command: str
) -> None:
    pairs = tmp_path / "pairs.csv"
    seen = set(Recommender.open(tiny_bundle).recommend(USERS[0], k=40)[0].tolist())
    pairs.write_text(f"user,item\n{USERS[0]},{min(seen)}\n", encoding="utf-8")
    arguments = {
        "recommend": ("--user", USERS[0]),
        "evaluate": ("--test", pairs),
        "finetune": ("--interactions", pairs),
        "profile": ("--runs", 1),
    }[command]
    for count in (2, 5):
        assert shell(command, tiny_bundle, *arguments, "--threads", count)[0] == 0
        assert _native.build_info()["threads"] == count
    for wrong in ("0", "-3", "two", "1025"):
        status, out, err = shell(command, tiny_bundle, *arguments, "--threads", wrong)
        assert (status, out) == (2, "")
        assert "--threads" in err
        assert err.count("\n") == 1


def test_info_and_profile_say_how_many(
    shell: Shell, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    told = shell.json("info", tiny_bundle)
    assert told["threads"]["count"] == 6
    plan = Recommender.open(tiny_bundle).plan
    more = plan(threads=4).phase("recommend").total_bytes - plan().phase("recommend").total_bytes
    assert more == 3 * told["threads"]["lane_bytes"]
    assert "Threads: 6;" in shell("info", tiny_bundle)[1]
    assert shell.json("profile", tiny_bundle, "--runs", 1, "--threads", 2)["build"]["threads"] == 2


def test_processors_are_those_that_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert usable_processors(tmp_path) == 6
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_processors(tmp_path) == 6
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert usable_processors(tmp_path) == 3
    (tmp_path / "cpu.max").write_text("10000 100000\n")
    assert usable_processors(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_processors(tmp_path) == 6
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    assert usable_processors(tmp_path) == 2
