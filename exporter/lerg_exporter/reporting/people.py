"""A few people of the data, and what a bundle recommends them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_runtime import Recommender

__all__ = ["Item", "Person", "some_people"]

_PEOPLE = 4
_ITEMS = 10
_TOUCHED = 5


@dataclass(frozen=True, slots=True)
class Item:
    """An item as it is shown.

    Attributes:
        raw_id: as the data has it.
        title: None without one.
        score: where it was recommended.
    """

    raw_id: int | str
    title: str | None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody and their recommendations.

    Attributes:
        raw_id: as the data has it; None where a history alone was asked for.
        count: items that they have touched.
        touched: some of these: where times are known the latest, the last one first.
        recommended: best first.
    """

    raw_id: int | str | None
    count: int
    touched: tuple[Item, ...]
    recommended: tuple[Item, ...]


def some_people(recommender: Recommender, dataset: Dataset) -> tuple[Person, ...]:
    """People with few training pairs, with many, and between; always the same ones of a data set.

    Args:
        recommender: of the bundle. A personal one is asked by histories.
        dataset: what the bundle was made from.
    """
    train = dataset.train
    counts = np.bincount(train.users, minlength=train.user_count)
    with_pairs = np.flatnonzero(counts)
    ordered = with_pairs[np.argsort(counts[with_pairs], kind="stable")]
    places = np.unique(np.linspace(0, len(ordered) - 1, _PEOPLE + 2).round().astype(int)[1:-1])
    return tuple(_person(recommender, train, int(user)) for user in ordered[places])


def _person(recommender: Recommender, train: Interactions, user: int) -> Person:
    history = _history(train, user)
    k = min(_ITEMS, train.item_count)
    raw_id = None
    if recommender.is_personal:
        ranked, scores = recommender.recommend_from_history(history, k=k)
    else:
        raw_id = train.user_ids.values[[user]].tolist()[0]
        ranked, scores = recommender.recommend(raw_id, k=k)
    latest = history[::-1][:_TOUCHED]
    return Person(
        raw_id,
        len(history),
        tuple(map(Item, latest, recommender.titles(latest))),
        tuple(map(Item, ranked.tolist(), recommender.titles(ranked), scores.tolist())),
    )


def _history(train: Interactions, user: int) -> list[int | str]:
    """Raw ids of the items of a user, the oldest first where times are known."""
    first, last = np.searchsorted(train.users, [user, user + 1])
    items = train.items[first:last]
    if train.timestamps is not None:
        items = items[np.argsort(train.timestamps[first:last], kind="stable")]
    return train.item_ids.values[items].tolist()
