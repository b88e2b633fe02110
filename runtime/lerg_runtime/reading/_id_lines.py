"""Files with one id a line, such as a list of what is out of stock."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

from lerg_runtime.errors import InputError
from lerg_runtime.reading._columns import ITEM_COLUMNS, plain_name
from lerg_runtime.reading._layout import BLANKS
from lerg_runtime.reading._text import byte_blocks, text_lines

__all__ = ["id_lines"]


def id_lines(path: str | PathLike[str]) -> Iterator[tuple[int, str]]:
    """Line number and id, blanks around it left out; blank lines have none.

    A first line that is a usual name of a column of items, such as `item`, is a header.

    Raises:
        InputError: it cannot be read, or a line is not UTF-8.
    """
    first = True
    for number, line in enumerate(text_lines(byte_blocks(path), path=path), start=1):
        text = line.strip(BLANKS)
        if not text:
            continue
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError(f"{path}, line {number}: the id is not UTF-8; convert the file")
        if not (first and plain_name(text) in ITEM_COLUMNS):
            yield number, text
        first = False
