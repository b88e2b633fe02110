"""Items that a file lists for each of its users, in memory that the budget counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np

from lerg_runtime.bundle._ids import IdMap, RawId, id_text
from lerg_runtime.errors import BudgetError
from lerg_runtime.interactions_file import InteractionsFile, PairChunk
from lerg_runtime.pairs._items import ItemIndices
from lerg_runtime.pairs._keys import PairKeys
from lerg_runtime.pairs._resolved import too_many, unknown_id

__all__ = ["ItemsByUser"]


class ItemsByUser:
    """What a file of users and items lists, looked up.

    Args:
        file: of pairs.
        ids: of the items.
        user_ids: of the users.
        asked: texts of users who are asked about; what is listed for those of them that the bundle does not
            know is kept.
        skip_unknown: leave out unknown items, and take unknown users.
        allocate: makes arrays from a shape and a dtype, so that a budget counts them.

    Raises:
        UnknownIdError: an id is unknown.
        InputError: the file cannot be read.
        BudgetError: its pairs do not fit; it has been read to its end, to say what will do.
    """

    def __init__(
        self,
        file: InteractionsFile,
        ids: IdMap,
        user_ids: IdMap,
        *,
        asked: Collection[str] = (),
        skip_unknown: bool,
        allocate: Callable[..., np.ndarray],
    ) -> None:
        self._user_ids = user_ids
        self._named = allocate((len(user_ids),), "bool")
        self._named[:] = False
        self._strangers: dict[str, list[int]] = {}
        keys, given = PairKeys(allocate), 0
        chunks = iter(file.chunks())
        try:
            for chunk in chunks:
                users, items = user_ids.find_many(chunk.users), ids.find_many(chunk.items)
                known = (users >= 0) & (items >= 0)
                if not skip_unknown and not known.all():
                    place = int(np.argmax(~known))
                    kind, among, raw = (
                        ("item", ids, chunk.items) if users[place] >= 0 else ("user", user_ids, chunk.users)
                    )
                    where = f"{chunk.source} {chunk.places[place]}: "
                    raise unknown_id(among, raw[place], kind=kind, place=where)
                self._named[users[users >= 0]] = True
                self._keep_strangers(chunk, users, items, asked)
                given += int(np.count_nonzero(known))
                keys.add(users[known].astype(np.int64) * len(ids) + items[known])
            self._users, self._items = keys.pairs(len(ids))
        except BudgetError as error:
            given += sum(len(chunk.users) for chunk in chunks)
            raise too_many(min(given, len(user_ids) * len(ids)), keys, error=error) from None

    def of(self, users: Iterable[RawId]) -> dict[RawId, ItemIndices]:
        """The items of those among these users for whom the file lists any, also where none is known."""
        found = {}
        for user in users:
            index = self._user_ids.find(user)
            if index < 0:
                listed = self._strangers.get(id_text(user) or "")
                if listed is not None:
                    found[user] = ItemIndices(np.array(listed, dtype=np.int64))
            elif self._named[index]:
                first, last = np.searchsorted(self._users, np.array([index, index + 1], dtype=np.int32))
                found[user] = ItemIndices(self._items[first:last].astype(np.int64))
        return found

    def _keep_strangers(
        self, chunk: PairChunk, users: np.ndarray, items: np.ndarray, asked: Collection[str]
    ) -> None:
        for row in np.flatnonzero(users < 0).tolist() if asked else ():
            text = id_text(chunk.users[row])
            if text is not None and text in asked:
                self._strangers.setdefault(text, []).extend([int(items[row])] if items[row] >= 0 else [])
