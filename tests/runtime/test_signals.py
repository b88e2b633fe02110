"""Ctrl-C and SIGTERM: one sentence and a status at whatever moment, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from _real import RealBundle, write_real
from _shell import Shell
from _tiny import raw_ids

from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.cli import signals


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> RealBundle:
    """A bundle with a program, for commands in processes of their own."""
    return write_real(tmp_path_factory.mktemp("traced") / "bundle")


WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
MAINS = {"lerg-edge": "lerg_runtime.cli", "lerg-export": "lerg_exporter.cli"}


def started(name: str, *words: object, when: str = "") -> subprocess.Popen[str]:
    """A command as its script starts it; it says on standard output when our own code has begun."""
    code = (
        f"import sys; sys.argv = {[name, *map(str, words)]!r}\n"
        f"from {MAINS[name]} import main\n"
        "from lerg_runtime.cli import signals\n"
        "install = signals._install\n"
        "def told(handler):\n"
        "    before = install(handler)\n"
        "    print('ready', flush=True)\n"
        "    return before\n"
        "signals._install = told\n"
        f"{when}\n"
        "main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", WORDS)
@pytest.mark.parametrize("name", MAINS)
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_signal_while_starting(tmp_path: Path, name: str, number: signal.Signals, delay: float) -> None:
    """The command waits for ever once it has started, so that the signal always finds it at work."""
    os.mkfifo(tmp_path / "key")
    words = {
        "lerg-edge": ("info", tmp_path, "--trust", tmp_path / "key"),
        "lerg-export": ("inspect", tmp_path, "--trust", tmp_path / "key"),
    }[name]
    (tmp_path / "SHA256SUMS").write_text("")
    process = started(name, *words)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err == f"Error: {WORDS[number]}; nothing was changed\n"


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.at_once(), signals.raised(last=False):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def minded() -> Iterator[None]:
    """No signal is ignored, as those of a shell's background jobs are."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in WORDS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("minded")
@pytest.mark.parametrize("number", WORDS)
def test_what_a_signal_left_is_told(
    shell: Shell, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    new = tmp_path / "new.csv"
    user, item = raw_ids("text", 1, prefix="user")[0], raw_ids("text", 40, prefix="item")[1]
    new.write_text(f"user,item\n{user},{item}\n")
    command = ("finetune", tiny_bundle, "--interactions", new, "--epochs", 1)
    original = Recommender.save
    late = [False]

    def save(self: Recommender, path: object = None) -> None:
        if late[0]:
            original(self, path)  # type: ignore[arg-type]
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Recommender, "save", save)
    for after, target in ((False, None), (False, tmp_path / "copy"), (True, tmp_path / "copy"), (True, None)):
        late[0] = after
        extra = () if target is None else ("-o", target)
        status, out, err = shell(*command, *extra)
        left = f"what was learned is saved in {target or tiny_bundle}" if after else "nothing was changed"
        assert (status, out) == (128 + number, "")
        assert err.splitlines()[-1] == f"Error: {WORDS[number]}; {left}"
    assert BundleFolder.open(tiny_bundle).read_state().generation == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "copy", "new.csv"]


def test_output_whose_reader_has_gone_is_not_worth_a_word(traced: RealBundle) -> None:
    with Recommender.open(traced.folder) as rec:
        user = rec.user_ids.take([0]).tolist()[0]
    script = "from lerg_runtime.cli import main; main()"
    for words in (["recommend", traced.folder, "--all-users"], ["recommend", traced.folder, "--user", user]):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run(
            [sys.executable, "-c", script, *map(str, words)], stdout=write, stderr=subprocess.PIPE, text=True
        )
        os.close(write)
        assert process.returncode == 1
        assert not re.search("Traceback|BrokenPipe|Exception", process.stderr), process.stderr


def test_no_standard_output_at_all(tiny_bundle: Path) -> None:
    script = "import os; os.close(1); from lerg_runtime.cli import main; main()"
    for prefix in (script, script.replace("os.close(1)", "import sys; sys.stdout = None")):
        process = subprocess.run(
            [sys.executable, "-c", prefix, "info", str(tiny_bundle)], stderr=subprocess.PIPE, text=True
        )
        assert "Traceback" not in process.stderr
        assert "report this" not in process.stderr


def test_a_program_that_is_shortened_under_an_open_recommender(traced: RealBundle, tmp_path: Path) -> None:
    """It has been read: no answer changes, and no access to a mapping ends the process."""
    bundle = Path(shutil.copytree(traced.folder, tmp_path / "bundle"))
    with Recommender.open(bundle) as rec:
        user = rec.user_ids.take([0]).tolist()[0]
        size = (bundle / "program.arrays").stat().st_size
        os.truncate(bundle / "program.arrays", 100)
        items, scores = rec.recommend(user, k=3)
        with open(bundle / "program.arrays", "wb") as stream:
            stream.write(b"\xff" * size)
        again = rec.recommend(user, k=3)
        assert items.tolist() == again[0].tolist()
        assert scores.tolist() == again[1].tolist()
    with Recommender.open(traced.folder) as rec:
        assert rec.recommend(user, k=3)[0].tolist() == items.tolist()
