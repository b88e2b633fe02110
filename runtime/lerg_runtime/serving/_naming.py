"""`Recommender.title` and `titles`: what items are called. They need no program and no table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerg_runtime.bundle._ids import RawId
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._resolved import index_of, unknown_id
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["title_of", "titles_of"]


def title_of(bundle: OpenBundle | PersonalBundle, item: RawId) -> str | None:
    """The title of one item.

    Raises:
        UnknownIdError: it is unknown.
    """
    index = index_of(bundle.item_ids, item, kind="item")
    return _titles(bundle, np.array([index]))[0]


def titles_of(bundle: OpenBundle | PersonalBundle, items: Sequence[RawId] | np.ndarray) -> list[str | None]:
    """The titles of several items, in their order.

    Raises:
        UnknownIdError: one is unknown.
        InputError: they are no list.
    """
    wanted, single = id_list(items, what="items")
    if single:
        raise InputError(f"the items are {items!r}; give a list, or ask title for one")
    indices = bundle.item_ids.find_many(wanted)
    if bool((indices < 0).any()):
        raise unknown_id(bundle.item_ids, wanted[int(np.argmax(indices < 0))], kind="item")
    return _titles(bundle, indices)


def _titles(bundle: OpenBundle | PersonalBundle, indices: np.ndarray) -> list[str | None]:
    found: list[str | None] = [None] * len(indices)
    if bundle.titles is not None:
        exported = np.flatnonzero(indices < len(bundle.titles))  # an added item has no title
        for place, title in zip(exported.tolist(), bundle.titles.take(indices[exported]), strict=True):
            found[place] = title
    return found
