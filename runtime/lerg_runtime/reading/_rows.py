"""The rows of a file, one at a time: fields of a table, pairs of a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from os import PathLike

from lerg_runtime._limits import MAX_ID_BYTES
from lerg_runtime.errors import InputError
from lerg_runtime.reading._layout import BLANKS, Layout
from lerg_runtime.reading._text import MAX_ROW

__all__ = ["MAX_NUMBER", "NUMBER", "BadRow", "checked_id", "line_pairs", "rating_of", "table_rows"]

NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
MAX_NUMBER = 400
"""Most characters of a number."""
_MALFORMED = "its quotes are malformed"


class BadRow(Exception):
    """Why one row is not usable."""


class _Fed:
    """Lines for the csv module, which would take in any number of them to close a quote."""

    def __init__(self, lines: Iterator[str], path: str | PathLike[str]) -> None:
        self._lines = lines
        self._path = path
        self.start = 0  # the line before the row's first
        self.taken = 0  # characters of the row so far

    def __iter__(self) -> _Fed:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken += len(line)
        if self.taken > MAX_ROW:
            raise _unclosed(self._path, self.start + 1)
        return line


def table_rows(
    lines: Iterator[str], layout: Layout, *, path: str | PathLike[str]
) -> Iterator[tuple[int, list[str] | str]]:
    """The line on which each row starts with its fields, or with what is wrong; rows of blanks are left out.

    Raises:
        InputError: a quote goes over several lines and does not end well, so that rows would be lost.
    """
    if len(layout.separator) > 1:
        for number, line in enumerate(lines, start=1):
            text = line.removesuffix("\n").removesuffix("\r")
            if "\r" in text:
                yield number, "a carriage return stands alone in it"
            elif text.strip(BLANKS):
                yield number, text.split(layout.separator)
        return
    fed = _Fed(lines, path)
    if layout.quoted:
        rows = csv.reader(fed, delimiter=layout.separator, strict=True)
    else:
        rows = csv.reader(fed, delimiter=layout.separator, quoting=csv.QUOTE_NONE, strict=True)
    while True:
        fed.start, fed.taken = rows.line_num, 0
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # What a quote has swallowed cannot be counted as rows, so such a file is refused whole.
            if rows.line_num > fed.start + 1:
                raise _unclosed(path, fed.start + 1) from None
            yield fed.start + 1, f"{_MALFORMED} or its end is ({error})"
            continue
        if any(field.strip(BLANKS) for field in fields):
            yield fed.start + 1, fields


def _unclosed(path: str | PathLike[str], line: int) -> InputError:
    return InputError(
        f"{path}, line {line}: a quote that opens here is not closed as it should be; mend the file"
    )


def checked_id(text: str) -> str:
    """An id of a file, as it is written.

    Raises:
        BadRow: it is nothing but blanks, too long, or not UTF-8.
    """
    if not text.strip(BLANKS):
        raise BadRow("an id is empty")
    length = len(text)
    if not text.isascii():
        try:
            length = len(text.encode())
        except UnicodeEncodeError:
            raise BadRow("it is not UTF-8; convert the file") from None
    if length > MAX_ID_BYTES:
        raise _too_long()
    return text


def _too_long() -> BadRow:
    return BadRow(f"an id has more than {MAX_ID_BYTES} bytes; is the separator right?")


def rating_of(text: str) -> float:
    """A decimal number, blanks around it left out.

    Raises:
        BadRow: it is none.
    """
    text = text.strip(BLANKS)
    if not text:
        raise BadRow("the rating is missing")
    value = float(text) if len(text) <= MAX_NUMBER and NUMBER.fullmatch(text) else float("nan")
    if value - value != 0.0:
        shown = ascii(text if len(text) <= 40 else f"{text[:37]}...")
        kind = (
            "finite"
            if text.lower() in ("nan", "inf", "-inf", "+inf", "infinity")
            else "a number such as 1234.5"
        )
        raise BadRow(f"the rating {shown} is not {kind}")
    return value


def line_pairs(
    blocks: Iterable[bytes], *, path: str | PathLike[str]
) -> Iterator[tuple[int, str, str | None, str | None]]:
    """Lines of `user item item ...`: the line's number, the user, an item, and what is wrong if anything.

    A line may have any length: it is taken in pieces. A bad item is left out alone, a bad user with the line.

    Raises:
        InputError: a carriage return stands alone, so that users would run into each other.
    """
    number, user, bad_user, rest = 1, None, False, b""
    for block in _ended(blocks):
        data = rest + block
        cut = max(data.rfind(b" "), data.rfind(b"\t"), data.rfind(b"\n")) + 1
        # A field that is too long already can lose its end.
        rest = data[cut:][: MAX_ID_BYTES + 1]
        lines = data[:cut].replace(b"\t", b" ").split(b"\n")
        for position, line in enumerate(lines):
            if position:
                number, user, bad_user = number + 1, None, False
            if position < len(lines) - 1:
                line = line.removesuffix(b"\r")
            if b"\r" in line:
                raise InputError(
                    f"{path}, line {number}: a carriage return stands alone; convert the line ends"
                )
            for field in line.split(b" "):
                if not field or bad_user:
                    continue
                try:
                    if len(field) > MAX_ID_BYTES:
                        raise _too_long()
                    text = checked_id(field.decode("utf-8", "surrogateescape"))
                except BadRow as reason:
                    bad_user = user is None
                    yield number, user or "", None, str(reason)
                    continue
                if user is None:
                    user = text
                else:
                    yield number, user, text, None


def _ended(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks, and a line feed where the last has none."""
    last = b""
    for block in blocks:
        if block:
            last = block
            yield block
    if last and not last.endswith(b"\n"):
        yield b"\n"
