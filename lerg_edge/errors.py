"""Errors that lerg_edge raises; commands turn them into exit codes, library code never does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from string import Formatter
from typing import Any, ClassVar, Self

__all__ = ["BudgetError", "InputError", "LergError", "Speller", "plain"]

Speller = Callable[[str, str | None], str]
"""How a reader of messages knows an argument: of its name and, where one is stated, its value."""


def plain(name: str, value: str | None) -> str:
    """`dim`, or `dim=8`: an argument as Python has it."""
    return name if value is None else f"{name}={value}"


class LergError(Exception):
    """Root of every error that lerg_edge raises on purpose; the message is one sentence for the user."""

    exit_code: ClassVar[int] = 1
    _sentence: tuple[str, tuple[object, ...]] | None = None

    @classmethod
    def naming(cls, template: str, *values: object) -> Self:
        """An error whose message names arguments, so that a command can name its options instead.

        Args:
            template: as of `str.format`: `{}` takes the next of `values`, `{dim}` names the argument `dim`,
                and `{dim:{}}` states it with the next of `values`.
        """
        error = cls(_filled(template, values, plain))
        error._sentence = (template, values)
        return error

    @property
    def names(self) -> frozenset[str]:
        """The arguments that the message names, as far as it was made by :meth:`naming`."""
        parts = Formatter().parse(self._sentence[0]) if self._sentence else ()
        return frozenset(name for _, name, _, _ in parts if name)

    def spelt(self, speller: Speller) -> str:
        """The message, with arguments called what `speller` calls them."""
        return str(self) if self._sentence is None else _filled(*self._sentence, speller)


class InputError(LergError):
    """A file, an id or an argument value that cannot be used as it is."""

    exit_code: ClassVar[int] = 2
    _faults: tuple[InputError, ...] = ()

    @classmethod
    def of_all(cls, faults: Iterable[InputError]) -> InputError:
        """One error for one or more of them; `faults` has each."""
        found = tuple(faults)
        if len(found) == 1:
            return found[0]
        error = cls("; ".join(map(str, found)))
        error._faults = found
        return error

    @property
    def faults(self) -> tuple[InputError, ...]:
        """Everything that is wrong, of this error alone or of several."""
        return self._faults or (self,)

    def spelt(self, speller: Speller) -> str:
        if not self._faults:
            return LergError.spelt(self, speller)
        return "; ".join(fault.spelt(speller) for fault in self._faults)


class BudgetError(LergError):
    """A memory or storage budget that no choice of sizes can meet."""

    exit_code: ClassVar[int] = 3


def _filled(template: str, values: tuple[object, ...], speller: Speller) -> str:
    return Formatter().vformat(template, values, _Names(speller))


class _Names(dict[str, Any]):
    """Every name there may be in a template, as an argument of that name."""

    def __init__(self, speller: Speller) -> None:
        super().__init__()
        self._speller = speller

    def __missing__(self, name: str) -> _Argument:
        return _Argument(name, self._speller)


class _Argument:
    def __init__(self, name: str, speller: Speller) -> None:
        self._name, self._speller = name, speller

    def __format__(self, value: str) -> str:
        return self._speller(self._name, value or None)
