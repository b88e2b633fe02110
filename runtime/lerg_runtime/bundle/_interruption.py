"""Ctrl-C and SIGTERM wait while something is done that must not be left half done."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["uninterrupted"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class uninterrupted:
    """Signals that arrive during the block are acted on when it has ended, in the way that was set before.

    Python gives signals to the main thread alone, so on any other this does nothing. Blocks may be nested;
    the outermost ends the wait. A block should be short: it holds up whoever wants to stop the process.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._arrived: list[tuple[int, FrameType | None]] = []
        self._waiting = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._waiting = True
        for number in _NUMBERS:
            before = signal.getsignal(number)
            # None is a handler that Python cannot give back; what is ignored stays so.
            if before is not None and before != signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for number, before in self._before.items():
                signal.signal(number, before)
        finally:
            self._waiting = False
            while self._arrived:
                self._act(*self._arrived.pop(0))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._waiting:
            self._arrived.append((number, frame))
        else:  # it came while the block was being left
            self._act(number, frame)

    def _act(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if callable(before):
            before(number, frame)
        else:  # SIG_DFL, which only the system can do
            signal.signal(number, before)
            os.kill(os.getpid(), number)
