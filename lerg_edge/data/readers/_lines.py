"""The ``user item item ...`` form: a line a user, fields separated by spaces or tabs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from lerg_edge.data.readers._encode import PairBuffer
from lerg_edge.data.readers._rows import MAX_ID_BYTES, BadRowLog, id_problem
from lerg_edge.data.readers._text import byte_blocks
from lerg_edge.errors import InputError

__all__ = ["read_lines"]

_BATCH = 500_000


def read_lines(path: Path, *, log: BadRowLog) -> PairBuffer:
    """Read a file of user lines; a user alone on a line is known and has no interactions.

    A bad item is left out alone, a bad user with the line.

    Raises:
        InputError: the file cannot be read, a carriage return stands alone, or an id cannot be used and bad
            rows are not to be skipped.
    """
    buffer = PairBuffer.of_text()
    users: list[str] = []
    items: list[str] = []
    alone: list[str] = []
    last = 0, ""
    for number, user, item, wrong in _pairs(path):
        if wrong is not None:
            log.add(number, wrong)
        elif item is None:
            last = number, user
            alone.append(user)
        else:
            if alone and last == (number, user):
                alone.pop()
                last = 0, ""
            users.append(user)
            items.append(item)
            if len(items) >= _BATCH:
                buffer.add(_frame(users, items))
                users, items = [], []
    buffer.add(_frame(users, items))
    buffer.users.add(pl.Series(alone, dtype=pl.String), keep=np.zeros(len(alone), dtype=np.bool_))
    buffer.bad_rows_skipped = log.count
    return buffer


def _pairs(path: Path) -> Iterator[tuple[int, str, str | None, str | None]]:
    """The line's number, the user, an item (None when the user is met), and what is wrong if anything."""
    number, user, bad_user, rest = 1, None, False, b""
    for block in _ended(byte_blocks(path)):
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
                    f"{path}: line {number}: a carriage return stands alone; convert the line ends"
                )
            for field in line.split(b" "):
                if not field or bad_user:
                    continue
                text = field.decode("utf-8", "surrogateescape")
                wrong = id_problem(text, role="user" if user is None else "item", size=len(field))
                if wrong is not None:
                    bad_user = user is None
                    yield number, user or "", None, wrong
                elif user is None:
                    user = text
                    yield number, user, None, None
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


def _frame(users: list[str], items: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"user": pl.Series(users, dtype=pl.String), "item": pl.Series(items, dtype=pl.String)}
    )
