"""Files of item features: a table with a header, or MovieLens' `movies.dat`, which has genres."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lerg_edge.data.features import FeatureColumn, FeatureKind, ItemFeatures
from lerg_edge.data.interactions import IdMap
from lerg_edge.data.readers._columns import ITEM, plain_name
from lerg_edge.data.readers._memory import called, column_of, is_in_memory, names_of
from lerg_edge.data.readers._text import byte_blocks
from lerg_edge.errors import InputError

__all__ = ["read_features"]

_SEPARATORS = ",;\t"
_MANY = "|"
_MOST_COLUMNS = 64
_MOST_NAME_BYTES = _MOST_VALUE_BYTES = 256  # UTF-8
_MOST_WIDTH = 2_048  # numbers of a vector
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# What may stand behind the name of a column: RecBole's words, and those of this project. A sequence of
# RecBole's is separated by blanks.
_TYPES: dict[str, tuple[FeatureKind, str | None]] = {
    "token": ("category", _MANY),
    "token_seq": ("category", None),
    "category": ("category", _MANY),
    "float": ("number", None),
    "number": ("number", None),
    "float_seq": ("vector", None),
    "vector": ("vector", None),
}


@dataclass(slots=True)
class _Raw:
    """A column as the file has it: where each item's field stands, and what it is."""

    name: str
    kind: FeatureKind | None
    between: str | None
    fields: dict[int, tuple[int, str]] = field(default_factory=dict)  # by item index: line and text


def read_features(source: Any, ids: IdMap) -> ItemFeatures:
    """Read what is known of items.

    Args:
        source: a table with a header, UTF-8, also with gzip: CSV, TSV, RecBole's `.item`; or `movies.dat`,
            whose genres become the column `genres`. Behind the name of a column may stand what it is:
            `year:number`, `genres:category` (values separated by `|`), `text:vector` (numbers separated by
            blanks), or RecBole's `token`, `token_seq` (separated by blanks), `float`, `float_seq`. Without
            that a column of numbers alone is a number, one of equally many numbers a row a vector, and any
            other a category. Or a table in memory with such columns.
        ids: of the items, by index.

    Raises:
        InputError: the file cannot be read, lacks the items' column or any other, names an item twice, holds
            a field that is none of its kind, or has no item that is there.
    """
    in_memory = is_in_memory(source)
    where, unit = called(source), "row" if in_memory else "line"
    header, rows = _table_in_memory(source) if in_memory else _table(Path(source))
    at, raws = _columns(header, where)
    places = {str(raw): index for index, raw in enumerate(ids)}
    known = np.zeros(len(ids), dtype=bool)
    unknown = count = 0
    for line, row in rows:
        count += 1
        if len(row) != len(header):
            raise InputError(
                f"{where}: {unit} {line}: the row has {len(row)} fields and the header {len(header)}; mend it"
            )
        raw = row[at].strip()
        index = places.get(raw)
        if index is None:
            unknown += 1
            continue
        if known[index]:
            raise InputError(f"{where}: {unit} {line}: item {raw!r} is there before; keep one of its rows")
        known[index] = True
        for place, column in raws.items():
            text = row[place].strip()
            if text:
                column.fields[index] = (line, text)
    if not known.any():
        raise InputError(
            f"{where}: of its {count:,} rows none is of an item of the data; are the ids the same?"
        )
    columns = tuple(_column(raw, len(ids), where, unit) for raw in raws.values() if raw.fields)
    if not columns:
        raise InputError(f"{where}: every feature of the items of the data is empty; fill one in")
    return ItemFeatures(columns, known, unknown)


def _columns(header: Sequence[str], where: str) -> tuple[int, dict[int, _Raw]]:
    """Where the items' ids are, and the features by place."""
    split = [_name_and_type(column.strip()) for column in header]
    plain = [plain_name(name) for name, _ in split]
    synonym = next((word for word in (*ITEM, "id") if word in plain), None)
    if synonym is None or plain.count(synonym) > 1:
        there = ", ".join(repr(name[:40]) for name, _ in split[:12]) or "none"
        fault = "no column looks like" if synonym is None else "several columns could be"
        raise InputError(f"{where}: {fault} the items' ids; name one 'item' (there are {there})")
    at = plain.index(synonym)
    raws: dict[int, _Raw] = {}
    for place, (name, kind) in enumerate(split):
        if place == at:
            continue
        if not name or "=" in name or _CONTROL.search(name) or len(name.encode()) > _MOST_NAME_BYTES:
            raise InputError(
                f"{where}: column {place + 1} is called {name[:40]!r}; give it a name of at most "
                f"{_MOST_NAME_BYTES} bytes without '='"
            )
        if name in (raw.name for raw in raws.values()):
            raise InputError(f"{where}: two columns are called {name!r}; rename one")
        raws[place] = _Raw(name, *(_TYPES[kind] if kind else (None, _MANY)))
    if not 0 < len(raws) <= _MOST_COLUMNS:
        raise InputError(
            f"{where}: there are {len(raws)} columns beside the items' ids; 1 to {_MOST_COLUMNS} may be"
        )
    return at, raws


