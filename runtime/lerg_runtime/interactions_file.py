"""Files of interactions on the device, with nothing but the standard library and in little memory.

`docs/interactions-files.md` says which files there are and how they are read; an export reads them alike.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from lerg_runtime.errors import InputError
from lerg_runtime.reading._columns import ColumnNames, Columns, find_columns
from lerg_runtime.reading._layout import BLANKS, HEADERLESS, Layout, choose_layout
from lerg_runtime.reading._rows import BadRow, checked_id, line_pairs, rating_of, table_rows
from lerg_runtime.reading._text import byte_blocks, first_line, text_lines

__all__ = ["FileColumns", "InteractionsFile", "PairChunk"]

_CHUNK_PAIRS = 1 << 13
_CHUNK_CHARACTERS = 1 << 18  # of the ids of a chunk


@dataclass(frozen=True, slots=True)
class PairChunk:
    """Some pairs of raw ids and where each came from.

    Attributes:
        users, items: raw ids, as many of each.
        places: line number, or position in a sequence, of each pair.
        source: such as `new.csv, line`, to put before a place.
    """

    users: Sequence[object]
    items: Sequence[object]
    places: Sequence[int]
    source: str


@dataclass(frozen=True, slots=True)
class FileColumns:
    """How a file was read.

    Attributes:
        layout: in words, such as `table separated by commas`.
        user, item, rating: names of the columns, as the file has them or by the order of MovieLens' files;
            None for lines, and for a rating that nothing asked for.
    """

    layout: str
    user: str | None = None
    item: str | None = None
    rating: str | None = None

    def __str__(self) -> str:
        named = (("user", self.user), ("item", self.item), ("rating", self.rating))
        columns = [f"{role} from {name!r}" for role, name in named if name is not None]
        return ": ".join([self.layout, *([", ".join(columns)] if columns else [])])


class InteractionsFile:
    """The (user, item) pairs of a file, read again each time they are iterated over.

    Args:
        path: the file.
        rating_threshold: leave out rows of a table whose rating is below; None ignores ratings.
        skip_bad_rows: go on after a row that cannot be used, instead of raising.
        on_bad_row: called with one sentence for each row that is skipped.
        user_column, item_column, rating_column: names of columns that must be there.
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
        usual: ColumnNames | None = None,
    ) -> None:
        if rating_threshold is not None and not math.isfinite(rating_threshold):
            raise InputError(f"rating_threshold is {rating_threshold}; it must be a finite number")
        self.path = Path(path)
        self.bad_rows_skipped = self.below_threshold = 0
        self.columns: FileColumns | None = None
        self._threshold = rating_threshold
        self._skip = skip_bad_rows
        self._on_bad_row = on_bad_row
        self._given = ColumnNames(user=user_column, item=item_column, rating=rating_column)
        self._usual = usual or ColumnNames()

    def __iter__(self) -> Iterator[tuple[object, object]]:
        for chunk in self.chunks():
            yield from zip(chunk.users, chunk.items, strict=True)

    def chunks(self, *, usual: ColumnNames | None = None) -> Iterator[PairChunk]:
        """The pairs, some thousand at a time.

        Args:
            usual: in place of the names given before.

        Raises:
            InputError: no such file, no such columns, a bad row, or no pair in the whole file.
        """
        self.bad_rows_skipped = self.below_threshold = 0
        source = f"{self.path}, line"
        users: list[object] = []
        items: list[object] = []
        places: list[int] = []
        characters, found = 0, False
        for line, user, item in self._pairs(usual or self._usual):
            users.append(user)
            items.append(item)
            places.append(line)
            characters += len(user) + len(item)
            if len(places) >= _CHUNK_PAIRS or characters > _CHUNK_CHARACTERS:
                found = True
                yield PairChunk(users, items, places, source)
                users, items, places, characters = [], [], [], 0
        if places:
            yield PairChunk(users, items, places, source)
        elif not found and self.below_threshold:
            raise InputError(
                f"{self.path}: all {self.below_threshold} rows are rated below {self._threshold:g}; "
                "give others or a lower rating threshold"
            )
        elif not found:
            raise InputError(
                f"{self.path} has no interactions; give a table separated by commas or tabs, with columns "
                "user and item, or lines of `user item item ...`"
            )

    def described(self) -> dict[str, str | None]:
        """`columns` as an object of JSON: layout, user, item and rating; empty before the first pass."""
        return {} if self.columns is None else asdict(self.columns)

    def _pairs(self, usual: ColumnNames) -> Iterator[tuple[int, str, str]]:
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
                yield line, user, item

    def _table(
        self, lines: Iterator[str], layout: Layout, usual: ColumnNames
    ) -> Iterator[tuple[int, str, str]]:
        rows = table_rows(lines, layout, path=self.path)
        line, header = next(rows, (1, "it has no row"))
        if isinstance(header, str):
            raise InputError(f"{self.path}, line {line}: {header}; correct the first row")
        if not layout.header:
            rows = chain(((line, header),), rows)
            header = list(HEADERLESS[: len(header)])
        columns = self._columns(header, usual, layout, line)
        user_at, item_at, rating_at = columns.user, columns.item, columns.rating
        for line, fields in rows:
            try:
                if isinstance(fields, str):
                    raise BadRow(fields)
                if len(fields) != len(header):
                    raise BadRow(f"it has {len(fields)} fields and the header has {len(header)}")
                user, item = checked_id(fields[user_at]), checked_id(fields[item_at])
                keep = rating_at is None or rating_of(fields[rating_at]) >= (self._threshold or 0.0)
            except BadRow as reason:
                self._bad(line, str(reason))
                continue
            if keep:
                yield line, user, item
            else:
                self.below_threshold += 1

    def _columns(self, header: list[str], usual: ColumnNames, layout: Layout, line: int) -> Columns:
        names = [name.strip(BLANKS) for name in header]
        where = f"{self.path}, line {line}"
        if any("\ud800" <= character <= "\udfff" for name in names for character in name):
            raise InputError(f"{where}: the header is not UTF-8; convert the file")
        wanted = self._threshold is not None
        found = find_columns(names, given=self._given, usual=usual, rating=wanted, where=where)
        if isinstance(found, str):
            raise InputError(f"{where}: {found}; name the column by option")
        rating = None if found.rating is None else names[found.rating]
        self.columns = FileColumns(str(layout), names[found.user], names[found.item], rating)
        return found

    def _bad(self, line: int, reason: str) -> None:
        sentence = f"{self.path}, line {line}: {reason}"
        if not self._skip:
            raise InputError(f"{sentence}; correct it or skip bad rows")
        self.bad_rows_skipped += 1
        if self._on_bad_row is not None:
            self._on_bad_row(sentence)
