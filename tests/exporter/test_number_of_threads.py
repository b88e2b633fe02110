"""A bundle depends on the number of threads that it is made on, and on no other setting of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

SMALL = ("--set", "codebook_rows=24", "--dim", "8", "--epochs", "1", "--set", "finetune_epochs=0", "--quiet")
CODE = "import sys; from lerg_exporter.cli import main; main(sys.argv[1:])"


def test_what_the_environment_says_does_not_matter_beside_threads(tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    rows = [f"u{user},i{(user * 7 + step * 3) % 40}" for user in range(50) for step in range(8)]
    data.write_text("user,item\n" + "\n".join(rows) + "\n", encoding="utf-8")
    sums = []
    for given in ("1", "3"):
        folder = tmp_path / given
        command = [sys.executable, "-c", CODE, "run", str(data), "-o", str(folder), "--threads", "2", *SMALL]
        environment = {**os.environ, "OMP_NUM_THREADS": given, "OPENBLAS_NUM_THREADS": given}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        sums.append((folder / "SHA256SUMS").read_text())
    assert sums[0] == sums[1]
    assert json.loads((folder / "manifest.json").read_text())["training"]["threads"] == 2
