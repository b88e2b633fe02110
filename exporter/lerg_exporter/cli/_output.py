"""What commands print: JSON and tables on standard output, progress and notes on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lerg_exporter.bundles.summary import Rows
from lerg_exporter.exporting.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

__all__ = ["inode_of", "print_json", "print_table", "progress"]

_SECONDS_BETWEEN_LINES = 5.0


def inode_of(output: Path) -> int:
    """What tells whether a bundle has been put there; 0 without one."""
    return output.stat().st_ino if (output / "manifest.json").exists() else 0


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(value, allow_nan=False)  # what is not UTF-8 in a path is escaped
    click.echo(text)


def print_table(rows: Rows) -> None:
    """Aligned columns under a title row, the first to the left, the others to the right."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        line = "  ".join(cells).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)
    click.echo()


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """Bars on a terminal, lines elsewhere, nothing at all when asked to be quiet."""
    if quiet:
        yield Silent()
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)


class _Lines:
    """A line when a stage begins, and now and then how far it is."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last = 0.0
        self._title = ""

    def stage(self, title: str) -> None:
        self._title, self._last = title, time.monotonic()
        self._say(title)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        now = time.monotonic()
        if done < total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        self._say(f"{self._title}: {done}/{total}{', ' + detail if detail else ''}")

    def note(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        click.echo(f"[{time.monotonic() - self._began:6.1f} s] {text}", err=True)


class _Bars:
    """A bar for each stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: Any = None

    def stage(self, title: str) -> None:
        self._finish()
        self._task = self._bars.add_task(title, total=None, detail="")

    def advance(self, done: int, total: int, detail: str = "") -> None:
        self._bars.update(self._task, completed=done, total=total, detail=detail)

    def note(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, total=1, completed=1)
