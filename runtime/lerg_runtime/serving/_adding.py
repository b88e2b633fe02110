"""`Recommender.add_item`: an item that nobody had touched at export, by its features or its first users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lerg_runtime._limits import MAX_FIRST_USERS, MAX_ID_BYTES
from lerg_runtime.bundle._added import AddedItems
from lerg_runtime.bundle._ids import IntegerIds, RawId, id_text
from lerg_runtime.bundle._titles import NOT_SHOWN
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._items import Given
from lerg_runtime.pairs._resolved import OnUnknown, check_on_unknown, unknown_id
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle
from lerg_runtime.serving._recommend import user_indices

__all__ = ["add_item", "added_items", "remove_item"]

_MOST_BOOST = 100


def add_item(
    bundle: OpenBundle | PersonalBundle,
    item: RawId,
    *,
    features: Mapping[str, Any] | None,
    users: Given | None,
    boost: float,
    on_unknown: OnUnknown,
) -> None:
    """Give a new item a row; see `Recommender.add_item`.

    Raises:
        UnknownIdError: a user is unknown.
        InputError: the item is the bundle's own, or neither features nor users will do.
        BudgetError: it does not fit.
    """
    check_on_unknown(on_unknown)
    raw = _new_id(bundle, item)
    if (features is None) == (users is None):
        raise InputError("give the features of the new item or the users who have touched it, one of the two")
    if not _is_boost(boost):
        raise InputError(f"boost is {boost!r}; it must be a number above 0 and up to {_MOST_BOOST}")
    touched = np.empty(0, dtype=np.int64)
    if features is not None:
        if not isinstance(features, Mapping):
            raise InputError(
                f"the features are a {type(features).__name__}; give a mapping such as "
                "{'genres': ['Drama']}"
            )
        made = bundle.folder.read_features(allocate=bundle.empty)
        row = made.row(features, skip_unknown=on_unknown == "skip")
        del made
    elif isinstance(bundle, PersonalBundle):
        raise InputError("a personal bundle knows no users; give the features of the new item")
    else:
        row, touched = _row_of_users(bundle, users, on_unknown=on_unknown)
    row = row * np.float32(boost)
    bundle.change_added(lambda before: AddedItems.with_item(before, raw, row, touched, allocate=bundle.empty))


def _is_boost(value: object) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and 0 < float(value) <= _MOST_BOOST  # type: ignore[arg-type]


def remove_item(bundle: OpenBundle | PersonalBundle, item: RawId) -> None:
    """Take an added item out again.

    Raises:
        UnknownIdError: no item of this id was added here.
    """

    def change(before: AddedItems | None) -> AddedItems | None:
        place = -1 if before is None else before.ids.find(item)
        if before is None or place < 0:
            base = bundle.exported_ids("skip")
            if base.find(item) >= 0:
                raise InputError(f"item {item!r} is the bundle's own; exclude it from what is recommended")
            raise unknown_id(base, item, kind="added item")
        return before.without(place, allocate=bundle.empty)

    bundle.change_added(change)


def added_items(bundle: OpenBundle | PersonalBundle) -> list[RawId]:
    """Raw ids of the items that were added here, in that order."""
    added = bundle.catalogue()[1]
    return [] if added is None else list(added.ids)


def _new_id(bundle: OpenBundle | PersonalBundle, item: RawId) -> RawId:
    """An id as the bundle would have it: an integer where all of its items' are, else a text."""
    ids, text = bundle.exported_ids("skip"), id_text(item)
    if text is None or not text:
        raise InputError(f"the new item's id is {item!r}; ids are texts or integers")
    if ids.find(item) >= 0:
        raise InputError(f"item {item!r} is in this bundle already; it has a row")
    if isinstance(ids, IntegerIds):
        try:
            value = int(text)
        except ValueError:
            value = 2**63
        if str(value) != text or not -(2**63) <= value < 2**63:
            raise InputError(
                f"the new item's id is {text[:80]!r}; the ids of this bundle's items are integers"
            )
        return value
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InputError("the new item's id cannot be written as UTF-8; give another") from None
    if size > MAX_ID_BYTES or NOT_SHOWN.search(text):
        raise InputError(
            f"the new item's id {text[:40]!r} has more than {MAX_ID_BYTES} bytes or a control character; "
            "give another"
        )
    return text


def _row_of_users(
    bundle: OpenBundle, users: Given | None, *, on_unknown: OnUnknown
) -> tuple[np.ndarray, np.ndarray]:
    """One hop of the propagation rule, the sum over its users of h_u / sqrt(deg_u), and who they are.

    h_u is the row of a user without the metric of histories, which belongs to scores and not to rows. One hop
    is the shorter the fewer users there are, as it says that an item is unpopular; a new one is not, so its
    row is as long as those of the others.
    """
    _, found, _ = user_indices(
        bundle, users, on_unknown=on_unknown, advice="pass on_unknown='skip' to leave such users out"
    )
    known = np.unique(found[found >= 0]).astype(np.int64)
    if not len(known):
        raise InputError("none of the new item's users is in this bundle; give at least one, or its features")
    if len(known) > MAX_FIRST_USERS:
        raise InputError(f"the new item has {len(known)} users; {MAX_FIRST_USERS} will do")
    with bundle.serving() as serving:
        row = serving.row_of_users(known)
    return row, known
