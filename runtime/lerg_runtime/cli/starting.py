"""The first thing that a command does: from here on Ctrl-C and SIGTERM end it with a sentence.

It imports nothing that takes time: until it has run, Python's own answer to Ctrl-C is a traceback.
`lerg_runtime.cli.signals` takes over as soon as it is there.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` without the enums that it spends its time on
import os

__all__ = ["answer_signals"]

_WORDS = {_signal.SIGINT: b"interrupted", _signal.SIGTERM: b"terminated"}


def answer_signals() -> None:
    """End the process at once when a signal comes, unless signals are ignored; for a command alone."""
    for number in _WORDS:
        if _signal.getsignal(number) not in (None, _signal.SIG_IGN):
            _signal.signal(number, _leave)


def _leave(number: int, frame: object) -> None:
    try:
        os.write(2, b"Error: " + _WORDS[number] + b"; nothing was changed\n")
    finally:
        os._exit(128 + number)
