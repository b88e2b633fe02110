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

import polars as pl

from lerg_edge.errors import InputError
from lerg_edge.readers._columns import ColumnNames, Columns, find_columns
from lerg_edge.readers._encode import PairBuffer
from lerg_edge.readers._formats import FileFormat, byte_lines
from lerg_edge.readers._rows import BadRowLog, checked, reason_for, usable

__all__ = ["read_delimited"]

_BLOCK_BYTES = 4 << 20
_PLAIN_BATCH = 500_000
_CAREFUL_BATCH = 2_000  # small: Python's garbage collector goes over all rows that are alive
_PENDING_BATCHES = 100
_HEADERLESS = ("user", "item", "rating", "timestamp")  # the order of MovieLens' files
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
    skip_lines = line if form.header else 0
    if _looks_plain(path, form):
        buffer = _read_plain(path, form, columns, len(header), skip_lines, rating_threshold)
        if buffer is not None:
            return buffer
    return _read_carefully(path, form, columns, len(header), rating_threshold, log)


def _header(path: Path, form: FileFormat) -> tuple[int, list[str]]:
    """The line of the first row, and the columns' names: its fields, or the usual order without a header."""
    for line, fields in _records(path, form):
        if isinstance(fields, str):
            raise InputError(f"{path}: line {line}: {fields}; mend the first row")
        if form.header:
            if not _is_text(fields, range(len(fields))):
                raise InputError(f"{path}: line {line}: the header is not UTF-8 text; convert the file")
            return line, [field.strip() for field in fields]
        if not 2 <= len(fields) <= len(_HEADERLESS):
            raise InputError(
                f"{path}: line {line}: {len(fields)} fields, where files of this kind have 2 to 4 (user,"
                f" item, rating, timestamp) with {form.separator!r} between them; or use a .csv with a header"
            )
        return line, list(_HEADERLESS[: len(fields)])
    raise InputError(f"{path}: the file is empty; give one with interactions")


def _looks_plain(path: Path, form: FileFormat) -> bool:
    """Whether every parser must read the file the same way: no quotes, no lone carriage returns."""
    if len(form.separator) > 1 or path.suffix.lower() == ".gz":
        return False
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES) + stream.readline():
            if (form.quoted and b'"' in block) or block.count(b"\r") != block.count(b"\r\n"):
                return False
    return True


def _read_plain(
    path: Path,
    form: FileFormat,
    columns: Columns,
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
    roles = {role: pl.col(str(position)) for role, position in columns.positions().items()}
    # polars fills up short rows with nulls, so an empty last field may be a row with too few fields.
    wanted = rows.select(**roles, short=pl.col(str(width - 1)).is_null())
    buffer = PairBuffer.of_text()
    try:
        for batch in wanted.collect_batches(chunk_size=_PLAIN_BATCH):
            if batch["short"].any():
                return None
            usable_rows = checked(batch.drop("short"))
            if sum(usable_rows.null_count().row(0)):
                return None
            buffer.add(usable_rows, rating_threshold=rating_threshold)
    except pl.exceptions.PolarsError:
        return None
    return buffer


def _read_carefully(
    path: Path,
    form: FileFormat,
    columns: Columns,
    width: int,
    rating_threshold: float | None,
    log: BadRowLog,
) -> PairBuffer:
    """Read row by row, telling apart what is wrong where."""
    roles = columns.positions()
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
        numbers = checked(texts)
        good = usable(numbers)
        for index in (~good).arg_true():
            line, fields = rows[index]
            bad.append((line, reason_for({role: fields[at] for role, at in roles.items()})))
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


def _records(path: Path, form: FileFormat) -> Iterator[_Record]:
    """The line on which each row starts with its fields, or with what is wrong; blank lines are left out.

    Raises:
        InputError: a quoted field runs over several lines and does not end well, so that rows would be lost.
    """
    lines = (line.decode("utf-8", "surrogateescape") for line in byte_lines(path))
    if len(form.separator) > 1:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line.rstrip("\r\n").split(form.separator)
        return
    if form.quoted:
        reader = csv.reader(lines, delimiter=form.separator, strict=True)
    else:
        reader = csv.reader(lines, delimiter=form.separator, quoting=csv.QUOTE_NONE, strict=True)
    start = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > start:
                raise InputError(
                    f"{path}: line {start}: a quote opened here is not closed as it should; mend the file"
                ) from error
            yield start, _MALFORMED
        else:
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield start, fields
        start = reader.line_num + 1
