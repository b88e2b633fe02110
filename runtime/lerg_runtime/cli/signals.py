"""SIGINT and SIGTERM end a command with one sentence and exit status 130 or 143, whenever they come.

While modules are imported nothing has been done yet, and an exception out of the midst of an import would be
lost or printed: the process ends at once. Afterwards an exception unwinds what is under way, so that
temporary files go. Once a command is done its status stands, and signals change it no more.

Nothing but the standard library is imported here, and this comes before all that takes its time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Arrivals", "Interrupted", "at_once", "interruption", "quiet_end", "raised", "telling"]

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_NOTHING = "nothing was changed"


class Interrupted(BaseException):
    """A signal has come. Not a KeyboardInterrupt, which click would print something for.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Arrivals:
    """The last signal that came, also where the exception that it raised was swallowed.

    Attributes:
        number: of the signal, 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0


def interruption(number: int, left: str = "") -> tuple[str, int]:
    """The sentence and the exit status for a signal.

    Args:
        number: of the signal.
        left: what it left as it is; empty where nothing was changed.
    """
    return f"{_WORDS[signal.Signals(number)]}; {left or _NOTHING}", 128 + number


@contextmanager
def at_once(*, last: bool = False) -> Iterator[None]:
    """A signal in the block ends the process there and then: for imports, before anything has been changed.

    Args:
        last: the process ends after the block, so what is set then may stay.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sentence, status = interruption(number)
        try:
            os.write(2, f"Error: {sentence}\n".encode())
        finally:
            os._exit(status)

    before = _install(leave)
    try:
        yield
    finally:
        if not last:
            _restore(before)


@contextmanager
def raised(*, last: bool) -> Iterator[Arrivals]:
    """A signal in the block raises `Interrupted`.

    Args:
        last: the process ends after the block, and signals are ignored while it does.
    """
    arrivals = Arrivals()

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        arrivals.number = number
        raise Interrupted(number)

    before = _install(interrupt)
    try:
        yield arrivals
    finally:
        _restore(dict.fromkeys(before, signal.SIG_IGN) if last else before)


@contextmanager
def telling(left: Callable[[], str]) -> Iterator[None]:
    """An interruption of the block carries what it left, which is looked up when it comes."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        error.args = (left(),)
        raise


def _install(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Set the handler of both signals, unless they are ignored as `nohup` and a shell's `&` have it."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    set_now: dict[int, Any] = {number: signal.getsignal(number) for number in _WORDS}
    before = {number: was for number, was in set_now.items() if was not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, handler)
    return before


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)


def quiet_end() -> None:
    """Flush what was printed, and let nothing of it raise again when the process ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise
