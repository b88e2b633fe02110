"""Pairs of raw ids, from a file or a caller, as sorted unique pairs of indices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from lerg_runtime.bundle._ids import IdMap, RawId
from lerg_runtime.bundle._reader import Entities
from lerg_runtime.errors import InputError, UnknownIdError
from lerg_runtime.interactions_file import InteractionsFile, PairChunk

__all__ = [
    "OnUnknown",
    "Pairs",
    "ResolvedPairs",
    "check_on_unknown",
    "index_of",
    "resolve_pairs",
    "unknown_id",
]

OnUnknown = Literal["raise", "skip"]
Pairs = InteractionsFile | Iterable[tuple[RawId, RawId]]

_CHUNK_PAIRS = 1 << 15


@dataclass(frozen=True, slots=True)
class ResolvedPairs:
    """Interactions by index.

    Attributes:
        users, items: int32 [n], sorted by (user, item), unique.
        rows: pairs that were given.
        duplicates: given more than once.
        unknown: left out because the user or the item is unknown.
        below_threshold: rows of a file that were left out because of their rating; not among `rows`.
    """

    users: np.ndarray
    items: np.ndarray
    rows: int
    duplicates: int
    unknown: int
    below_threshold: int = 0

    def __len__(self) -> int:
        return len(self.users)


def resolve_pairs(pairs: Pairs, entities: Entities, *, on_unknown: OnUnknown) -> ResolvedPairs:
    """Look up every pair.

    Args:
        pairs: (user, item) raw ids, or a file of them.
        entities: the ids that there are.
        on_unknown: `skip` leaves out pairs with an unknown id.

    Raises:
        UnknownIdError: a user or an item is unknown and `on_unknown` is `raise`.
        InputError: something is not a pair, there is none, or none is known.
    """
    check_on_unknown(on_unknown)
    width = len(entities.item_ids)
    rows = unknown = 0
    keys: list[np.ndarray] = []
    chunks = pairs.chunks() if isinstance(pairs, InteractionsFile) else _chunks(pairs)
    for chunk in chunks:
        users = entities.user_ids.find_many(chunk.users)
        items = entities.item_ids.find_many(chunk.items)
        known = (users >= 0) & (items >= 0)
        if on_unknown == "raise" and not known.all():
            at = int(np.argmin(known))
            user_unknown = users[at] < 0
            raise unknown_id(
                entities.user_ids if user_unknown else entities.item_ids,
                chunk.users[at] if user_unknown else chunk.items[at],
                kind="user" if user_unknown else "item",
                place=f"{chunk.source} {chunk.places[at]}: ",
            )
        keys.append(users[known].astype(np.int64) * width + items[known])
        rows += len(known)
        unknown += int(len(known) - known.sum())
    if rows == 0:
        raise InputError("there are no interactions; give at least one (user, item) pair")
    if rows == unknown:
        raise InputError(f"none of the {rows} interactions has a user and an item that this bundle knows")
    unique = np.unique(np.concatenate(keys))
    return ResolvedPairs(
        users=(unique // width).astype(np.int32),
        items=(unique % width).astype(np.int32),
        rows=rows,
        duplicates=rows - unknown - len(unique),
        unknown=unknown,
        below_threshold=pairs.below_threshold if isinstance(pairs, InteractionsFile) else 0,
    )


def index_of(ids: IdMap, raw: object, *, kind: str) -> int:
    """Index of one raw id.

    Raises:
        UnknownIdError: it is not there.
    """
    index = ids.find(raw)
    if index < 0:
        raise unknown_id(ids, raw, kind=kind)
    return index


def unknown_id(ids: IdMap, raw: object, *, kind: str, place: str = "") -> UnknownIdError:
    """The error for an id that is not among `ids`."""
    shown = repr(raw)
    example = repr(ids.take(np.array([0])).tolist()[0]) if len(ids) else "none"
    return UnknownIdError(
        f"{place}there is no {kind} {shown if len(shown) <= 80 else shown[:77] + '...'} in this bundle; "
        f"it knows {len(ids)} {kind}s, such as {example}"
    )


def check_on_unknown(value: str) -> None:
    """Raise InputError unless `value` is `raise` or `skip`."""
    if value not in ("raise", "skip"):
        raise InputError(f"on_unknown is {value!r}; it must be 'raise' or 'skip'")


def _chunks(pairs: Iterable[tuple[RawId, RawId]]) -> Iterator[PairChunk]:
    if isinstance(pairs, (str, bytes)):
        raise InputError("interactions are (user, item) pairs; for a file pass InteractionsFile(path)")
    try:
        iterator = iter(pairs)
    except TypeError:
        raise InputError(f"interactions are (user, item) pairs, not {type(pairs).__name__}") from None
    position = 0
    while block := list(islice(iterator, _CHUNK_PAIRS)):
        chunk = PairChunk([], [], [], "interaction")
        for pair in block:
            position += 1
            try:
                user, item = pair if not isinstance(pair, str) else ()
            except (TypeError, ValueError):
                raise InputError(
                    f"interaction {position} is {str(pair)[:60]!r}; give (user, item) pairs"
                ) from None
            chunk.users.append(user)
            chunk.items.append(item)
            chunk.places.append(position)
        yield chunk
