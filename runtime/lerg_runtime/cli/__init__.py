"""`lerg-edge`: the device's commands."""

from __future__ import annotations

import sys

from lerg_runtime.cli.starting import answer_signals

TYPE_CHECKING = False  # of typing, whose import would be waited for
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its status; every failure is one sentence on standard error.

    Args:
        arguments: without the program's name; None takes them from the command line.
    """
    if arguments is None:
        answer_signals()
    from lerg_runtime.cli.signals import at_once

    with at_once(last=arguments is None):
        from lerg_runtime.cli._main import run

        status = run(arguments)
    sys.exit(status)
