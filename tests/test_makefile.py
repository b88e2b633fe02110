"""What `make` would run, told by `make --dry-run`."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def commands(*arguments: str) -> list[str]:
    """Lines that setting up an environment would run."""
    command = ["make", "--dry-run", "--always-make", ".venv/.packages", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "pip install" in line]


def test_torch_alone_is_taken_from_another_index() -> None:
    first, second = commands("TORCH_INDEX_URL=https://index.example/cpu")
    assert first.endswith("install -q --no-deps --index-url https://index.example/cpu torch==2.13.0")
    assert "index" not in second
    assert "torch==2.13.0" in second


def test_without_one_pip_decides() -> None:
    (only,) = commands("TORCH_INDEX_URL=")
    assert "index" not in only
