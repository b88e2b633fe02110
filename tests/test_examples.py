"""Every example runs as its own text says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from traced import built

from lerg_edge.selection import SelectionProblem, select

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle of generated interactions with integer ids from 0."""
    made = built()
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("examples") / "bundle"))


def run(*command: object, folder: Path) -> str:
    """Runs a command in `folder` and returns what it printed; both streams are shown when it fails."""
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_device_api(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    before = (bundle / "state.bin").read_bytes()
    printed = run(sys.executable, EXAMPLES / "device_api.py", bundle, folder=tmp_path)
    assert "five items for" in printed
    assert "in the shop: " in printed
    assert "is due to " in printed
    assert "most popular: " in printed
    assert re.search(r"loss by epoch: [0-9.]+, [0-9.]+, [0-9.]+", printed)
    assert (bundle / "state.bin").read_bytes() != before


def test_new_items(tmp_path: Path) -> None:
    printed = run(sys.executable, EXAMPLES / "new_items.py", tmp_path, folder=tmp_path)
    found = re.search(r"NDCG@20 of ([0-9.]+); by chance it is ([0-9.]+)", printed)
    assert found is not None
    assert float(found[1]) > 2 * float(found[2])
    assert "added: brand-new, hot" in printed
    assert re.search(r"brand-new is number \d+ of 802 for user-0001", printed)


def test_frames(tiny_bundle: Path, tmp_path: Path) -> None:
    printed = run(sys.executable, EXAMPLES / "frames.py", tiny_bundle, folder=tmp_path)
    assert "2 liked, 1 rated low" in printed
    assert re.search(r"user.*item.*rank.*score", printed)
    assert re.search(r"learned from 3 new interactions", printed)


def test_export_api(tmp_path: Path) -> None:
    rows = [f"{user},{(user * 7 + step * 3) % 30}" for user in range(40) for step in range(8)]
    (tmp_path / "data.csv").write_text("user,item\n" + "\n".join(rows) + "\n", encoding="utf-8")
    printed = run(sys.executable, EXAMPLES / "export_api.py", "data.csv", "bundle", "report", folder=tmp_path)
    assert re.search(r"^rewired: NDCG@20 0\.\d{4}$", printed, flags=re.M)
    assert (tmp_path / "report" / "index.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_own_selector(tmp_path: Path) -> None:
    matrix = sparse.random_array((40, 30), density=0.1, rng=np.random.default_rng(0), format="csr")
    problem = SelectionProblem.at_retention(
        sparse.csr_matrix(matrix), np.zeros((70, 4), np.float32), retention=0.5
    )
    chosen = select(problem, selector=f"{EXAMPLES / 'own_selector.py'}:two_hop_reach")
    assert chosen.retained.sum() == 35
    assert chosen.report.method == "two-hop reach"


def test_raspberry_pi_walk_through(tiny_bundle: Path, tmp_path: Path) -> None:
    """The walk-through's device commands, taken from its text, run on a bundle."""
    text = (EXAMPLES / "raspberry_pi" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh device\n(.*?)```", text, flags=re.S)
    assert blocks, "the walk-through has no device commands"
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    script = "\n".join(["set -euo pipefail", f'export PATH="{BIN}:$PATH"', *blocks])
    printed = run("bash", "-c", script, folder=tmp_path)
    assert "ndcg@20" in printed.lower()


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    """`make demo` without the set-up."""
    command = f'PATH="{BIN}:$PATH" bash examples/demo.sh "{tmp_path}"'
    printed = run("bash", "-c", command, folder=ROOT)
    assert "The recommendations have moved" in printed


def test_nightly_service_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed: apt-get install systemd")
    present = tmp_path / "lerg-edge"
    present.write_text("#!/bin/sh\n")
    present.chmod(0o755)
    for kind in ("service", "timer"):
        text = (EXAMPLES / "raspberry_pi" / f"lerg-finetune.{kind}").read_text(encoding="utf-8")
        # It looks whether the commands are there, which on this machine they are not.
        (tmp_path / f"lerg-finetune.{kind}").write_text(
            text.replace("/home/pi/lerg/bin/lerg-edge", str(present))
        )
    done = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            "--man=no",
            str(tmp_path / "lerg-finetune.timer"),
            str(tmp_path / "lerg-finetune.service"),
        ],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nightly_command_is_one_that_lerg_edge_takes(tiny_bundle: Path, tmp_path: Path) -> None:
    text = (EXAMPLES / "raspberry_pi" / "lerg-finetune.service").read_text(encoding="utf-8")
    line = re.search(r"^ExecStart=(.*)$", text, flags=re.M)
    assert line is not None
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (tmp_path / "learning.csv").write_text("user,item\n3,5\n")
    command = line[1].replace("/home/pi/lerg/bin", str(BIN)).replace("/home/pi", str(tmp_path))
    assert "saved in" in run(*command.split(), folder=tmp_path)


def test_profiles_are_gathered_from_those_that_answer(tiny_bundle: Path, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        'case "$*" in *lost*) echo "no route" >&2; exit 255;; esac\nexec sh -c "$last"\n'
    )
    ssh.chmod(0o755)
    command = [sys.executable, str(EXAMPLES / "raspberry_pi" / "gather_profiles.py"), "pi4", "lost", "pi5"]
    options = ["--bundle", str(tiny_bundle), "--command", str(BIN / "lerg-edge"), "-o", "found"]
    done = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "lost: no route\n")
    lines = (tmp_path / "found.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 2 * 3
    assert {line.split(",")[0] for line in lines[1:]} == {"pi4", "pi5"}
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
