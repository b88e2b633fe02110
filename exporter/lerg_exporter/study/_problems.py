"""Collecting what is wrong with a study's file, so that all of it is told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lerg_edge.errors import InputError
from lerg_exporter.exporting.settings import nearest

__all__ = ["Problems", "StudyFileError"]


class StudyFileError(InputError):
    """A study's file that cannot be used.

    Attributes:
        problems: a sentence for each thing that is wrong.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Problems:
    """Sentences that begin with the file's name.

    Args:
        file: its name, as it was given.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: dict[str, None] = {}

    def add(self, place: str, sentence: str) -> None:
        """Note a problem once; `place` is a table such as `[grid]`, or empty for the top of the file."""
        self._found[f"{self._file}{f', {place}' if place else ''}: {sentence}"] = None

    def unknown_keys(self, place: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
        """Note every key that a table must not have."""
        allowed = tuple(known)
        for key in table.keys() - set(allowed):
            hint = nearest(key, allowed) or f"; choose one of {', '.join(allowed)}"
            self.add(place, f"there is no key '{key}'{hint}")

    def raise_any(self) -> None:
        """End with everything that was noted.

        Raises:
            StudyFileError: something was.
        """
        if self._found:
            raise StudyFileError(tuple(self._found))
