"""Every error that this package raises on purpose, each with the exit status that `lerg-edge` gives it.

Importing this module loads nothing else: the native module registers the same classes.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["BudgetError", "BundleError", "InputError", "LergRuntimeError", "UnknownIdError", "UnsyncedError"]


class LergRuntimeError(Exception):
    """Root of the errors below. The message is one sentence that says what is wrong and what to do."""

    exit_code: ClassVar[int] = 1


class InputError(LergRuntimeError):
    """An argument, an option or a line of a file is not usable."""

    exit_code: ClassVar[int] = 2


class UnknownIdError(InputError):
    """A user or an item that the bundle has never seen.

    Attributes:
        sentence: the message without the advice, for a caller that knows a better one.
    """

    def __init__(self, sentence: str, *, advice: str = "") -> None:
        super().__init__(f"{sentence}; {advice}" if advice else sentence)
        self.sentence = sentence


class BudgetError(LergRuntimeError):
    """A memory budget is too small.

    Attributes:
        items: what is needed, as (name, bytes) in the order it is allocated; empty when the native allocator
            refused a single block.
        needed_bytes: their sum, 0 when unknown.
        budget_bytes: the budget, 0 when unknown.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self,
        message: str,
        *,
        items: tuple[tuple[str, int], ...] = (),
        needed_bytes: int = 0,
        budget_bytes: int = 0,
    ) -> None:
        super().__init__(message)
        self.items = items
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes


class BundleError(LergRuntimeError):
    """A bundle is damaged, foreign, or of a version that this package cannot read."""

    exit_code: ClassVar[int] = 4


class UnsyncedError(LergRuntimeError):
    """What was to be saved is in place, but the disk does not promise that it outlasts a power cut."""
