"""Saving survives a crash at any moment: what is there afterwards is the old content or the new one."""

from __future__ import annotations

import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _tiny import TinyModel, write_tiny

from lerg_runtime.bundle import BundleFolder, State, copy_bundle, save_state
from lerg_runtime.bundle import _files as files


class PowerCut(BaseException):
    """Ends the process, as far as the code under test can tell."""


class Disk:
    """Counts the steps that reach the disk, and cuts the power before one of them.

    A cut write leaves half of its bytes; after the cut nothing reaches the disk, clean-up included.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cut_at: int | None) -> None:
        self.steps: list[str] = []
        self._cut_at = cut_at
        self._off = False
        for module, name in [
            (os, "fsync"),
            (os, "replace"),
            (os, "rename"),
            (os, "unlink"),
            (os, "mkdir"),
            (shutil, "copyfile"),
            (shutil, "rmtree"),
        ]:
            monkeypatch.setattr(module, name, self._watched(name, getattr(module, name)))
        monkeypatch.setattr(files, "open", self._open, raising=False)

    def _watched(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.step(name)
            return original(*arguments, **options)

        return call

    def step(self, name: str) -> None:
        if self._off:
            raise PowerCut
        self.steps.append(name)
        if len(self.steps) - 1 == self._cut_at:
            self._off = True
            raise PowerCut

    def _open(self, path: Path, mode: str) -> Any:
        self.step("open")
        disk = self

        class Stream(io.FileIO):
            def write(self, data: Any) -> int:
                half = len(data) // 2
                super().write(data[:half])
                disk.step("write")
                return half + super().write(data[half:])

        return Stream(path, mode)


def crash_everywhere(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], None], reset: Callable[[], None]
) -> Iterator[str]:
    """Run `work` with a power cut before each of its steps; yields the step that was cut.

    What one crash leaves is there in the next round, so later rounds also remove it.
    """
    for cut_at in itertools.count():
        reset()
        with monkeypatch.context() as patch:
            disk = Disk(patch, cut_at)
            try:
                work()
            except PowerCut:
                pass
            else:
                break
        yield f"{cut_at} {disk.steps[-1]}"
    assert {"open", "write", "fsync"} <= set(disk.steps)


@pytest.fixture
def opened(tmp_path: Path, model: TinyModel) -> BundleFolder:
    return BundleFolder.open(write_tiny(tmp_path / "bundle", model))


def later(state: State) -> State:
    return State(state.codebook, state.step * 2, state.users, state.items, generation=1)


def test_state_is_old_or_new_after_a_power_cut(opened: BundleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    old = opened.read_state()
    before = (opened.path / "state.bin").read_bytes()

    def work() -> None:
        save_state(opened.path, later(old), digest=opened.digest)

    def reset() -> None:
        (opened.path / "state.bin").write_bytes(before)

    found = []
    for step in crash_everywhere(monkeypatch, work, reset):
        state = BundleFolder.open(opened.path).read_state()
        assert np.array_equal(state.step, old.step * (1 + state.generation)), step
        found.append(state.generation)
    # Old until the rename, new from then on.
    assert found == sorted(found)
    assert set(found) == {0, 1}
    work()
    assert opened.read_state().generation == 1
    assert not list(opened.path.glob(".*")), "the next save removes what the crashes left"


def test_a_new_folder_is_there_whole_or_not_at_all(
    opened: BundleFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, target = opened.read_state(), tmp_path / "copy"

    def work() -> None:
        copy_bundle(opened, target, later(state))

    def reset() -> None:
        shutil.rmtree(target, ignore_errors=True)

    outcomes = set()
    for step in crash_everywhere(monkeypatch, work, reset):
        outcomes.add(target.exists())
        if target.exists():
            assert BundleFolder.open(target).read_state().generation == 1, step
    assert outcomes == {False, True}
    reset()
    work()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "copy"]


def test_a_replaced_folder_is_never_lost(
    opened: BundleFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"

    def work() -> None:
        with files.new_folder(target, overwrite=True) as beside:
            files.write_synced(beside / "file", b"new")

    def reset() -> None:
        for left in tmp_path.glob("*target*"):
            shutil.rmtree(left)
        target.mkdir()
        (target / "file").write_bytes(b"old")

    reset()
    for step in crash_everywhere(monkeypatch, work, reset):
        places = [path for path in tmp_path.glob("*target*") if (path / "file").exists()]
        assert any((path / "file").read_bytes() in (b"old", b"new") for path in places), step


def test_a_full_disk_keeps_the_old_state(opened: BundleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    state = opened.read_state()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_state(opened.path, later(state), digest=opened.digest)
    assert opened.read_state().generation == 0
    assert not list(opened.path.glob(".*"))


def test_what_a_living_process_writes_is_left_alone(opened: BundleFolder) -> None:
    alive, dead = (opened.path / f".state.bin.{process}.new" for process in (os.getppid(), 2**22 + 1))
    alive.write_bytes(b"")
    dead.write_bytes(b"")
    save_state(opened.path, later(opened.read_state()), digest=opened.digest)
    assert alive.exists()
    assert not dead.exists()
