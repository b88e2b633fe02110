"""One declaration of a setting: its help, its type and its range, for options, files and `--set` alike.

A setting is a field of a dataclass, made by :func:`setting`. Importing this is cheap.
"""

from __future__ import annotations

import difflib
import math
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from lerg_edge.errors import InputError
from lerg_edge.own import is_own
from lerg_runtime.errors import InputError as RuntimeInputError
from lerg_runtime.sizes import parse_size

__all__ = ["AUTO", "GROUPS", "Setting", "faults_of", "nearest", "schema", "setting"]

AUTO = "auto"
"""What a file or `--set` may say of a setting that can be left open, to leave it open."""

_MOST = float(2**63 - 1024)  # the largest that a float and 64 bits both hold

GROUPS = ("Data", "Model", "Who stays", "Serving", "One person", "Device", "Training", "Fine-tuning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting's declaration.

    Attributes:
        help: what it does, a sentence.
        group: the heading that it stands under, one of `GROUPS`.
        metavar: what stands for its value in help.
        choices: the values there are, or none for a range.
        own: looks at a value that names something of one's own as `file.py:name`, and refuses what is not
            usable; None where there are the choices alone.
        least, most: the range, ends included; `above`, `below`: without them.
        option: whether `lerg-export run` has an option for it.
        size: bytes, which may be written as `64MiB`.
        unset: what holds where nothing is given and the default does not say it.
        name, kinds, default: of the field.
    """

    help: str
    group: str
    metavar: str = ""
    choices: tuple[Any, ...] = ()
    own: Callable[[str], object] | None = None
    least: float | None = None
    above: float | None = None
    below: float | None = None
    most: float | None = None
    option: bool = False
    size: bool = False
    unset: str = ""
    name: str = ""
    kinds: tuple[type, ...] = ()
    default: Any = None

    @property
    def flag(self) -> str:
        """Its option on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        """Whether its option takes no value."""
        return bool in self.kinds

    @property
    def may_be_open(self) -> bool:
        """Whether it can be left to the exporter."""
        return bool(self.unset)

    def read(self, value: object) -> Any:
        """A value of a TOML file as the field takes it.

        Raises:
            InputError: it is of another type or out of range; says what is allowed.
        """
        if value == AUTO and self.may_be_open and AUTO not in self.choices:
            return self.default
        found = self._typed(value)
        self._hold(found)
        return found

    def parse(self, text: str) -> Any:
        """A value as the command line has it.

        Raises:
            InputError: it is none, or out of range; says what is allowed.
        """
        return self.read(text if str in self.kinds or self.size else self._literal(text))

    def check(self, value: Any) -> None:
        """Hold a field's value to the choices or the range there are; the default, if open, is right.

        Raises:
            InputError: it is outside.
        """
        if not (self.may_be_open and value == self.default):
            self._hold(value)

    def _hold(self, value: Any) -> None:
        if self.choices:
            if value in self.choices:
                return
            if self.own is None or not is_own(str(value)):
                raise self._wrong(value, f"choose {self.rule}")
            self.own(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            bounds = [
                (self.least is None or value >= self.least),
                (self.above is None or value > self.above),
                (self.most is None or value <= self.most),
                (self.below is None or value < self.below),
            ]
            if not (math.isfinite(value) and all(bounds)):
                raise self._wrong(value, f"it must be {self._range() or 'a finite number'}")

    def _typed(self, value: object) -> Any:
        if self.size and isinstance(value, str):
            try:
                return parse_size(value)
            except RuntimeInputError as error:
                rule = str(error).split("; ", 1)[1]
                raise self._wrong(repr(value), rule) from error
        if bool in self.kinds and isinstance(value, bool):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MOST:
            if float in self.kinds:
                return float(value)
            if int in self.kinds and isinstance(value, int):
                return value
        if str in self.kinds and isinstance(value, str):
            return value
        if tuple in self.kinds and isinstance(value, list) and all(map(_is_id, value)):
            return tuple(value)
        raise self._wrong(repr(value), f"it must be {self.rule}")

    def _literal(self, text: str) -> object:
        """A number, a truth value or a list, as TOML writes them, and a list of ids by commas too."""
        if tuple in self.kinds and not text.lstrip().startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
        try:
            found = tomllib.loads(f"value = {text}")
        except (ValueError, RecursionError):  # what is not TOML, and numbers and lists beyond reason
            return text
        return found["value"] if len(found) == 1 else text

    @property
    def rule(self) -> str:
        """What a value must be, such as `a whole number, at least 1`."""
        if self.choices:
            others = "" if self.own is None else ", or your own as file.py:name"
            return f"one of {', '.join(map(str, self.choices))}{others}"
        if self.size:
            return 'a size in bytes, such as "64MiB"'
        if tuple in self.kinds:
            return "a list of ids"
        if bool in self.kinds:
            return "true or false"
        if float in self.kinds:
            return ", ".join(filter(None, ("a number", self._range())))
        return ", ".join(filter(None, ("a whole number", self._range()))) if int in self.kinds else "a text"

    def _range(self) -> str:
        lower = f"at least {self.least:g}" if self.least is not None else ""
        lower = f"above {self.above:g}" if self.above is not None else lower
        upper = f"at most {self.most:g}" if self.most is not None else ""
        upper = f"below {self.below:g}" if self.below is not None else upper
        return " and ".join(filter(None, (lower, upper)))

    def _wrong(self, value: object, rule: str) -> InputError:
        return InputError.naming(f"{{{self.name}}} is {{}}; {{}}", value, rule)


def setting(default: Any, **declared: Any) -> Any:
    """A dataclass field with a `Setting`, whose fields but name, kinds and default are `declared`."""
    return field(default=default, metadata={"setting": Setting(**declared)})


def schema(owner: type) -> dict[str, Setting]:
    """The settings that a dataclass declares, by name."""
    hints = get_type_hints(owner)
    found = {}
    for each in fields(owner):
        declared: Setting = each.metadata["setting"]
        values = {name: getattr(declared, name) for name in Setting.__dataclass_fields__}
        values |= {"name": each.name, "kinds": _kinds(hints[each.name]), "default": each.default}
        found[each.name] = Setting(**values)
    return found


def faults_of(settings: Mapping[str, Setting], owner: object) -> Iterator[InputError]:
    """What is out of range among an object's fields."""
    for name, each in settings.items():
        try:
            each.check(getattr(owner, name))
        except InputError as error:
            yield error


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'batch'?`, or nothing where no known name is near."""
    near = difflib.get_close_matches(name.replace("-", "_"), list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _kinds(hint: Any) -> tuple[type, ...]:
    """The plain types of an annotation such as `int | None` or `tuple[int | str, ...]`."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for part in get_args(hint) for kind in _kinds(part) if kind is not type(None))
    return (get_origin(hint) or hint,)


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)
