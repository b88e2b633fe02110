"""Settings as options of a command: click's options made from their declarations, and help by headings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from lerg_edge.errors import InputError, LergError, Speller
from lerg_exporter.exporting.config import RUN_SETTINGS
from lerg_exporter.exporting.settings import Setting

__all__ = [
    "SettingsCommand",
    "given_options",
    "heading",
    "options_for",
    "setting_options",
    "spelling",
]

# Options that had another name than their setting.
_FORMER = {"keep_user": "keep_users", "keep_item": "keep_items"}
_OTHERS = "Other"


class SettingsCommand(click.Command):
    """A command that lists its options under headings, and knows the settings that have no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name.lstrip("-").replace("-", "_")
            name = _FORMER.get(name, name)
            if name not in RUN_SETTINGS:
                raise
            raise click.UsageError(
                f"{error.option_name} is a setting and no option: write "
                f"--set {name}={_value(given, error.option_name)}, or {name} in a file for --config",
                ctx,
            ) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for parameter in sorted(options, key=lambda each: each.name == "help"):
            record = parameter.get_help_record(ctx)
            if record is not None:
                rows.setdefault(_HEADINGS.get(parameter.name or "", _OTHERS), []).append(record)
        for title, records in rows.items():
            with formatter.section(title):
                formatter.write_dl(records)


_HEADINGS: dict[str, str] = {name: setting.group for name, setting in RUN_SETTINGS.items()}


def heading(title: str, *names: str) -> None:
    """Put options that are no settings under a heading of help."""
    _HEADINGS.update(dict.fromkeys(names, title))


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each setting that has one, in the order of their declaration; all take texts."""
    return options_for([name for name, each in RUN_SETTINGS.items() if each.option])(command)


def options_for(
    names: Sequence[str], *, defaults: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for each of these settings; all take texts.

    Args:
        defaults: what help says of some that are not given, where a command has other defaults than `run`.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            command = _option(RUN_SETTINGS[name], (defaults or {}).get(name))(command)
        return command

    return add


def given_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among a command's parameters that were given."""
    return {name: value for name, value in parameters.items() if name in RUN_SETTINGS and value is not None}


@contextmanager
def spelling(speller: Speller) -> Iterator[None]:
    """Let errors name what the user wrote, where the library names arguments."""
    try:
        yield
    except LergError as error:
        if isinstance(error, InputError) and len(error.faults) > 1:
            raise InputError.of_all(InputError(each.spelt(speller)) for each in error.faults) from error
        if not error.names:
            raise
        raise type(error)(error.spelt(speller)) from error


def _option(setting: Setting, told: str | None = None) -> Callable[[Any], Any]:
    default = told or (setting.unset if setting.default in (None, 0) else str(setting.default))
    text = (
        setting.help
        if bool in setting.kinds and not setting.unset
        else f"{setting.help}  [default: {default or 0}]"
    )
    if bool in setting.kinds:
        flag = f"{setting.flag}/--no-{setting.flag[2:]}" if setting.default is None else setting.flag
        return click.option(flag, setting.name, is_flag=True, default=None, help=text)
    metavar = f"[{'|'.join(map(str, setting.choices))}]" if setting.choices else setting.metavar
    return click.option(setting.flag, setting.name, metavar=metavar, help=text)


def _value(given: list[str], option: str) -> str:
    """What was given for an option, as far as it can be told; else VALUE."""
    for place, word in enumerate(given):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and place + 1 < len(given):
            return given[place + 1]
    return "VALUE"
