"""Which columns of a table hold users, items, ratings and timestamps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lerg_edge.errors import InputError

__all__ = ["BLANKS", "ITEM", "USER", "ColumnNames", "Columns", "MissingColumn", "find_columns", "plain_name"]

BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space, which Python's ``isspace`` goes beyond."""

# In order of preference; compared in lower case with everything but letters and digits left out.
USER = ("user", "userid", "uid", "username", "reviewerid", "customer", "customerid", "visitorid", "memberid")
ITEM = (
    *("item", "itemid", "iid", "movie", "movieid", "product", "productid", "asin", "parentasin", "book"),
    *("bookid", "isbn", "track", "trackid", "song", "songid", "artist", "artistid", "business", "businessid"),
    *("location", "locationid", "venue", "venueid", "poi", "poiid", "article", "articleid", "newsid"),
    *("video", "videoid", "game", "gameid", "anime", "animeid"),
)
_LISTED, _SHOWN = 12, 40  # names of an error, and characters of a name
_RATING = ("rating", "ratings", "score", "stars", "overall")
_TIMESTAMP = ("timestamp", "ts", "time", "unixtime", "unixreviewtime", "datetime", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNames:
    """Columns named by the caller: None finds one by its usual names, "" says that there is none."""

    user: str | None = None
    item: str | None = None
    rating: str | None = None
    timestamp: str | None = None

    @property
    def any_given(self) -> bool:
        """True if the caller named at least one column, and not only some to leave out."""
        return any(name for name in (self.user, self.item, self.rating, self.timestamp))


class MissingColumn(InputError):
    """There is no column for users or for items."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions of the columns within a row; rating and timestamp may be missing."""

    user: int
    item: int
    rating: int | None
    timestamp: int | None

    def positions(self, *, rating: bool = True) -> dict[str, int]:
        """Role to position, for the columns that are there; that of the rating only if it is asked for."""
        rated = self.rating if rating else None
        roles = {"user": self.user, "item": self.item, "rating": rated, "timestamp": self.timestamp}
        return {role: position for role, position in roles.items() if position is not None}


def find_columns(header: Sequence[str], names: ColumnNames, *, path: Path | str) -> Columns:
    """Find the columns of a header, ``user_id:token`` as RecBole types them included.

    Raises:
        InputError: a named column is not there, no user or item column is found, or both are the same.
    """
    shown = [name if name.isprintable() and len(name) <= _SHOWN else repr(name[:_SHOWN]) for name in header]
    existing = ", ".join(shown[:_LISTED]) + (", ..." if len(shown) > _LISTED else "")

    def locate(role: str, name: str | None, synonyms: Sequence[str]) -> int | None:
        found = _positions(header, name, synonyms)
        if len(found) > 1:
            twice = " and ".join(repr(header[at]) for at in found[:2])
            raise InputError.naming(
                f"{{}}: columns {{}} could both be the {role}; rename one or give {{{role}_column}}",
                path,
                twice,
            )
        position = found[0] if found else None
        if position is None and name:
            wrong = MissingColumn if role in ("user", "item") else InputError
            raise wrong(f"{path}: there is no column {name!r} for the {role}; there are {existing}")
        return position

    def require(role: str, name: str | None, synonyms: Sequence[str]) -> int:
        position = locate(role, name, synonyms)
        if position is None:
            raise MissingColumn.naming(
                f"{{}}: no column ({{}}) looks like the {role}; name one with {{{role}_column}}",
                path,
                existing,
            )
        return position

    user = require("user", names.user, USER)
    item = require("item", names.item, ITEM)
    if user == item:
        raise InputError(f"{path}: column {header[user]!r} cannot be both user and item; name two columns")
    rating = locate("rating", names.rating, _RATING)
    timestamp = locate("timestamp", names.timestamp, _TIMESTAMP)
    return Columns(user, item, rating, timestamp)


def _positions(header: Sequence[str], name: str | None, synonyms: Sequence[str]) -> list[int]:
    """Where the columns called ``name`` are or, without a name, those of the first synonym there is."""
    untyped = [column.rpartition(":")[0] or column for column in header]
    if name is not None:
        return (
            next((found for columns in (header, untyped) if (found := _all(columns, name))), [])
            if name
            else []
        )
    plain = [plain_name(column) for column in untyped]
    return next((found for synonym in synonyms if (found := _all(plain, synonym))), [])


def _all(names: Sequence[str], name: str) -> list[int]:
    return [at for at, other in enumerate(names) if other == name]


def plain_name(name: str) -> str:
    """A column's name without what people write differently: case, blanks, dashes, underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
