"""Files of titles: a table with a header, or MovieLens' `u.item` and `movies.dat`, which have none."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lerg_edge.data.interactions import IdMap
from lerg_edge.data.readers._columns import ITEM, plain_name
from lerg_edge.data.readers._memory import called, column_of, is_in_memory, names_of
from lerg_edge.data.readers._text import byte_blocks
from lerg_edge.data.titles import ItemTitles
from lerg_edge.errors import InputError

__all__ = ["read_titles"]

_TITLE = (
    *("title", "itemtitle", "movietitle", "producttitle", "booktitle", "tracktitle", "songtitle"),
    *("name", "itemname", "moviename", "productname", "trackname", "songname", "artistname", "label"),
)
_MOST_BYTES = 1024  # of a title in a bundle, UTF-8
_SEPARATORS = ",;\t"

# What is not to be shown: blanks of all kinds and control characters become one blank, and marks that turn
# the direction of the text around them go.
_BLANKS = re.compile("[\\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")

_Row = tuple[int, str, str]
"""A line, an item's id and its title."""


def read_titles(source: Any, ids: IdMap) -> ItemTitles:
    """Read the titles of items.

    Args:
        source: `movies.dat` (`id::title::...`), `u.item` (`id|title|...`), or a table with a header: CSV,
            TSV, RecBole's `.item`; also with gzip. The columns are found by their usual names. The first two
            are UTF-8 or Latin-1, the others UTF-8. Or a table in memory with such columns, or a mapping from
            id to title.
        ids: of the items, by index.

    Raises:
        InputError: the file cannot be read, lacks a column, names an item twice with different titles, has
            a title of more than 1,024 bytes, or none of an item that is there.
    """
    in_memory = is_in_memory(source)
    path = called(source)
    unit = "row" if in_memory else "line"
    texts: list[str | None] = [None] * len(ids)
    places = {str(raw): index for index, raw in enumerate(ids)}
    unknown = rows = 0
    for line, raw, title in _rows_in_memory(source) if in_memory else _rows(Path(source)):
        rows += 1
        shown = _BLANKS.sub(" ", _TURNS.sub("", title)).strip()
        index = places.get(raw)
        if index is None:
            unknown += 1
            continue
        if len(shown.encode()) > _MOST_BYTES:
            raise InputError(
                f"{path}: {unit} {line}: the title of {raw!r} has more than {_MOST_BYTES:,} bytes; shorten it"
            )
        if texts[index] not in (None, shown):
            raise InputError(
                f"{path}: {unit} {line}: item {raw!r} has another title before; keep one of them"
            )
        texts[index] = shown or None
    found = ItemTitles(tuple(texts), unknown)
    if not found.titled:
        raise InputError(
            f"{path}: of its {rows:,} rows none has the title of an item of the data; are the ids the same?"
        )
    return found


def _rows_in_memory(source: Any) -> Iterator[_Row]:
    where, names = called(source), names_of(source)
    if names is None:
        raise InputError(
            f"{where} holds no titles; give a file, a table with columns item and title, or a mapping"
        )
    ids: Sequence[Any]
    titles: Sequence[Any]
    if isinstance(source, Mapping) and all(isinstance(title, str | None) for title in source.values()):
        ids, titles = names, list(source.values())
    else:
        header = [str(name) for name in names]
        plain = [plain_name(column) for column in header]
        item = _position(where, header, plain, (*ITEM, "id"), what="items' ids")
        title = _position(where, header, plain, _TITLE, what="titles")
        ids, titles = (column_of(source, names[at], source=where).to_list() for at in (item, title))
    for row, (raw, text) in enumerate(zip(ids, titles, strict=True), start=1):
        yield row, str(raw), "" if text is None else str(text)


def _rows(path: Path) -> Iterator[_Row]:
    name = path.name.lower().removesuffix(".gz")
    data = b"".join(byte_blocks(path))
    bare = name == "u.item" or name.endswith(".dat")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        if not bare:
            raise InputError(f"{path}: is not UTF-8 text; convert the file") from None
        text = data.decode("latin-1")
    if bare:
        yield from _bare_rows(path, text, "|" if name == "u.item" else "::")
    else:
        yield from _table_rows(path, text)


def _bare_rows(path: Path, text: str, separator: str) -> Iterator[_Row]:
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            fields = row.split(separator)
            if len(fields) < 2:
                raise InputError(f"{path}: line {line}: there is no {separator!r}; each row is id and title")
            yield line, fields[0].strip(), fields[1]


def _table_rows(path: Path, text: str) -> Iterator[_Row]:
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next(reader, [])
        plain = [plain_name(column.rpartition(":")[0] or column) for column in header]
        item = _position(path, header, plain, (*ITEM, "id"), what="items' ids")
        title = _position(path, header, plain, _TITLE, what="titles")
        for row in reader:
            if row:
                if len(row) <= max(item, title):
                    raise InputError(f"{path}: line {reader.line_num}: the row has {len(row)} fields")
                yield reader.line_num, row[item].strip(), row[title]
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}; mend the row") from error


def _position(
    path: Path | str, header: Sequence[str], plain: Sequence[str], synonyms: Sequence[str], *, what: str
) -> int:
    """Where the column is that is called by the first synonym there is."""
    for synonym in synonyms:
        if plain.count(synonym) > 1:
            raise InputError(f"{path}: several columns could be the {what}; rename all but one")
        if synonym in plain:
            return plain.index(synonym)
    there = ", ".join(repr(name[:40]) for name in header[:12]) or "none"
    raise InputError(f"{path}: no column looks like the {what}; name one {synonyms[0]!r} (there are {there})")
