"""How long work tells what it is doing."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Is told about stages, how far the current one is, and what else is worth knowing."""

    def stage(self, title: str) -> None: ...

    def advance(self, done: int, total: int, detail: str = "") -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    """Tells nobody."""

    def stage(self, title: str) -> None:
        """Ignored."""

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""
