"""Settings from the command line, from `--set` and from a file, as one; and back to a file.

The command line wins over `--set`, and `--set` over the file. Importing this is cheap.
"""

from __future__ import annotations

import json
import os
import textwrap
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lerg_edge.errors import InputError, Speller
from lerg_exporter.exporting.options import EXPORT_SETTINGS, ExportOptions
from lerg_exporter.exporting.reading import READING_SETTINGS, ReadingOptions
from lerg_exporter.exporting.settings import GROUPS, Setting, nearest

__all__ = ["RUN_SETTINGS", "RunSettings", "ThroughCommand", "gathered", "toml_text", "values_of"]

RUN_SETTINGS: Mapping[str, Setting] = READING_SETTINGS | EXPORT_SETTINGS
"""Every setting of `lerg-export run`, by name."""

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ThroughCommand:
    """Names settings as somebody at the command line gives them: where it was given, else where it can be.

    Attributes:
        sources: of each setting that was given, `option`, `set`, or the name of a file.
        values: what was given.
        command_options: what is an option of the command that asks though it is none of `run`, a setting or
            not.
    """

    sources: Mapping[str, str]
    values: Mapping[str, Any]
    command_options: Collection[str] = ()

    def __call__(self, name: str, value: str | None) -> str:
        setting, here = RUN_SETTINGS.get(name), name in self.command_options
        if setting is None:
            word = f"--{name.replace('_', '-')}" if here else name
            return word if value is None else f"{word} {value}"
        source = self.sources.get(name, "option" if setting.option or here else "set")
        if source not in ("option", "set"):
            if value is None:
                return f"{name} in {source}"
            if value == str(self.values.get(name)):
                return f"{name} = {value} in {source}"
            source = (
                "option" if setting.option or here else "set"
            )  # advice: the command line wins over the file
        if source == "option":
            return setting.flag if value is None or setting.is_flag else f"{setting.flag} {value}"
        return f"--set {name}" if value is None else f"--set {name}={value}"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """All settings of a run, what to call them in messages, and which of the export's were stated."""

    reading: ReadingOptions
    options: ExportOptions
    speller: Speller
    stated: Mapping[str, Any] = field(default_factory=dict)


def gathered(
    options: Mapping[str, object],
    sets: Sequence[str],
    file: str | os.PathLike[str] | None,
    *,
    usual: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda stated: {},
    command_options: Collection[str] = (),
) -> RunSettings:
    """Read, check and merge the three sources.

    Args:
        options: of the command line by name, texts, or values that are no text.
        sets: each `name=value`.
        file: a TOML file of settings, or None.
        usual: gives, by the settings that are stated, those that stand for others in place of the defaults.
        command_options: see :class:`ThroughCommand`.

    Raises:
        InputError: a file that cannot be read, or anything that is wrong with what any of them gives; every
            fault is among its `faults`, named as it was given.
    """
    faults: list[InputError] = []
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    wrong: set[str] = set()
    for source, given in (
        (str(file), {} if file is None else _of_file(Path(file), faults)),
        ("set", _of_sets(sets, faults)),
        ("option", options),
    ):
        for name, value in given.items():
            own = ThroughCommand({name: source}, {})
            try:
                setting = RUN_SETTINGS[name]
                as_text = isinstance(value, str) and source in ("option", "set")
                values[name] = setting.parse(value) if as_text else setting.read(value)  # type: ignore[arg-type]
                sources[name] = source
            except InputError as error:
                faults.append(InputError(error.spelt(own)))
                wrong.add(name)
    speller = ThroughCommand(sources, values, command_options)
    stated = {name: value for name, value in values.items() if name in EXPORT_SETTINGS}
    if not wrong:
        try:
            values = {**usual(values), **values}
        except InputError as error:
            raise InputError.of_all(
                [*faults, *(InputError(each.spelt(speller)) for each in error.faults)]
            ) from error
    built: dict[type, Any] = {}
    for owner, settings in ((ReadingOptions, READING_SETTINGS), (ExportOptions, EXPORT_SETTINGS)):
        try:
            built[owner] = owner(**{name: value for name, value in values.items() if name in settings})
        except InputError as error:
            # What involves a setting that has a fault of its own may be right once that is mended.
            left = [each for each in error.faults if "assignment" not in wrong and not each.names & wrong]
            faults += [InputError(each.spelt(speller)) for each in left]
    if faults:
        raise InputError.of_all(faults)
    return RunSettings(built[ReadingOptions], built[ExportOptions], speller, stated)


def _of_sets(sets: Sequence[str], faults: list[InputError]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in sets:
        name, equals, value = each.partition("=")
        name = name.strip()
        if not equals or not name:
            faults.append(InputError(f"--set is {each!r}; write --set name=value"))
        elif name not in RUN_SETTINGS:
            faults.append(InputError(f"--set {name}: there is no such setting{_help(name)}"))
        else:
            found[name] = value.strip()
    return found


def _of_file(file: Path, faults: list[InputError]) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise InputError(
                f"--config {file}: it is larger than {_MOST_BYTES} bytes; give a file of settings"
            )
        document = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise InputError(f"--config {file}: cannot be read: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"--config {file}: this is not TOML: {error}; mend the file") from error
    for name in [name for name in document if name not in RUN_SETTINGS]:
        faults.append(InputError(f"{file}: there is no setting '{name}'{_help(name)}"))
        del document[name]
    return document


def _help(name: str) -> str:
    return nearest(name, RUN_SETTINGS) or "; `lerg-export run --print-config` lists them all"


def values_of(owner: ReadingOptions | ExportOptions) -> dict[str, Any]:
    """A dataclass's fields by name."""
    return {each.name: getattr(owner, each.name) for each in fields(owner)}


def toml_text(values: Mapping[str, Any]) -> str:
    """A file of settings for `--config`: each under its heading with what it does, open ones as comments."""
    lines = ["# Settings of `lerg-export run DATA -o BUNDLE --config FILE`."]
    for group in GROUPS:
        lines += ["", f"# {group}", f"# {'-' * len(group)}"]
        for name, setting in RUN_SETTINGS.items():
            if setting.group != group:
                continue
            lines += ["", *textwrap.wrap(setting.help, 100, initial_indent="# ", subsequent_indent="# ")]
            if setting.choices:
                lines.append(f"# One of: {', '.join(map(str, setting.choices))}.")
            value = values.get(name)
            if value is not None:
                lines.append(f"{name} = {toml_value(value)}")
            else:
                lines += [f"# If not set: {setting.unset}.", f"# {name} ="]
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """A number, a truth value, a text or a list of them as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