def _name_and_type(column: str) -> tuple[str, str]:
    name, colon, kind = column.rpartition(":")
    return (name.strip(), kind) if colon and kind in _TYPES else (column, "")


def _column(raw: _Raw, items: int, where: str, unit: str) -> FeatureColumn:
    texts = [text for _, text in raw.fields.values()]
    kind = raw.kind or _inferred(texts)
    if kind == "category":
        values: list[tuple[str, ...]] = [()] * items
        for index, (line, text) in raw.fields.items():
            parts = dict.fromkeys(part.strip() for part in text.split(raw.between))
            values[index] = tuple(part for part in parts if part)
            for part in values[index]:
                if _CONTROL.search(part) or len(part.encode()) > _MOST_VALUE_BYTES:
                    raise InputError(
                        f"{where}: {unit} {line}: a value of {raw.name!r} has more than {_MOST_VALUE_BYTES} "
                        "bytes or a control character; shorten it"
                    )
        return FeatureColumn(raw.name, kind, texts=tuple(values))
    width = 1 if kind == "number" else len(_split(texts[0]))
    if width > _MOST_WIDTH:
        raise InputError(
            f"{where}: the vectors of {raw.name!r} have {width:,} numbers; {_MOST_WIDTH:,} may be"
        )
    numbers = np.full((items, width), np.nan)
    for index, (line, text) in raw.fields.items():

        def refuse(fault: str, line: int = line) -> NoReturn:
            raise InputError(f"{where}: {unit} {line}: {raw.name!r} {fault}; mend the row")

        found = _numbers(text)
        if found is None:
            refuse(f"is {text[:40]!r}, which is no {kind}")
        if len(found) != width:
            refuse(f"has {len(found)} numbers and {width} are expected")
        numbers[index] = found
    return FeatureColumn(raw.name, kind, numbers=numbers)


def _inferred(texts: Sequence[str]) -> FeatureKind:
    found = [_numbers(text) for text in texts]
    widths = {None if numbers is None else len(numbers) for numbers in found}
    if len(widths) > 1 or None in widths:
        return "category"
    return "number" if widths == {1} else "vector"


def _split(text: str) -> list[str]:
    return text.strip("[]").replace(",", " ").split()


def _numbers(text: str) -> list[float] | None:
    """The finite numbers of a field, None if it holds anything else."""
    try:
        found = [float(part) for part in _split(text)]
    except ValueError:
        return None
    return found if found and all(map(math.isfinite, found)) else None


_Rows = Iterator[tuple[int, list[str]]]


def _table(path: Path) -> tuple[list[str], _Rows]:
    data = b"".join(byte_blocks(path))
    dat = path.name.lower().removesuffix(".gz").endswith(".dat")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        if not dat:
            raise InputError(f"{path}: is not UTF-8 text; convert the file") from None
        text = data.decode("latin-1")
    if dat:
        return ["item", "genres:category"], _dat_rows(path, text)
    first = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=first.count), strict=True
    )

    def guarded(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except csv.Error as error:
            raise InputError(f"{path}: line {reader.line_num}: {error}; mend the row") from error

    def rows() -> _Rows:
        while (row := guarded(lambda: next(reader, None))) is not None:
            if row:
                yield reader.line_num, row

    return guarded(lambda: next(reader, [])), rows()


def _dat_rows(path: Path, text: str) -> _Rows:
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            fields = row.split("::")
            if len(fields) != 3:
                raise InputError(f"{path}: line {line}: each row is id::title::genres; mend it")
            yield line, [fields[0], fields[2].rstrip("\r")]


def _table_in_memory(source: Any) -> tuple[list[str], _Rows]:
    where, names = called(source), names_of(source)
    if names is None:
        raise InputError(f"{where} holds no item features; give a file or a table with a column item")
    columns = [_listed(source, name, where) for name in names]
    if len({len(column) for column in columns}) > 1:
        raise InputError(f"{where} has columns of several lengths; give one value per row each")
    rows = zip(*columns, strict=True)
    return [str(name) for name in names], ((at, [_shown(v) for v in row]) for at, row in enumerate(rows, 1))


def _listed(source: Any, name: Any, where: str) -> list[Any]:
    """The values of a column; a list may hold lists, which are several values or a vector."""
    column = source[name] if isinstance(source, Mapping) else None
    if isinstance(column, (list, tuple)):
        return list(column)
    return column_of(source, name, source=where).to_list()


def _shown(value: Any) -> str:
    """A value as a file would have it: lists of texts and of numbers as one field."""
    if isinstance(value, (list, tuple, np.ndarray)) or hasattr(value, "to_list"):
        parts = list(value)
        return (_MANY if any(isinstance(part, str) for part in parts) else " ").join(map(str, parts))
    return "" if value is None or value != value else str(value)
