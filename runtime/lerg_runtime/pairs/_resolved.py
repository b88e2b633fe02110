"""Pairs of raw ids, from a file or a caller, as sorted unique pairs of indices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._ids import IdMap, RawId
from lerg_runtime.errors import BudgetError, InputError, UnknownIdError
from lerg_runtime.interactions_file import InteractionsFile, PairChunk
from lerg_runtime.pairs._given import pair_blocks
from lerg_runtime.pairs._keys import PairKeys
from lerg_runtime.pairs._verdicts import last_words
from lerg_runtime.reading._columns import ColumnNames
from lerg_runtime.sizes import format_size

__all__ = [
    "OnUnknown",
    "OnUnknownUser",
    "Pairs",
    "ResolvedPairs",
    "check_on_unknown",
    "index_of",
    "resolve_pairs",
    "too_many",
    "unknown_id",
]

OnUnknown = Literal["raise", "skip"]
OnUnknownUser = Literal["raise", "skip", "popular"]
Pairs = InteractionsFile | Iterable[tuple[RawId, RawId]] | np.ndarray | Mapping[str, Any]
"""Also a pandas or polars frame or an Arrow table, read by the names of its columns."""

Allocate = Callable[..., np.ndarray]

_NO_NAMES = ColumnNames()


def _nothing() -> np.ndarray:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class ResolvedPairs:
    """Interactions by index.

    Attributes:
        users, items: int32 [n], sorted by (user, item), unique.
        rows: pairs that were given.
        duplicates: given more than once.
        unknown: left out because the user or the item is unknown.
        below_threshold: rows of a file that are rated too low; not among `rows`.
        low_users, low_items: int32 [m], sorted by (user, item), unique: known pairs that are rated too low in
            their latest row, none of them among the others.
        low_unknown: rows rated too low, with an unknown id.
    """

    users: np.ndarray
    items: np.ndarray
    rows: int
    duplicates: int
    unknown: int
    below_threshold: int = 0
    low_users: np.ndarray = field(default_factory=_nothing)
    low_items: np.ndarray = field(default_factory=_nothing)
    low_unknown: int = 0

    def __len__(self) -> int:
        return len(self.users)


def resolve_pairs(
    pairs: Pairs,
    entities: Entities,
    *,
    on_unknown: OnUnknown,
    usual: ColumnNames = _NO_NAMES,
    allocate: Allocate = np.empty,
    low_will_do: bool = False,
) -> ResolvedPairs:
    """Look up every pair.

    Where a file's rows rate one pair below and above its threshold, the latest row decides, and without
    timestamps the last. Rows rated too low are left out whatever their ids.

    Args:
        pairs: (user, item) raw ids, a table of them with named columns, or a file.
        entities: the ids that there are.
        on_unknown: `skip` leaves out pairs with an unknown id.
        usual: names of a table's columns to prefer.
        allocate: makes the arrays, so that a budget counts them: 8 bytes a distinct pair, and about 24 while
            they are collected.
        low_will_do: take a file in which all known pairs are rated too low.

    Raises:
        UnknownIdError: a user or an item is unknown and `on_unknown` is `raise`.
        InputError: something is not a pair, there is none, or none is known.
        BudgetError: the distinct pairs do not fit.
    """
    check_on_unknown(on_unknown)
    width = len(entities.item_ids)
    rows = unknown = low_unknown = given = 0
    collected, low = PairKeys(allocate), None

    def key_of(chunk: PairChunk) -> np.ndarray:
        users = entities.user_ids.find_many(chunk.users)
        items = entities.item_ids.find_many(chunk.items)
        return np.where((users >= 0) & (items >= 0), users.astype(np.int64) * width + items, -1)

    chunks = iter(pairs.chunks(usual=usual) if isinstance(pairs, InteractionsFile) else _chunks(pairs, usual))
    for chunk in chunks:
        keys = key_of(chunk)
        known = keys >= 0
        liked = np.ones(len(keys), dtype=bool) if chunk.liked is None else np.array(chunk.liked, dtype=bool)
        if on_unknown == "raise" and not known[liked].all():
            raise _unknown_in(chunk, int(np.argmax(liked & ~known)), entities)
        given += int(known.sum())
        rows += int(liked.sum())
        unknown += int((liked & ~known).sum())
        low_unknown += int((~liked & ~known).sum())
        try:
            collected.add(keys[liked & known])
            if chunk.liked is not None and not liked.all():
                low = low or PairKeys(allocate)
                low.add(keys[~liked & known])
        except BudgetError as error:
            if not isinstance(pairs, InteractionsFile):
                raise
            given += sum(len(chunk.users) for chunk in chunks)
            most = min(given, len(entities.user_ids) * width)
            raise too_many(most, collected, low, error=error) from None
    below = pairs.below_threshold if isinstance(pairs, InteractionsFile) else 0
    low_users, low_items = _nothing(), _nothing()
    if isinstance(pairs, InteractionsFile) and low is not None:
        disputed = collected.shared(low)
        if len(disputed):
            are_low, are_high = last_words(pairs, disputed, key_of, usual=usual, allocate=allocate)
            collected.discard(disputed[~are_high])
            low.discard(disputed[~are_low])
        low_users, low_items = low.pairs(width)
    if not (low_will_do and len(low_users)):
        _check_some(pairs, rows=rows, unknown=unknown)
    try:
        resolved_users, resolved_items = collected.pairs(width)
    except BudgetError as error:
        raise too_many(given, collected, low, error=error) from None
    return ResolvedPairs(
        users=resolved_users,
        items=resolved_items,
        rows=rows,
        duplicates=rows - unknown - len(resolved_users),
        unknown=unknown,
        below_threshold=below,
        low_users=low_users,
        low_items=low_items,
        low_unknown=low_unknown,
    )


def _check_some(pairs: object, *, rows: int, unknown: int) -> None:
    if rows == 0 and isinstance(pairs, InteractionsFile):
        raise pairs.all_below()
    if rows == 0:
        raise InputError("there are no interactions; give at least one (user, item) pair")
    if rows == unknown:
        raise InputError(f"none of the {rows} interactions has a user and an item that this bundle knows")


def _unknown_in(chunk: PairChunk, at: int, entities: Entities) -> UnknownIdError:
    user, item = chunk.users[at], chunk.items[at]
    user_unknown = int(entities.user_ids.find_many([user])[0]) < 0
    return unknown_id(
        entities.user_ids if user_unknown else entities.item_ids,
        user if user_unknown else item,
        kind="user" if user_unknown else "item",
        place=f"{chunk.source} {chunk.places[at]}: ",
        advice="pass on_unknown='skip' to leave out pairs with an unknown id",
    )


def too_many(most: int, *collected: PairKeys | None, error: BudgetError) -> BudgetError:
    """The error for a file whose pairs do not fit; it has been read to its end, to say what will do."""
    held = [keys for keys in collected if keys is not None]
    beside = error.needed_bytes - sum(keys.nbytes for keys in held) - max(keys.refused for keys in held)
    reading = PairKeys.most_bytes(most)
    needed = beside + reading
    return BudgetError(
        f"reading these interactions needs at most {needed} bytes and the memory budget is "
        f"{error.budget_bytes}: in memory already {beside}, {most} interactions while they are read "
        f"{reading}; give at least {needed} bytes ({format_size(needed)}), or fewer interactions at a time",
        items=(("in memory already", beside), ("interactions while they are read", reading)),
        needed_bytes=needed,
        budget_bytes=error.budget_bytes,
    )


def index_of(ids: IdMap, raw: object, *, kind: str) -> int:
    """Index of one raw id.

    Raises:
        UnknownIdError: it is not there.
    """
    raw = raw.item() if isinstance(raw, np.ndarray) and raw.ndim == 0 else raw
    index = ids.find(raw)
    if index < 0:
        raise unknown_id(ids, raw, kind=kind)
    return index


def unknown_id(ids: IdMap, raw: object, *, kind: str, place: str = "", advice: str = "") -> UnknownIdError:
    """The error for an id that is not among `ids`.

    Args:
        kind: `user` or `item`.
        place: where it stands, to begin with.
        advice: what to do about it.
    """
    plain = raw.item() if isinstance(raw, np.generic) else raw
    shown = repr(plain)
    example = repr(ids[0]) if len(ids) else "none"
    typed = isinstance(plain, (str, int)) and not isinstance(plain, bool)
    return UnknownIdError(
        f"{place}there is no {kind} {shown if len(shown) <= 80 else shown[:77] + '...'} in this bundle; "
        f"it knows {len(ids)} {kind}s, such as {example}"
        + ("" if typed else f", and ids are texts or integers, never a {type(plain).__name__}"),
        advice=advice,
    )


def check_on_unknown(value: str, *, popular: bool = False) -> None:
    """Raise InputError unless `value` is `raise` or `skip`, or `popular` where that makes sense."""
    if value not in ("raise", "skip", *(["popular"] if popular else [])):
        choices = "'raise', 'skip' or 'popular'" if popular else "'raise' or 'skip'"
        raise InputError(f"on_unknown is {value!r}; it must be {choices}")


def _chunks(pairs: object, usual: ColumnNames) -> Iterator[PairChunk]:
    position = 1
    for users, items in pair_blocks(pairs, usual=usual):
        yield PairChunk(users, items, range(position, position + len(users)), "interaction")
        position += len(users)
