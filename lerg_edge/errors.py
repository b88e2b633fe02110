"""Errors that lerg_edge raises; commands turn them into exit codes, library code never does."""

from __future__ import annotations

from typing import ClassVar

__all__ = ["BudgetError", "InputError", "LergError"]


class LergError(Exception):
    """Root of every error that lerg_edge raises on purpose; the message is one sentence for the user."""

    exit_code: ClassVar[int] = 1


class InputError(LergError):
    """A file, an id or an argument value that cannot be used as it is."""

    exit_code: ClassVar[int] = 2


class BudgetError(LergError):
    """A memory or storage budget that no choice of sizes can meet."""

    exit_code: ClassVar[int] = 3
