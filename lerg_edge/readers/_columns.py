"""Which columns of a table hold users, items, ratings and timestamps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lerg_edge.errors import InputError

__all__ = ["ColumnNames", "Columns", "find_columns"]

# In order of preference; compared in lower case with everything but letters and digits left out.
_USER = ("user", "userid", "uid", "username", "reviewerid", "customer", "customerid", "visitorid", "memberid")
_ITEM = (
    *("item", "itemid", "iid", "movie", "movieid", "product", "productid", "asin", "parentasin", "book"),
    *("bookid", "isbn", "track", "trackid", "song", "songid", "artist", "artistid", "business", "businessid"),
    *("location", "locationid", "venue", "venueid", "poi", "poiid", "article", "articleid", "newsid"),
    *("video", "videoid", "game", "gameid", "anime", "animeid"),
)
_RATING = ("rating", "ratings", "score", "stars", "overall")
_TIMESTAMP = ("timestamp", "ts", "time", "unixtime", "unixreviewtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNames:
    """Columns named by the caller: None finds one by its usual names, "" says that there is none."""

    user: str | None = None
    item: str | None = None
    rating: str | None = None
    timestamp: str | None = None

    @property
    def any_given(self) -> bool:
        """True if the caller named at least one column."""
        return any(name is not None for name in (self.user, self.item, self.rating, self.timestamp))


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions of the columns within a row; rating and timestamp may be missing."""

    user: int
    item: int
    rating: int | None
    timestamp: int | None

    def positions(self) -> dict[str, int]:
        """Role to position, for the columns that are there."""
        roles = {"user": self.user, "item": self.item, "rating": self.rating, "timestamp": self.timestamp}
        return {role: position for role, position in roles.items() if position is not None}


def find_columns(header: Sequence[str], names: ColumnNames, *, path: Path) -> Columns:
    """Find the columns of a header, ``user_id:token`` as RecBole types them included.

    Raises:
        InputError: a named column is not there, no user or item column is found, or both are the same.
    """
    existing = ", ".join(header)

    def locate(role: str, name: str | None, synonyms: Sequence[str]) -> int | None:
        position = _position(header, name, synonyms)
        if position is None and name:
            raise InputError(f"{path}: there is no column {name!r} for the {role}; there are {existing}")
        return position

    def require(role: str, name: str | None, synonyms: Sequence[str]) -> int:
        position = locate(role, name, synonyms)
        if position is None:
            raise InputError(
                f"{path}: no column ({existing}) looks like the {role}; name one with {role}_column"
            )
        return position

    user = require("user", names.user, _USER)
    item = require("item", names.item, _ITEM)
    if user == item:
        raise InputError(f"{path}: column {header[user]!r} cannot be both user and item; name two columns")
    rating = locate("rating", names.rating, _RATING)
    timestamp = locate("timestamp", names.timestamp, _TIMESTAMP)
    return Columns(user, item, rating, timestamp)


def _position(header: Sequence[str], name: str | None, synonyms: Sequence[str]) -> int | None:
    """Where the column called ``name`` is or, without a name, the first synonym's."""
    untyped = [column.rpartition(":")[0] or column for column in header]
    if name is not None:
        for columns in (header, untyped):
            if name in columns:
                return list(columns).index(name)
        return None
    plain = [re.sub(r"[^a-z0-9]", "", column.lower()) for column in untyped]
    return next((plain.index(synonym) for synonym in synonyms if synonym in plain), None)
