"""What an ExecuTorch program may do here: the check that every bundle's `model.pte` passes before it runs.

The rules are in `docs/programs.md`. The check is made by the native module whenever a program is opened; this
is for whoever writes programs and wants to know before.
"""

from __future__ import annotations

import os

from lerg_runtime._engine import native

__all__ = ["check_program", "operator_signatures"]


def check_program(path: str | os.PathLike[str]) -> None:
    """Check the plan of every method of a program file; nothing of it is loaded or run.

    Raises:
        lerg_runtime.errors.BundleError: it is no program, or one that must not run; names method, instruction
            and operator.
    """
    native().Program(os.fspath(path), native().Budget(0))


def operator_signatures() -> dict[str, str]:
    """What each operator that a program may call takes and gives, by name and overload.

    Other operators are refused. `docs/programs.md` says how a signature is written.
    """
    return dict(native().operator_signatures())
