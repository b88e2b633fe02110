"""What commands print: JSON and tables on standard output, progress and notes on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import click

from lerg_runtime.bundle._files import new_file

__all__ = ["Progress", "note", "print_json", "print_table", "progress", "whole_file"]

_LOG_LINES = 10


class Progress(Protocol):
    """Tells how far a piece of work has come."""

    def __call__(self, done: int, total: int, detail: str = "") -> object: ...


def print_json(value: Any) -> None:
    """One JSON object on standard output; a float that is no number becomes null."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(value, allow_nan=False)  # what is not UTF-8 in a path is escaped
    click.echo(text)


def note(text: str) -> None:
    """A line on standard error."""
    click.echo(text, err=True)


def print_table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> None:
    """Aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        click.echo((indent + "  ".join(cells)).rstrip())


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A bar on a terminal, a few lines elsewhere; both on standard error.

    The function that it gives is called with work done, work in all, and what else to show.
    """
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    bar: Any = None

    def show(done: int, total: int, detail: str = "") -> None:
        nonlocal bar
        if bar is None:
            bar = click.progressbar(
                length=total, label=label, file=sys.stderr, item_show_func=lambda item: item
            )
            bar.__enter__()
        bar.update(done - bar.pos, detail or None)

    try:
        yield show
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)


def _lines(label: str) -> Progress:
    shown = 0

    def show(done: int, total: int, detail: str = "") -> None:
        nonlocal shown
        if done * _LOG_LINES // max(1, total) > shown or done == total:
            shown = done * _LOG_LINES // max(1, total)
            note(f"{label}: {done}/{total}{', ' + detail if detail else ''}")

    return show


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name only when the block has ended well."""
    if path.is_dir():
        raise click.UsageError(f"--output {path} is a folder; name a file")
    if not path.resolve().parent.is_dir():
        raise click.UsageError(f"--output {path}: there is no folder {path.resolve().parent}")
    with new_file(path) as handle, os.fdopen(os.dup(handle), "w", encoding="utf-8", newline="") as stream:
        yield stream
