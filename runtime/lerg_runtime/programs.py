"""What an ExecuTorch program may do here: the check that every bundle's `model.pte` passes before it runs.

The rules are in `docs/programs.md`. The check is made by the native module whenever a program is opened; this
is for whoever writes programs and wants to know before, or what runs them here.
"""

from __future__ import annotations

import os
from typing import Any

from lerg_runtime.engine._engine import native

__all__ = ["build_info", "check_program", "open_program", "operator_signatures"]


def check_program(path: str | os.PathLike[str]) -> None:
    """Check the plan of every method of a program file; nothing of it is loaded or run.

    Raises:
        lerg_runtime.errors.BundleError: it is no program, or one that must not run; names method, instruction
            and operator.
    """
    open_program(path)


def open_program(path: str | os.PathLike[str]) -> tuple[Any, Any]:
    """A program file after the check, and the budget without a limit that counts what it takes.

    Returns:
        `Program` and `Budget` of the native module.

    Raises:
        lerg_runtime.errors.BundleError: as `check_program`.
    """
    budget = native().Budget(0)
    return native().Program(os.fspath(path), budget), budget


def build_info() -> dict[str, Any]:
    """How the native module was built and which loops it has chosen for this processor."""
    return dict(native().build_info())


def operator_signatures() -> dict[str, str]:
    """What each operator that a program may call takes and gives, by name and overload.

    Other operators are refused. `docs/programs.md` says how a signature is written.
    """
    return dict(native().operator_signatures())
