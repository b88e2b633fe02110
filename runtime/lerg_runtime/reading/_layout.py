"""What a file's name and first line say about its rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath

from lerg_runtime.errors import InputError
from lerg_runtime.reading._columns import (
    ITEM_COLUMNS,
    USER_COLUMNS,
    ColumnNames,
    find_columns,
    plain_name,
)
from lerg_runtime.reading._text import READ_HERE

__all__ = ["BLANKS", "Layout", "choose_layout"]

BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space."""

FOREIGN = (
    *(
        ".xlsx",
        ".xls",
        ".ods",
        ".zip",
        ".7z",
        ".tar",
        ".tgz",
        ".bz2",
        ".xz",
        ".zst",
        ".json",
        ".jsonl",
        ".ndjson",
    ),
    *(
        ".npz",
        ".npy",
        ".pkl",
        ".pickle",
        ".pt",
        ".h5",
        ".hdf5",
        ".mat",
        ".feather",
        ".arrow",
        ".orc",
        ".avro",
    ),
    *(".db", ".sqlite", ".html", ".xml", ".pdf"),
)
_OTHER_TEXTS = ('{"', "[{", "<html", "<!doctype", "<?xml")
HEADERLESS = ("user", "item", "rating", "timestamp")
_SEPARATORS = (",", "\t", ";", "|", "::")
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "::": "double colons"}
# By extension: the separator to try first, and whether fields may stand in double quotes.
_TABLES = {".csv": (",", True), ".tsv": ("\t", True), ".inter": ("\t", False)}
_BARE = {".data": "\t", ".base": "\t", ".test": "\t", ".dat": "::"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows are written.

    Attributes:
        separator: between the fields of a table; empty for lines of `user item item ...`.
        header: whether a table's first row names its columns.
        quoted: whether a table's fields may stand in double quotes.
    """

    separator: str = ""
    header: bool = False
    quoted: bool = False

    def __str__(self) -> str:
        if not self.separator:
            return "lines of user item item ..."
        return f"table separated by {_NAMES[self.separator]}" + ("" if self.header else ", without a header")


def choose_layout(
    path: str | PathLike[str],
    first: str,
    *,
    given: ColumnNames,
    usual: ColumnNames,
    threshold: bool,
    where: str,
) -> Layout:
    """The layout of a file whose first line that is not blank is `first`.

    Args:
        path: its extension decides where it is one of the known; a final `.gz` counts for nothing.
        given, usual: names of columns.
        threshold: whether ratings are asked for.
        where: file and line, to begin an error with.

    Raises:
        InputError: it is none that is read.
    """
    extension = _extension(path)
    if extension in FOREIGN or extension == ".parquet":
        raise InputError(f"{path}: a file with this name is not read here; {READ_HERE}")
    own, quoted = _TABLES.get(extension, (_BARE.get(extension, ","), extension not in _BARE))
    if first.lstrip(BLANKS).lower().startswith(_OTHER_TEXTS):
        raise InputError(f"{where}: looks like JSON or a page; give a table or lines of `user item item ...`")
    if len(first) > 7 and "\0" * (len(first) // 2) in (first[::2], first[1::2]):
        raise InputError(
            f"{where}: every other byte is NUL, as in UTF-16 without its mark; convert the file to UTF-8"
        )
    missing, most = "", 0
    for separator in dict.fromkeys((own, *_SEPARATORS)):
        header = list(_split(first, separator, quoted=quoted))
        found = find_columns(header, given=given, usual=usual, rating=False, where=where)
        if not isinstance(found, str):
            return Layout(separator, header=True, quoted=quoted and len(separator) == 1)
        if len(header) > most:
            missing, most = found, len(header)
    if extension in _BARE:
        for separator in dict.fromkeys((own, "\t", "::", ",")):
            if 2 <= len(first.split(separator)) <= len(HEADERLESS):
                return Layout(separator)
        raise InputError(
            f"{where}: {len(first.split(own))} fields, where files of this kind have 2 to 4 (user, item, "
            f"rating, timestamp) with {own!r} between them; or use a .csv with a header"
        )
    if extension in _TABLES:
        if any("\ud800" <= character <= "\udfff" for character in first):
            raise InputError(f"{where}: the header is not UTF-8; convert the file")
        raise InputError(f"{where}: {missing}; the first row must name the columns, or name them by option")
    if given.any_given or threshold:
        raise InputError(
            f"{where}: lines of the form 'user item item ...' have neither columns nor ratings; leave the "
            f"column names and the rating threshold out ({missing})"
        )
    _check_lines(first, where=where)
    return Layout()


def _check_lines(first: str, *, where: str) -> None:
    """Refuse what would make pairs of something else."""
    tokens = first[:4096].replace("\t", " ").split()[:2]
    if len(tokens) > 1 and plain_name(tokens[0]) in USER_COLUMNS and plain_name(tokens[1]) in ITEM_COLUMNS:
        raise InputError(
            f"{where}: blanks separate what looks like a header; separate columns by commas or tabs"
        )


def _extension(path: str | PathLike[str]) -> str:
    name = fspath(path).rpartition("/")[2].lower().removesuffix(".gz")
    stem, dot, extension = name.rpartition(".")
    return f".{extension}" if dot and stem else ""


def _split(line: str, separator: str, *, quoted: bool) -> Iterator[str]:
    """The names of a header, as far as its first line has them."""
    if len(separator) > 1 or not quoted:
        fields = line.split(separator)
    else:
        try:
            fields = next(csv.reader([line], delimiter=separator), [])
        except csv.Error:
            fields = line.split(separator)
    return (field.strip(BLANKS) for field in fields)
