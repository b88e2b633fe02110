"""Which form a file has, by its name and its first line. The device has the same in its own package."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lerg_edge.data.readers._columns import (
    BLANKS,
    ITEM,
    USER,
    ColumnNames,
    MissingColumn,
    find_columns,
    plain_name,
)
from lerg_edge.data.readers._text import byte_blocks, first_line
from lerg_edge.errors import InputError

__all__ = ["BLANKS", "HEADERLESS", "FileFormat", "file_format"]

_OTHER_TEXTS = ('{"', "[{", "<html", "<!doctype", "<?xml")
HEADERLESS = ("user", "item", "rating", "timestamp")
"""The order of MovieLens' files."""

_SEPARATORS = (",", "\t", ";", "|", "::")
_SPOKEN = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "::": "double colons"}
# By extension: the separator to try first, and whether fields may stand in double quotes.
_TABLES = {".csv": (",", True), ".tsv": ("\t", True), ".inter": ("\t", False)}
_BARE = {".data": "\t", ".base": "\t", ".test": "\t", ".dat": "::"}
_KNOWN = (".txt", ".csv", ".tsv", ".inter", ".data", ".dat", ".parquet")
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


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How the rows of a file are written.

    Attributes:
        layout: "lines" (``user item item ...``), "delimited" or "parquet".
        separator: between the fields of a delimited file.
        header: whether a delimited file's first row names its columns.
        quoted: whether a delimited file's fields may stand in double quotes.
        line: of the first row, from 1.
    """

    layout: Literal["lines", "delimited", "parquet"]
    separator: str = ","
    header: bool = True
    quoted: bool = False
    line: int = 1

    def __str__(self) -> str:
        if self.layout == "lines":
            return "lines of user item item ..."
        if self.layout == "parquet":
            return "Parquet"
        return f"table separated by {_SPOKEN[self.separator]}" + ("" if self.header else ", without a header")


def file_format(path: Path, names: ColumnNames, *, threshold: bool) -> FileFormat:
    """The form of the file at ``path``.

    Args:
        names: columns that the caller names.
        threshold: whether ratings are asked for.

    Raises:
        InputError: the file is not there, is of a kind that is not read, is empty, or lacks a column.
    """
    if not os.path.exists(path):  # unlike Path.exists, false for every path that cannot be looked at
        raise InputError(f"{path}: there is no such file or folder; check the path")
    packed = path.suffix.lower() == ".gz"
    extension = (path.with_suffix("") if packed else path).suffix.lower()
    if extension in FOREIGN or (packed and extension == ".parquet"):
        known = ", ".join(_KNOWN)
        raise InputError(f"{path}: unknown kind of file; use one of {known} (all but .parquet also with .gz)")
    if extension == ".parquet":
        return FileFormat("parquet")
    number, first, _ = first_line(byte_blocks(path))
    if not first.strip(BLANKS):
        raise InputError(f"{path}: the file is empty and holds no interactions; give one that has some")
    return _by_first_line(extension, first, names, threshold=threshold, path=path, number=number)


def _by_first_line(
    extension: str, first: str, names: ColumnNames, *, threshold: bool, path: Path, number: int
) -> FileFormat:
    own, quoted = _TABLES.get(extension, (_BARE.get(extension, ","), extension not in _BARE))
    where = f"{path}: line {number}"
    if first.lstrip(BLANKS).lower().startswith(_OTHER_TEXTS):
        raise InputError(f"{where}: looks like JSON or a page; give a table or lines of 'user item item ...'")
    if len(first) > 7 and "\0" * (len(first) // 2) in (first[::2], first[1::2]):
        raise InputError(
            f"{where}: every other byte is NUL, as in UTF-16 without its mark; convert the file to UTF-8"
        )
    missing, most = InputError(""), 0
    for separator in dict.fromkeys((own, *_SEPARATORS)):
        header = list(_split(first, separator, quoted=quoted))
        try:
            find_columns(header, names, path=path)
        except MissingColumn as error:
            if len(header) > most:
                missing, most = error, len(header)
        else:
            return FileFormat("delimited", separator, quoted=quoted and len(separator) == 1, line=number)
    if extension in _BARE:
        for separator in dict.fromkeys((own, "\t", "::", ",")):
            if 2 <= len(first.split(separator)) <= len(HEADERLESS):
                return FileFormat("delimited", separator, header=False, line=number)
        raise InputError(
            f"{where}: {len(first.split(own))} fields, where files of this kind have 2 to 4 (user, item,"
            f" rating, timestamp) with {own!r} between them; or use a .csv with a header"
        )
    if extension in _TABLES:
        if any("\ud800" <= character <= "\udfff" for character in first):
            raise InputError(f"{where}: the header is not UTF-8 text; convert the file")
        raise missing
    if names.any_given or threshold:
        raise InputError(
            f"{path}: lines of the form 'user item item ...' have neither columns nor ratings; leave the"
            " column names and the rating threshold out"
        )
    _check_lines(first, where=where)
    return FileFormat("lines", line=number)


def _check_lines(first: str, *, where: str) -> None:
    """Refuse what would make pairs of something else."""
    tokens = first[:4096].replace("\t", " ").split()[:2]
    if len(tokens) > 1 and plain_name(tokens[0]) in USER and plain_name(tokens[1]) in ITEM:
        raise InputError(
            f"{where}: blanks separate what looks like a header; separate columns by commas or tabs"
        )


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
