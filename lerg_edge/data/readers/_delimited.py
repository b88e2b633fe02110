"""CSV, TSV and their kin.

Most files are plain: polars reads those in batches on all cores. The first thing that is not plain (a
quote, a blank line, a missing value, a wrong number of fields) sends the whole file to the careful reader,
which goes by Python's csv module and knows on which line it is. So there is one judge of what a bad row is.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from lerg_edge.data.readers._columns import BLANKS, ColumnNames, find_columns
from lerg_edge.data.readers._encode import PairBuffer
from lerg_edge.data.readers._formats import HEADERLESS, FileFormat
from lerg_edge.data.readers._rows import BadRowLog, checked, reason_for, usable
from lerg_edge.data.readers._text import GZIP, MAX_ROW, WIDE_MARKS, byte_blocks, text_lines
from lerg_edge.errors import InputError

__all__ = ["read_delimited"]

_BLOCK_BYTES = 4 << 20
_LONG_LINE = 1 << 17  # the csv module takes no longer field
_PLAIN_BATCH = 500_000
_CAREFUL_BATCH = 2_000  # small: Python's garbage collector goes over all rows that are alive
_PENDING_BATCHES = 100
_Record = tuple[int, list[str] | str]  # the line, and the fields or what is wrong with them
_MALFORMED = "the quotes or the line end are malformed"


def read_delimited(
    path: Path, form: FileFormat, names: ColumnNames, *, rating_threshold: float | None, log: BadRowLog
) -> PairBuffer:
    """Read a delimited file.

    Raises:
        InputError: the file cannot be read, a column is missing, or a bad row is not to be skipped.
    """
    line, header = _header(path, form)
    columns = find_columns(header, names, path=path)
    if rating_threshold is not None and columns.rating is None:
        raise InputError(
            f"{path}: a rating threshold needs a rating column, and there are {', '.join(header)}"
        )
    roles = columns.positions(rating=rating_threshold is not None)
    skip_lines = line if form.header else 0
    buffer = None
    if _looks_plain(path, form):
        buffer = _read_plain(path, form, roles, len(header), skip_lines, rating_threshold)
    if buffer is None:
        buffer = _read_carefully(path, form, roles, len(header), rating_threshold, log)
    if form.header:
        buffer.columns = {role: header[at] for role, at in columns.positions().items()}
    return buffer


def _header(path: Path, form: FileFormat) -> tuple[int, list[str]]:
    """The line of the first row, and the columns' names: its fields, or the usual order without a header."""
    for line, fields in _records(path, form):
        if isinstance(fields, str):
            raise InputError(f"{path}: line {line}: {fields}; mend the first row")
        if not form.header:
            return line, list(HEADERLESS[: len(fields)])
        if not _is_text(fields, range(len(fields))):
            raise InputError(f"{path}: line {line}: the header is not UTF-8 text; convert the file")
        return line, [field.strip(BLANKS) for field in fields]
    raise InputError(f"{path}: the file is empty; give one with interactions")


def _looks_plain(path: Path, form: FileFormat) -> bool:
    """Whether every parser must read the file the same way: no quotes, lone carriage returns, long lines."""
    if len(form.separator) > 1:
        return False
    try:
        str(path).encode()  # polars takes no other paths
    except UnicodeEncodeError:
        return False
    with path.open("rb") as stream:
        if stream.peek(4)[:4].startswith((GZIP, *WIDE_MARKS)):
            return False
        while block := stream.read(_BLOCK_BYTES) + stream.readline(_LONG_LINE):
            ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
            if np.diff(ends, prepend=-1, append=len(block)).max() > _LONG_LINE:
                return False
            if (form.quoted and b'"' in block) or block.count(b"\r") != block.count(b"\r\n"):
                return False
    return True


def _read_plain(
    path: Path,
    form: FileFormat,
    roles: dict[str, int],
    width: int,
    skip_lines: int,
    rating_threshold: float | None,
) -> PairBuffer | None:
    """Read by polars; None as soon as something is not plain."""
    rows = pl.scan_csv(
        path,
        has_header=False,
        schema={str(position): pl.String for position in range(width)},
        separator=form.separator,
        quote_char=None,
        skip_lines=skip_lines,
        glob=False,
    )
    wanted_columns = {role: pl.col(str(position)) for role, position in roles.items()}
    # polars fills up short rows with nulls, so an empty last field may be a row with too few fields.
    wanted = rows.select(**wanted_columns, short=pl.col(str(width - 1)).is_null())
    buffer = PairBuffer.of_text()
    try:
        for batch in wanted.collect_batches(chunk_size=_PLAIN_BATCH):
            if batch["short"].any():
                return None
            usable_rows = checked(batch.drop("short"), buffer.time_column)
            if sum(usable_rows.null_count().row(0)):
                return None
            buffer.add(usable_rows, rating_threshold=rating_threshold)
    except pl.exceptions.PolarsError:
        return None
    return buffer


