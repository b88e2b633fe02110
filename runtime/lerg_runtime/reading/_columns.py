"""Which columns of a table, in a file or in memory, hold users, items and ratings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lerg_runtime.errors import InputError

__all__ = ["ColumnNames", "Columns", "find_columns", "plain_name", "shown"]

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
TIMESTAMP_COLUMNS = ("timestamp", "ts", "time", "unixtime", "unixreviewtime", "datetime", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNames:
    """Names of columns; None where there is none to go by, and "" for a timestamp that is to be left out."""

    user: str | None = None
    item: str | None = None
    rating: str | None = None
    timestamp: str | None = None

    @property
    def any_given(self) -> bool:
        """True if at least one is named."""
        return any(name for name in (self.user, self.item, self.rating, self.timestamp))


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions of the columns within a row; rating and timestamp are None where nothing asks for them.

    A table without timestamps has none to look at either.
    """

    user: int
    item: int
    rating: int | None
    timestamp: int | None = None


def find_columns(
    header: Sequence[str], *, given: ColumnNames, usual: ColumnNames, rating: bool, where: str
) -> Columns | str:
    """Where the columns of a header are, or in words which is missing.

    Args:
        header: names, `user_id:token` as RecBole types them included.
        given: names that must be there.
        usual: names that are taken where they are there, before the ones that everybody uses.
        rating: whether a rating is asked for, and when it was given; without, there is none to look for.
        where: such as `new.csv, line 1`, to begin an error with.

    Raises:
        InputError: two columns have the same name, or user and item are the same column.
    """
    user = _locate(header, given.user, usual.user, USER_COLUMNS, role="user", where=where)
    item = _locate(header, given.item, usual.item, ITEM_COLUMNS, role="item", where=where)
    for role, at, name in (("user", user, given.user), ("item", item, given.item)):
        if at is None:
            return f"there is no column {name or role!r} among {_listed(header)}"
    if user is None or item is None or user == item:
        raise InputError(
            f"{where}: {shown(header[user or 0])} cannot be both user and item; name two columns"
        )
    rated = timed = None
    if rating:
        rated = _locate(header, given.rating, usual.rating, RATING_COLUMNS, role="rating", where=where)
        if rated is None:
            raise InputError(
                f"{where}: there is no column {given.rating or 'rating'!r} to compare with the threshold "
                f"among {_listed(header)}; leave the threshold out or name the column"
            )
        if given.timestamp != "":
            timed = _locate(
                header, given.timestamp, usual.timestamp, TIMESTAMP_COLUMNS, role="timestamp", where=where
            )
            if timed is None and given.timestamp:
                raise InputError(
                    f"{where}: there is no column {given.timestamp!r} among {_listed(header)}; name another"
                )
    return Columns(user, item, rated, timed)


def _locate(
    header: Sequence[str],
    given: str | None,
    usual: str | None,
    synonyms: Sequence[str],
    *,
    role: str,
    where: str,
) -> int | None:
    untyped = [name.rpartition(":")[0] or name for name in header]
    wanted = [name for name in (given, usual) if name]
    for name in wanted:
        for names in (list(header), untyped):
            if name in names:
                return _only(names, name, header, role=role, where=where)
        if name == given:
            return None
    plain = [plain_name(name) for name in untyped]
    for synonym in synonyms:
        if synonym in plain:
            return _only(plain, synonym, header, role=role, where=where)
    return None


def _only(names: list[str], name: str, header: Sequence[str], *, role: str, where: str) -> int:
    found = [at for at, other in enumerate(names) if other == name]
    if len(found) > 1:
        twice = " and ".join(shown(header[at]) for at in found[:2])
        raise InputError(
            f"{where}: {twice} could both be the {role}; rename one, or name the column with {role}_column"
        )
    return found[0]


def plain_name(name: str) -> str:
    """A column's name without what people write differently: case, blanks, dashes, underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def shown(text: str) -> str:
    """A text of a file as an error shows it: short, and printable everywhere."""
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


def _listed(header: Sequence[str]) -> str:
    return ", ".join(map(shown, header[:8])) + (", ..." if len(header) > 8 else "")
