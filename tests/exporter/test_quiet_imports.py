"""Imports behind other work: done when the block ends, and a failing one is nobody's problem yet."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from lerg_exporter.programs.quiet_imports import imported_meanwhile


def test_modules_are_there_after_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import_a.py").write_text(
        "import threading\nloaded_by = threading.current_thread()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with imported_meanwhile("slow_to_import_a"):
        pass
    assert sys.modules["slow_to_import_a"].loaded_by is not threading.current_thread()


def test_a_module_that_fails_does_not_end_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_to_import_a.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with imported_meanwhile("there_is_no_such_module_a", "fails_to_import_a"):
        reached = True
    assert reached


def test_an_error_inside_the_block_comes_through() -> None:
    with pytest.raises(ValueError, match="told"), imported_meanwhile("json"):
        raise ValueError("told")
