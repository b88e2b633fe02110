"""Checked access to a JSON object: each complaint names the field and what was expected there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lerg_runtime.bundle._boundary import reading
from lerg_runtime.errors import BundleError

__all__ = ["Fields", "parse_json"]


def parse_json(data: bytes, *, where: str) -> Any:
    """A JSON text without repeated keys, NaN, infinities, integers beyond 64 bits or lone surrogates.

    Raises:
        BundleError: it is not such a text.
    """
    with reading(where, problem="is not JSON that a bundle may have"):
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
        )
        # A text with half of a surrogate pair could not be printed.
        json.dumps(value, ensure_ascii=False).encode()
        return value


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and where it stands, such as `manifest.json: model`."""

    values: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: Any, where: str) -> Fields:
        if not isinstance(value, dict):
            raise BundleError(f"{where} must be an object, not {_shown(value)}")
        return cls(value, where)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Any:
        if name not in self.values:
            raise BundleError(f"{self.where} lacks {name!r}")
        return self.values[name]

    def inner(self, name: str) -> Fields:
        """An object."""
        return Fields.of(self.get(name), f"{self.where}.{name}")

    def listed(self, name: str, *, most: int = 4096) -> Sequence[Any]:
        """A list of at most `most` values."""
        value = self.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise self._wrong(name, f"a list of at most {most} values")
        return value

    def text(self, name: str, *, among: Sequence[str] = ()) -> str:
        """A text, one of `among` if given."""
        value = self.get(name)
        if not isinstance(value, str) or len(value) > 256 or (among and value not in among):
            raise self._wrong(name, " or ".join(map(repr, among)) if among else "a short text")
        return value

    def integer(self, name: str, *, least: int = 0, most: int) -> int:
        """An integer within bounds."""
        return _integer(self.get(name), f"{self.where}.{name}", least, most)

    def integers(self, name: str, *, most: int, count: int = 64) -> tuple[int, ...]:
        """Integers of 0 .. `most`."""
        where = f"{self.where}.{name}"
        return tuple(_integer(value, where, 0, most) for value in self.listed(name, most=count))

    def table(self, name: str, kinds: tuple[type, ...], expected: str) -> Mapping[str, Any]:
        """An object whose values are all of certain types."""
        inner = self.inner(name)
        for key, value in inner.values.items():
            # A boolean is an integer to isinstance, and not here.
            if type(value) not in kinds:
                raise BundleError(f"{inner.where}.{key[:64]} must be {expected}, not {_shown(value)}")
        return inner.values

    def texts(self, name: str) -> tuple[str, ...]:
        """Short texts."""
        values = self.listed(name)
        if not all(isinstance(value, str) and len(value) <= 256 for value in values):
            raise self._wrong(name, "a list of short texts")
        return tuple(values)

    def number(
        self, name: str, *, least: float = -math.inf, most: float = math.inf, above: bool = False
    ) -> float:
        """A finite number within bounds; `above` leaves out the lower one."""
        value = self.get(name)
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
        if not good or value > most or value < least or (above and value <= least):
            raise self._wrong(name, f"a number {'above' if above else 'from'} {least:g} up to {most:g}")
        return float(value)

    def _wrong(self, name: str, expected: str) -> BundleError:
        return BundleError(f"{self.where}.{name} must be {expected}, not {_shown(self.values[name])}")


def _integer(value: Any, where: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BundleError(f"{where} must be an integer of {least} .. {most}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (ValueError, TypeError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is repeated")
    return values


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _short(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**64:
        raise ValueError(f"{text[:20]}... is too large an integer")
    return value