def _read_carefully(
    path: Path,
    form: FileFormat,
    roles: dict[str, int],
    width: int,
    rating_threshold: float | None,
    log: BadRowLog,
) -> PairBuffer:
    """Read row by row, telling apart what is wrong where."""
    buffer = PairBuffer.of_text()
    pending: list[pl.DataFrame] = []
    records = _records(path, form)
    if form.header:
        next(records, None)
    while batch := list(islice(records, _CAREFUL_BATCH)):
        # One pass for the usual case; only a batch with something wrong in it is looked at row by row.
        rows = [(line, fields) for line, fields in batch if len(fields) == width and type(fields) is list]
        bad = _misshapen(batch, width) if len(rows) < len(batch) else []
        try:
            texts = _texts(rows, roles)
        except UnicodeEncodeError:
            bad += [
                (line, "a field is not UTF-8 text")
                for line, fields in rows
                if not _is_text(fields, roles.values())
            ]
            rows = [(line, fields) for line, fields in rows if _is_text(fields, roles.values())]
            texts = _texts(rows, roles)
        numbers = checked(texts, buffer.time_column)
        good = usable(numbers)
        for index in (~good).arg_true():
            line, fields = rows[index]
            bad.append(
                (line, reason_for({role: fields[at] for role, at in roles.items()}, buffer.time_column))
            )
        for line, reason in sorted(bad):
            log.add(line, reason)
        pending.append(numbers.filter(good))
        if len(pending) == _PENDING_BATCHES:
            buffer.add(pl.concat(pending), rating_threshold=rating_threshold)
            pending = []
    if pending:
        buffer.add(pl.concat(pending), rating_threshold=rating_threshold)
    buffer.bad_rows_skipped = log.count
    return buffer


def _texts(rows: list[tuple[int, list[str]]], roles: dict[str, int]) -> pl.DataFrame:
    """The wanted fields as columns.  Raises UnicodeEncodeError if one of them is not text."""
    return pl.DataFrame(
        {role: pl.Series([fields[at] for _, fields in rows], dtype=pl.String) for role, at in roles.items()}
    )


def _misshapen(batch: list[_Record], width: int) -> list[tuple[int, str]]:
    """The lines of rows that are malformed or have another number of fields, and what is wrong."""
    wrong = []
    for line, fields in batch:
        if isinstance(fields, str):
            wrong.append((line, fields))
        elif len(fields) != width:
            plural = "" if len(fields) == 1 else "s"
            wrong.append((line, f"{len(fields)} field{plural} where {width} are expected"))
    return wrong


def _is_text(fields: list[str], positions: Iterable[int]) -> bool:
    """False if a wanted field holds bytes that were not UTF-8, which travel as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for at in positions for character in fields[at])


class _Fed:
    """Lines for the csv module, which would take in any number of them to close a quote."""

    def __init__(self, lines: Iterator[str], path: Path) -> None:
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


def _records(path: Path, form: FileFormat) -> Iterator[_Record]:
    """The line on which each row starts with its fields, or with what is wrong; rows of blanks are left out.

    Raises:
        InputError: a quoted field runs over several lines and does not end well, so that rows would be lost.
    """
    lines = text_lines(byte_blocks(path), path=path)
    if len(form.separator) > 1:
        for number, line in enumerate(lines, start=1):
            text = line.removesuffix("\n").removesuffix("\r")
            if "\r" in text:
                yield number, _MALFORMED
            elif text.strip(BLANKS):
                yield number, text.split(form.separator)
        return
    fed = _Fed(lines, path)
    if form.quoted:
        reader = csv.reader(fed, delimiter=form.separator, strict=True)
    else:
        reader = csv.reader(fed, delimiter=form.separator, quoting=csv.QUOTE_NONE, strict=True)
    while True:
        fed.start, fed.taken = reader.line_num, 0
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > fed.start + 1:
                raise _unclosed(path, fed.start + 1) from error
            yield fed.start + 1, _MALFORMED
        else:
            if any(field.strip(BLANKS) for field in fields):
                yield fed.start + 1, fields


def _unclosed(path: Path, line: int) -> InputError:
    return InputError(f"{path}: line {line}: a quote opened here is not closed as it should; mend the file")
