"""Which form a file has, by its name, and how to open it."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from lerg_edge.errors import InputError

__all__ = ["FileFormat", "byte_lines", "file_format"]


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How the rows of a file are written.

    Attributes:
        layout: "lines" (``user item item ...``), "delimited" or "parquet".
        separator: between the fields of a delimited file.
        header: whether a delimited file's first row names its columns.
        quoted: whether a delimited file's fields may stand in double quotes.
    """

    layout: Literal["lines", "delimited", "parquet"]
    separator: str = ","
    header: bool = True
    quoted: bool = False


_FORMATS = {
    ".txt": FileFormat("lines"),
    ".csv": FileFormat("delimited", quoted=True),
    ".tsv": FileFormat("delimited", separator="\t", quoted=True),
    ".inter": FileFormat("delimited", separator="\t"),  # RecBole: the header is user_id:token, ...
    ".data": FileFormat("delimited", separator="\t", header=False),  # MovieLens 100K: u.data
    ".dat": FileFormat("delimited", separator="::", header=False),  # MovieLens 1M and 10M: ratings.dat
    ".parquet": FileFormat("parquet"),
}


def file_format(path: Path) -> FileFormat:
    """The form of the file at ``path``, told by its extension, a final ``.gz`` set aside.

    Raises:
        InputError: the file is not there or the extension is unknown.
    """
    if not os.path.exists(path):  # unlike Path.exists, false for every path that cannot be looked at
        raise InputError(f"{path}: there is no such file or folder; check the path")
    compressed = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if compressed else path).suffix.lower()
    found = _FORMATS.get(suffix)
    if found is None or (compressed and found.layout == "parquet"):
        known = ", ".join(_FORMATS)
        raise InputError(f"{path}: unknown kind of file; use one of {known} (all but .parquet also with .gz)")
    return found


def byte_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, ends included, decompressing ``.gz``; a byte-order mark is left out.

    Raises:
        InputError: the file cannot be opened or read, or its compressed data is damaged.
    """
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            first = stream.readline()
            if first:
                yield first.removeprefix(codecs.BOM_UTF8)
            yield from cast(BinaryIO, stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the compressed data is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
