"""Saving survives a crash at any moment: what is there afterwards is the old content or the new one."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _tiny import TinyModel, tiny_model, write_tiny

from lerg_runtime import Recommender, UnsyncedError
from lerg_runtime.bundle import BundleFolder, State, copy_bundle, save_state
from lerg_runtime.bundle import _files as files

REAL_WRITE = os.write
UMASK = os.umask(0)
os.umask(UMASK)


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
            (os, "open"),
            (os, "fsync"),
            (os, "replace"),
            (os, "rename"),
            (os, "unlink"),
            (os, "mkdir"),
            (shutil, "rmtree"),
        ]:
            monkeypatch.setattr(module, name, self._watched(name, getattr(module, name)))
        monkeypatch.setattr(os, "write", self._write)

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

    def _write(self, handle: int, data: Any) -> int:
        half = len(data) // 2
        REAL_WRITE(handle, data[:half])
        self.step("write")
        return half + REAL_WRITE(handle, data[half:])


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
    with pytest.raises(OSError, match="No space left") as caught:
        save_state(opened.path, later(state), digest=opened.digest)
    assert caught.value.filename == str(opened.path / "state.bin")
    assert opened.read_state().generation == 0
    assert not list(opened.path.glob(".*"))


def fail_after_renaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder cannot be synced any more once something has been renamed in it."""
    original, renamed = os.fsync, []

    def fsync(handle: int) -> None:
        if renamed and stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        original(handle)

    for name in ("replace", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, real=real: (real(*given), renamed.append(given))[0])
    monkeypatch.setattr(os, "fsync", fsync)


def test_a_folder_that_cannot_be_synced_has_the_new_state_and_says_so(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with Recommender.open(tiny_bundle) as rec:
        with pytest.MonkeyPatch.context() as patch:
            fail_after_renaming(patch)
            with pytest.raises(
                UnsyncedError, match=r"state\.bin is the new one.*Input/output error.*save again"
            ):
                rec.save()
        assert rec.state.generation == BundleFolder.open(tiny_bundle).read_state().generation == 1
        rec.save()
        with pytest.MonkeyPatch.context() as patch:
            fail_after_renaming(patch)
            with pytest.raises(UnsyncedError, match=r"copy is the new one"):
                rec.save(tmp_path / "copy")
        assert BundleFolder.open(tmp_path / "copy").read_state().generation == 3
        rec.save()
    assert BundleFolder.open(tiny_bundle).read_state().generation == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "copy"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660, 0o400])
def test_saving_keeps_the_mode(opened: BundleFolder, mode: int) -> None:
    path = opened.path / "state.bin"
    path.chmod(mode)
    save_state(opened.path, later(opened.read_state()), digest=opened.digest)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_state_is_for_its_owner_alone(opened: BundleFolder, tmp_path: Path) -> None:
    state = opened.read_state()
    copy_bundle(opened, tmp_path / "copy", later(state))
    (opened.path / "state.bin").chmod(0o644)
    (tmp_path / "copy" / "state.bin").unlink()
    save_state(tmp_path / "copy", later(state), digest=opened.digest)
    for folder in (write_tiny(tmp_path / "fresh", tiny_model()), tmp_path / "copy"):
        assert stat.S_IMODE((folder / "state.bin").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "model.pte").stat().st_mode) == 0o666 & ~UMASK


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_saving_keeps_the_owner(opened: BundleFolder) -> None:
    path = opened.path / "state.bin"
    os.chown(path, 4711, 4712)
    save_state(opened.path, later(opened.read_state()), digest=opened.digest)
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (4711, 4712, 0o600)


def test_a_state_of_a_group_that_cannot_be_kept_is_not_for_another_group(
    opened: BundleFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened.path / "state.bin"
    path.chmod(0o664)
    real = os.lstat

    def other_group(place: Any) -> Any:
        found = real(place)
        return os.stat_result((*found[:4], 1, found.st_gid + 1, *found[6:]))

    def refuse(*_: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    state = opened.read_state()
    monkeypatch.setattr(os, "lstat", other_group)
    monkeypatch.setattr(os, "fchown", refuse)
    save_state(opened.path, later(state), digest=opened.digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_link_laid_where_a_temporary_file_will_be_is_not_followed(
    opened: BundleFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    laid = opened.path / f".state.bin.{os.getpid()}-{'0' * 16}.new"
    laid.symlink_to(precious)
    state = opened.read_state()
    save_state(opened.path, later(state), digest=opened.digest)
    assert precious.read_text() == "mine"
    assert opened.read_state().generation == 1
    assert not laid.is_symlink(), "nothing that this process makes: it goes"
    laid.symlink_to(precious)
    monkeypatch.setattr(files, "_remove_stale", lambda path: None)
    with pytest.raises(FileExistsError):
        save_state(opened.path, later(state), digest=opened.digest)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_save_waits_until_all_agrees(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    steps = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink")
    before = signal.signal(number, stop)
    try:
        with Recommender.open(tiny_bundle) as rec:
            for place in (None, tmp_path / "copy"):
                for name in steps:
                    for nth in range(40):
                        calls = itertools.count()
                        with pytest.MonkeyPatch.context() as patch:
                            real = getattr(os, name)

                            def call(
                                *given: Any, real: Any = real, calls: Any = calls, nth: int = nth, **more: Any
                            ) -> Any:
                                if next(calls) == nth:
                                    os.kill(os.getpid(), number)
                                return real(*given, **more)

                            patch.setattr(os, name, call)
                            stopped = False
                            try:
                                rec.save(place)
                            except Stop:
                                stopped = True
                        stored = BundleFolder.open(tiny_bundle).read_state()
                        assert rec.state.generation == stored.generation, (name, nth)
                        assert {path.name for path in tmp_path.iterdir()} <= {"bundle", "copy"}
                        assert len(list(tiny_bundle.iterdir())) == 7
                        if place is not None and place.exists():
                            assert BundleFolder.open(place).read_state().generation == stored.generation + 1
                            shutil.rmtree(place)
                        if not stopped:
                            break
    finally:
        signal.signal(number, before)


def test_what_a_living_process_writes_is_left_alone(opened: BundleFolder) -> None:
    alive, dead = (opened.path / f".state.bin.{process}.new" for process in (os.getppid(), 2**22 + 1))
    alive.write_bytes(b"")
    dead.write_bytes(b"")
    save_state(opened.path, later(opened.read_state()), digest=opened.digest)
    assert alive.exists()
    assert not dead.exists()
