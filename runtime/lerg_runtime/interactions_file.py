"""Files of interactions on the device, with nothing but the standard library.

Two forms are read: a table (comma or tab separated, with a header that names the user, the item and maybe a
`rating`, by any name that an export finds by itself), and lines of `user item item ...` separated by blanks.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lerg_runtime.errors import InputError

__all__ = ["InteractionsFile", "PairChunk"]

_MAX_LINE_BYTES = 1 << 24
_CHUNK_PAIRS = 1 << 15
# In order of preference; compared in lower case with everything but letters and digits left out.
USER_COLUMNS = (
    *("user", "userid", "uid", "username", "reviewerid", "customer", "customerid", "visitorid", "memberid"),
)
ITEM_COLUMNS = (
    *("item", "itemid", "iid", "movie", "movieid", "product", "productid", "asin", "parentasin", "book"),
    *("bookid", "isbn", "track", "trackid", "song", "songid", "artist", "artistid", "business", "businessid"),
    *("location", "locationid", "venue", "venueid", "poi", "poiid", "article", "articleid", "newsid"),
    *("video", "videoid", "game", "gameid", "anime", "animeid"),
)
RATING_COLUMNS = ("rating", "ratings", "score", "stars", "overall")


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


class _BadRow(Exception):
    """Why one line is not usable."""


class InteractionsFile:
    """The (user, item) pairs of a file, read again each time they are iterated over.

    Args:
        path: the file.
        rating_threshold: leave out rows of a table whose rating is below; None ignores ratings.
        skip_bad_rows: go on after a row that cannot be used, instead of raising.
        on_bad_row: called with one sentence for each row that is skipped.

    Attributes:
        bad_rows_skipped, below_threshold: counts of the last pass.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rating_threshold: float | None = None,
        skip_bad_rows: bool = False,
        on_bad_row: Callable[[str], None] | None = None,
    ) -> None:
        if rating_threshold is not None and not math.isfinite(rating_threshold):
            raise InputError(f"rating_threshold is {rating_threshold}; it must be a finite number")
        self.path = Path(path)
        self.bad_rows_skipped = self.below_threshold = 0
        self._threshold = rating_threshold
        self._skip = skip_bad_rows
        self._on_bad_row = on_bad_row

    def __iter__(self) -> Iterator[tuple[object, object]]:
        for chunk in self.chunks():
            yield from zip(chunk.users, chunk.items, strict=True)

    def chunks(self) -> Iterator[PairChunk]:
        """The pairs, some ten thousand at a time.

        Raises:
            InputError: no such file, no such columns, a bad row, or no pair in the whole file.
        """
        self.bad_rows_skipped = self.below_threshold = 0
        source = f"{self.path}, line"
        users: list[object] = []
        items: list[object] = []
        places: list[int] = []
        found = False
        try:
            with open(self.path, "rb") as stream:
                for line, user, item in self._pairs(stream):
                    users.append(user)
                    items.append(item)
                    places.append(line)
                    if len(places) >= _CHUNK_PAIRS:
                        found = True
                        yield PairChunk(users, items, places, source)
                        users, items, places = [], [], []
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}") from None
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

    def _pairs(self, stream: BinaryIO) -> Iterator[tuple[int, str, str]]:
        lines = self._lines(stream)
        first = next(((number, text) for number, text in lines if text.strip()), None)
        if first is None:
            return
        number, header = first
        delimiter = "\t" if "\t" in header else ","
        names = [name.strip().strip('"') for name in header.rstrip("\n").split(delimiter)]
        if len(names) > 1 or any(_column(names, known) is not None for known in (USER_COLUMNS, ITEM_COLUMNS)):
            yield from self._table(names, delimiter, number, lines)
        else:
            yield from self._listed(number, header, lines)

    def _listed(
        self, number: int, first: str, lines: Iterator[tuple[int, str]]
    ) -> Iterator[tuple[int, str, str]]:
        for line, text in _chained((number, first), lines):
            fields = text.split()
            try:
                for field in fields:
                    _check_text(field)
            except _BadRow as reason:
                self._bad(line, str(reason))
                continue
            for item in fields[1:]:
                yield line, fields[0], item

    def _table(
        self, names: list[str], delimiter: str, header: int, lines: Iterator[tuple[int, str]]
    ) -> Iterator[tuple[int, str, str]]:
        user_at, item_at = _column(names, USER_COLUMNS), _column(names, ITEM_COLUMNS)
        rating_at = _column(names, RATING_COLUMNS)
        for at, wanted in ((user_at, "user"), (item_at, "item")):
            if at is None:
                shown = ", ".join(map(_shown, names[:8]))
                raise InputError(f"{self.path}, line {header}: there is no column {wanted!r} among {shown}")
        if self._threshold is not None and rating_at is None:
            raise InputError(
                f"{self.path}, line {header}: there is no column 'rating' to compare with the threshold"
            )
        rows = csv.reader((text for _, text in lines), delimiter=delimiter, strict=True)
        while True:
            start = rows.line_num
            line = header + start + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                # What a quote has swallowed cannot be counted as rows, so such a file is refused whole.
                if rows.line_num > start + 1:
                    raise InputError(
                        f"{self.path}, line {line}: a quote that opens here is not closed"
                    ) from None
                self._bad(line, f"its quotes are malformed ({error})")
                continue
            if not any(field.strip() for field in row):
                continue
            try:
                if len(row) != len(names):
                    raise _BadRow(f"it has {len(row)} fields and the header has {len(names)}")
                user, item = _check_text(row[user_at or 0]), _check_text(row[item_at or 0])
                keep = self._threshold is None or _rating(row[rating_at or 0]) >= self._threshold
            except _BadRow as reason:
                self._bad(line, str(reason))
                continue
            if keep:
                yield line, user, item
            else:
                self.below_threshold += 1

    def _lines(self, stream: BinaryIO) -> Iterator[tuple[int, str]]:
        """Numbered lines; bytes that are not UTF-8 come as lone surrogates, which `_check_text` finds."""
        number = 0
        while data := stream.readline(_MAX_LINE_BYTES + 1):
            number += 1
            if len(data) > _MAX_LINE_BYTES:
                raise InputError(f"{self.path}, line {number}: it is longer than {_MAX_LINE_BYTES} bytes")
            text = data.decode("utf-8", errors="surrogateescape")
            text = text.removesuffix("\n").removesuffix("\r") + "\n"
            yield number, text.removeprefix("\ufeff") if number == 1 else text

    def _bad(self, line: int, reason: str) -> None:
        sentence = f"{self.path}, line {line}: {reason}"
        if not self._skip:
            raise InputError(f"{sentence}; correct it or skip bad rows")
        self.bad_rows_skipped += 1
        if self._on_bad_row is not None:
            self._on_bad_row(sentence)


def _column(names: list[str], accepted: tuple[str, ...]) -> int | None:
    # RecBole writes the type behind a colon: `user_id:token`.
    plain = [re.sub(r"[^a-z0-9]", "", name.split(":")[0].lower()) for name in names]
    return next((plain.index(name) for name in accepted if name in plain), None)


def _check_text(text: str) -> str:
    if not text:
        raise _BadRow("an id is empty")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _BadRow("it is not UTF-8") from None
    return text


def _rating(text: str) -> float:
    try:
        rating = float(text)
    except ValueError:
        raise _BadRow(f"the rating {_shown(text)} is not a number") from None
    if not math.isfinite(rating):
        raise _BadRow(f"the rating {_shown(text)} is not finite")
    return rating


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


def _chained(first: tuple[int, str], rest: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest
