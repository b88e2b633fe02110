"""Files of interactions on the device, with nothing but the standard library and in little memory.

`docs/interactions-files.md` says which files there are and how they are read; an export reads them alike.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from pathlib import Path

from lerg_runtime.errors import InputError
from lerg_runtime.reading._columns import ColumnNames, Columns, find_columns
from lerg_runtime.reading._layout import BLANKS, HEADERLESS, Layout, choose_layout
from lerg_runtime.reading._rows import BadRow, checked_id, line_pairs, rating_of, table_rows
from lerg_runtime.reading._text import byte_blocks, first_line, text_lines

__all__ = ["FileColumns", "InteractionsFile", "PairChunk"]

_CHUNK_PAIRS = 1 << 9
_CHUNK_CHARACTERS = 1 << 18  # of the ids of a chunk
_Row = tuple[int, str, str, bool, str | None]  # line, user, item, whether liked, timestamp as written


@dataclass(frozen=True, slots=True)
class PairChunk:
    """Some pairs of raw ids and where each came from.

    Attributes:
        users, items: raw ids, as many of each.
        places: line number, or position in a sequence, of each pair.
        source: such as `new.csv, line`, to put before a place.
        liked: which of them are rated at least the threshold; None without one.
        times: when each was rated, as the table has it; None where it says nothing.
    """

    users: Sequence[object]
    items: Sequence[object]
    places: Sequence[int]
    source: str
    liked: Sequence[bool] | None = None
    times: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class FileColumns:
    """How a file was read.

    Attributes:
        layout: in words, such as `table separated by commas`.
        user, item, rating, timestamp: names of the columns, as the file has them or by the order of
            MovieLens' files; None for lines, and for what nothing asked for.
    """

    layout: str
    user: str | None = None
    item: str | None = None
    rating: str | None = None
    timestamp: str | None = None

    def __str__(self) -> str:
        roles = ("user", "item", "rating", "timestamp")
        named = ((role, getattr(self, role)) for role in roles)
        columns = [f"{role} from {name!r}" for role, name in named if name is not None]
        return ": ".join([self.layout, *([", ".join(columns)] if columns else [])])


class InteractionsFile:
    """The (user, item) pairs of a file, read again each time they are iterated over.

    Args:
        path: the file.
        rating_threshold: rows of a table whose rating is below are no positives; None ignores ratings.
        skip_bad_rows: go on after a row that cannot be used, instead of raising.
        on_bad_row: called with one sentence for each row that is skipped.
        user_column, item_column, rating_column, timestamp_column: names of columns that must be there;
            `timestamp_column=""` leaves timestamps out, which tell the last of a pair's ratings.
        usual: names of columns that are preferred where they are there, such as those of a bundle's export.

    Attributes:
        bad_rows_skipped, below_threshold: counts of the last pass.
        columns: how the file was read in the last pass; None before it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rating_threshold: float | None = None,
        skip_bad_rows: bool = False,
        on_bad_row: Callable[[str], None] | None = None,
        user_column: str | None = None,
        item_column: str | None = None,
        rating_column: str | None = None,
        timestamp_column: str | None = None,
        usual: ColumnNames | None = None,
    ) -> None:
        if rating_threshold is not None and not math.isfinite(rating_threshold):
            raise InputError(f"rating_threshold is {rating_threshold}; it must be a finite number")
        self.path = Path(path)
        self.bad_rows_skipped = self.below_threshold = 0
        self.columns: FileColumns | None = None
        self._threshold = rating_threshold
        self._skip = skip_bad_rows
        self._quiet = False
        self._on_bad_row = on_bad_row
        self._given = ColumnNames(
            user=user_column, item=item_column, rating=rating_column, timestamp=timestamp_column
        )
        self._usual = usual or ColumnNames()

    def __iter__(self) -> Iterator[tuple[object, object]]:
        found = False
        for chunk in self.chunks():
            for user, item, liked in zip(
                chunk.users, chunk.items, chunk.liked or repeat(True, len(chunk.users)), strict=True
            ):
                if liked:
                    found = True
                    yield user, item
        if not found:
            raise self.all_below()

    def chunks(self, *, usual: ColumnNames | None = None, quiet: bool = False) -> Iterator[PairChunk]:
        """The pairs, some thousand at a time, those rated below the threshold among them.

        Args:
            usual: in place of the names given before.
            quiet: a further pass, in which `on_bad_row` is not called.

        Raises:
            InputError: no such file, no such columns, a bad row, or no pair in the whole file.
        """
        self.bad_rows_skipped = self.below_threshold = 0
        self._quiet = quiet
        rows: list[_Row] = []
        characters, found = 0, False
        for row in self._pairs(usual or self._usual):
            rows.append(row)
            characters += len(row[1]) + len(row[2]) + len(row[4] or "")
            if len(rows) >= _CHUNK_PAIRS or characters > _CHUNK_CHARACTERS:
                found = True
                yield self._chunk(rows)
                rows, characters = [], 0
        if rows:
            yield self._chunk(rows)
        elif not found:
            raise InputError(
                f"{self.path} has no interactions; give a table separated by commas or tabs, with columns "
                "user and item, or lines of `user item item ...`"
            )

    def all_below(self) -> InputError:
        """The error for a file in which nothing is rated well enough."""
        return InputError(
            f"{self.path}: all {self.below_threshold} rows are rated below {self._threshold:g}; "
            "give others or a lower rating threshold"
        )

    @property
    def repeatable(self) -> bool:
        """Whether it can be read a second time, as a pipe cannot."""
        return self.path.is_file()

    def _chunk(self, rows: list[_Row]) -> PairChunk:
        places, users, items, liked, times = zip(*rows, strict=True)
        rated = self._threshold is not None
        timed = self.columns is not None and self.columns.timestamp is not None
        return PairChunk(
            users, items, places, f"{self.path}, line", liked if rated else None, times if timed else None
        )

    def described(self) -> dict[str, str | None]:
        """`columns` as an object of JSON: layout, user, item and rating; empty before the first pass."""
        return {} if self.columns is None else asdict(self.columns)

    def _pairs(self, usual: ColumnNames) -> Iterator[_Row]:
        blocks = byte_blocks(self.path)
        number, first, read = first_line(blocks)
        if not first.strip(BLANKS):
            return
        layout = choose_layout(
            self.path,
            first,
            given=self._given,
            usual=usual,
            threshold=self._threshold is not None,
            where=f"{self.path}, line {number}",
        )
        blocks = chain((read,), blocks)
        if layout.separator:
            yield from self._table(text_lines(blocks, path=self.path), layout, usual)
            return
        self.columns = FileColumns(str(layout))
        for line, user, item, wrong in line_pairs(blocks, path=self.path):
            if item is None:
                self._bad(line, wrong or "")
            else:
                yield line, user, item, True, None

    def _table(self, lines: Iterator[str], layout: Layout, usual: ColumnNames) -> Iterator[_Row]:
        rows = table_rows(lines, layout, path=self.path)
        line, header = next(rows, (1, "it has no row"))
        if isinstance(header, str):
            raise InputError(f"{self.path}, line {line}: {header}; correct the first row")
        if not layout.header:
            rows = chain(((line, header),), rows)
            header = list(HEADERLESS[: len(header)])
        columns = self._columns(header, usual, layout, line)
        user_at, item_at, rating_at, time_at = columns.user, columns.item, columns.rating, columns.timestamp
        for line, fields in rows:
            try:
                if isinstance(fields, str):
                    raise BadRow(fields)
                if len(fields) != len(header):
                    raise BadRow(f"it has {len(fields)} fields and the header has {len(header)}")
                user, item = checked_id(fields[user_at]), checked_id(fields[item_at])
                liked = rating_at is None or rating_of(fields[rating_at]) >= (self._threshold or 0.0)
            except BadRow as reason:
                self._bad(line, str(reason))
                continue
            self.below_threshold += not liked
            yield line, user, item, liked, None if time_at is None else fields[time_at]

    def _columns(self, header: list[str], usual: ColumnNames, layout: Layout, line: int) -> Columns:
        names = [name.strip(BLANKS) for name in header]
        where = f"{self.path}, line {line}"
        if any("\ud800" <= character <= "\udfff" for name in names for character in name):
            raise InputError(f"{where}: the header is not UTF-8; convert the file")
        wanted = self._threshold is not None
        found = find_columns(names, given=self._given, usual=usual, rating=wanted, where=where)
        if isinstance(found, str):
            raise InputError(f"{where}: {found}; name the column by option")
        rating, timestamp = (None if at is None else names[at] for at in (found.rating, found.timestamp))
        self.columns = FileColumns(str(layout), names[found.user], names[found.item], rating, timestamp)
        return found

    def bad_row(self, line: int, reason: str, *, remedy: str = "correct it or skip bad rows") -> None:
        """Count a row that cannot be used, or end the reading.

        Raises:
            InputError: bad rows are not to be skipped.
        """
        sentence = f"{self.path}, line {line}: {reason}"
        if not self._skip:
            raise InputError(f"{sentence}; {remedy}")
        self.bad_rows_skipped += 1
        if self._on_bad_row is not None:
            self._on_bad_row(sentence)

    def _bad(self, line: int, reason: str) -> None:
        if self._quiet:
            self.bad_rows_skipped += 1
        else:
            self.bad_row(line, reason)
