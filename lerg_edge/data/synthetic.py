"""Generated interactions: communities of taste, a few very active users and a few very popular items.

Sets of any size come from one seed, so that demos, tests and measurements need no download.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data._arrays import distinct_sorted
from lerg_edge.data.features import FeatureColumn, ItemFeatures
from lerg_edge.data.interactions import Dataset, IdMap, Interactions
from lerg_edge.data.splits import cut
from lerg_edge.errors import InputError

__all__ = [
    "SHAPES",
    "Shape",
    "demo_dataset",
    "demo_features",
    "demo_interactions",
    "generate",
    "generate_features",
    "generate_over_time",
    "shaped_interactions",
]

# Tail exponents of the Pareto weights: heavy as real catalogues are, with a mean that exists.
_ACTIVITY_TAIL = 1.6
_POPULARITY_TAIL = 1.3
_LEAST_ACTIVITY = 0.2  # beside a mean of 1.7: most users have far fewer pairs than the average
_PATIENT_ROUNDS = 10
_DEMO_TEST_SHARE = 0.2
_DEMO_COMMUNITIES = 12
_STRAY_SHARE = 0.2  # items that name a genre beside those of their community
_LATEST_YEAR, _YEARS = 2020, 60
_WEEKS = 10
_EPOCH, _WEEK, _HOUR = 1_600_000_000, 7 * 24 * 3_600, 3_600  # seconds


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a set to generate; ``interactions`` are all of them, before a test set is held out."""

    users: int
    items: int
    interactions: int
    communities: int


# The sizes of the sets that LERG, arXiv 2505.18999, was measured on. A community is several hundred items
# wide, so that the most active users may have as many pairs as they have in the sets themselves.
SHAPES = {
    "yelp2020": Shape(71_135, 45_063, 1_782_999, communities=60),
    "amazon-book": Shape(52_643, 91_599, 2_984_108, communities=60),
    "ifashion": Shape(300_000, 81_614, 1_607_813, communities=60),
}


def generate(
    users: int,
    items: int,
    interactions: int,
    *,
    communities: int,
    seed: int,
    within_share: float = 0.85,
) -> Interactions:
    """Draw distinct pairs with planted communities and power-law degrees.

    Each user and item belongs to one community. A user's number of pairs follows a Pareto law; each pair
    leads into the user's own community with probability ``within_share`` and anywhere otherwise, to an item
    drawn by its popularity, a Pareto law too. A pair drawn twice is drawn again.

    Args:
        users: U; ids are the integers 0..U-1.
        items: I; ids are the integers 0..I-1.
        interactions: exact number of distinct pairs, at most half of U · I.
        communities: at most as many as users and as items.
        seed: not negative; equal arguments give equal pairs.
        within_share: between 0 and 1; how much of the signal a recommender can learn.

    Raises:
        InputError: a size is out of range.
    """
    _check_sizes(users, items, interactions, communities, seed, within_share)
    generator = np.random.default_rng(seed)
    catalogue = _Catalogue(items, communities, generator)
    community_of_user = generator.integers(communities, size=users)
    # The most active users stay within reach of their community, or they would have to leave it.
    cap = min(items, max(-(-4 * interactions // users), items // communities))
    degrees = _shares(generator.pareto(_ACTIVITY_TAIL, users) + _LEAST_ACTIVITY, total=interactions, cap=cap)
    keys = np.zeros(0, dtype=np.int64)
    for attempt in range(_PATIENT_ROUNDS):
        missing = degrees - np.bincount(keys // items, minlength=users)
        drawing = np.repeat(np.arange(users), missing)
        if not drawing.size:
            break
        # Users who exhausted their community would draw the same items over and over.
        within = generator.random(drawing.size) < (within_share if attempt < _PATIENT_ROUNDS // 2 else 0.0)
        drawn = catalogue.draw(np.where(within, community_of_user[drawing], -1), generator)
        keys = distinct_sorted(np.concatenate([keys, drawing * items + drawn]))
    keys = _completed(keys, degrees, items, generator)
    user_column, item_column = np.divmod(keys, items)
    return Interactions.from_pairs(
        user_column,
        item_column,
        user_ids=IdMap(np.arange(users, dtype=np.int64)),
        item_ids=IdMap(np.arange(items, dtype=np.int64)),
    )


def generate_over_time(
    users: int,
    items: int,
    interactions: int,
    *,
    communities: int,
    drift: float,
    turnover: float | None = None,
    seed: int,
    within_share: float = 0.85,
) -> Interactions:
    """As :func:`generate`, each pair with a time, and interests that move on.

    A user is in one community at a time, and before each pair leaves it for one drawn anew with probability
    ``drift``: on average after 1 / drift pairs. With no drift the order of a user's pairs says nothing. A
    pair that comes again is left out: there are fewer than asked for, about half where interests stay.

    Args:
        users, items, interactions, communities, seed, within_share: as for :func:`generate`.
        drift: between 0 and 1.
        turnover: share of the items whose popularity is drawn anew each week, between 0 and 1.

    Returns:
        Pairs with timestamps in seconds. A user's are one hour apart, and users begin within a week; where
        `turnover` is given, everybody's are spread over ten weeks.

    Raises:
        InputError: a value is out of range.
    """
    _check_sizes(users, items, interactions, communities, seed, within_share)
    for name, share in (("drift", drift), ("turnover", turnover or 0.0)):
        if not 0.0 <= share <= 1.0:
            raise InputError(f"{name} is {share}; it must be from 0 to 1")
    generator = np.random.default_rng(seed)
    catalogue = _Catalogue(items, communities, generator)
    cap = min(items, max(-(-4 * interactions // users), items // communities))
    degrees = _shares(generator.pareto(_ACTIVITY_TAIL, users) + _LEAST_ACTIVITY, total=interactions, cap=cap)
    of_user = np.repeat(np.arange(users), degrees)
    first = np.cumsum(degrees) - degrees
    place = np.arange(interactions) - np.repeat(first, degrees)
    moves = (generator.random(interactions) < drift) | (place == 0)
    community = generator.integers(communities, size=int(moves.sum()))[np.cumsum(moves) - 1]
    within = generator.random(interactions) < within_share
    from_where = np.where(within, community, -1)
    if turnover is None:
        drawn = catalogue.draw(from_where, generator)
        times = generator.integers(_WEEK, size=users)[of_user] + _HOUR * place
    else:
        times = (_WEEKS * _WEEK * (place + generator.random(interactions)) / degrees[of_user]).astype(
            np.int64
        )
        drawn = np.empty(interactions, np.int64)
        for week in range(_WEEKS):
            now = times // _WEEK == week
            drawn[now] = catalogue.draw(from_where[now], generator)
            catalogue = catalogue.turned(turnover, generator)
    _, firsts = np.unique(of_user * items + drawn, return_index=True)
    return Interactions.from_pairs(
        of_user[firsts],
        drawn[firsts],
        user_ids=IdMap(np.arange(users, dtype=np.int64)),
        item_ids=IdMap(np.arange(items, dtype=np.int64)),
        timestamps=_EPOCH + times[firsts],
    )


def generate_features(
    items: int, *, communities: int, seed: int, genres: int = 18, telling: float = 0.8
) -> ItemFeatures:
    """Features of the items that :func:`generate` draws with the same items, communities and seed.

    Each community has two genres, which it shares with others, and an item names each of them with
    probability ``telling``; a fifth of the items name one more, drawn at random. Years say nothing.

    Args:
        items, communities, seed: as for :func:`generate`.
        genres: names of genres, at least 2.
        telling: between 0 and 1; at 0 genres say nothing either, since each item names one at random.

    Raises:
        InputError: a value is out of range.
    """
    _check_sizes(1, items, 1, 1, seed, 0.0)
    if not 1 <= communities <= items or genres < 2 or not 0.0 <= telling <= 1.0:
        raise InputError(
            f"communities is {communities}, genres {genres} and telling {telling}; they must be from 1 to "
            "the number of items, 2 or more, and from 0 to 1"
        )
    community = _Catalogue(items, communities, np.random.default_rng(seed)).community
    generator = np.random.default_rng([seed, 1])
    pairs = generator.permutation([(one, two) for one in range(genres) for two in range(one + 1, genres)])
    own = pairs[community % len(pairs)]
    named = generator.random((items, 2)) < telling
    stray = generator.integers(genres, size=items)
    strays = (generator.random(items) < _STRAY_SHARE) | (telling == 0)
    texts = tuple(
        tuple(
            f"genre-{genre + 1:02d}"
            for genre in sorted({*own[item][named[item]].tolist(), *([stray[item]] if strays[item] else [])})
        )
        for item in range(items)
    )
    years = _LATEST_YEAR - generator.integers(_YEARS, size=(items, 1)).astype(np.float64)
    columns = (
        FeatureColumn("genres", "category", texts=texts),
        FeatureColumn("year", "number", numbers=years),
    )
    return ItemFeatures(columns, np.ones(items, dtype=bool))


def demo_features(seed: int = 0) -> ItemFeatures:
    """The features of the demo's items, as :func:`generate_features` makes them."""
    return generate_features(800, communities=_DEMO_COMMUNITIES, seed=seed)


def demo_interactions(seed: int = 0) -> Interactions:
    """The built-in demo: 1,200 users ("user-0001", ...), 800 items ("item-0001", ...) and 30,000 pairs."""
    plain = generate(1_200, 800, 30_000, communities=_DEMO_COMMUNITIES, seed=seed)
    return replace(plain, user_ids=_numbered("user", 1_200), item_ids=_numbered("item", 800))


def shaped_interactions(name: str, seed: int = 0) -> Interactions:
    """A generated set of the size of one of :data:`SHAPES`; ids are integers.

    Raises:
        InputError: there is no such shape.
    """
    if name not in SHAPES:
        raise InputError(f"there is no generated set 'demo:{name}'; choose one of demo, {_shape_names()}")
    shape = SHAPES[name]
    return generate(shape.users, shape.items, shape.interactions, communities=shape.communities, seed=seed)


def demo_dataset(seed: int = 0) -> Dataset:
    """The demo with a fifth of each user's pairs held out as a test set."""
    return cut(demo_interactions(seed), "ratio", share=_DEMO_TEST_SHARE, seed=seed)


class _Catalogue:
    """Items in communities, to draw from by popularity."""

    def __init__(self, items: int, communities: int, generator: np.random.Generator) -> None:
        weights = generator.pareto(_POPULARITY_TAIL, items) + 1.0
        self.community = community = generator.permutation(items) % communities
        # Items of a community lie next to each other, so one running sum serves every community.
        self._items = np.argsort(community, kind="stable")
        self._weights = weights[self._items]
        self._sums = np.concatenate([[0.0], np.cumsum(self._weights)])
        self._edges = np.concatenate([[0], np.cumsum(np.bincount(community, minlength=communities))])

    def turned(self, share: float, generator: np.random.Generator) -> _Catalogue:
        """The same items, the popularity of a share of them drawn anew."""
        found = copy(self)
        anew = generator.random(len(self._items)) < share
        found._weights = np.where(
            anew, generator.pareto(_POPULARITY_TAIL, len(self._items)) + 1.0, self._weights
        )
        found._sums = np.concatenate([[0.0], np.cumsum(found._weights)])
        return found

    def draw(self, community: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """One item int64 [n] for each community [n]; -1 draws from the whole catalogue."""
        anywhere = community < 0
        first = np.where(anywhere, 0, self._edges[community])
        end = np.where(anywhere, self._edges[-1], self._edges[community + 1])
        low, high = self._sums[first], self._sums[end]
        points = low + generator.random(community.size) * (high - low)
        places = np.searchsorted(self._sums, points, side="right") - 1
        # Rounding may put a draw on the upper edge.
        drawn: NDArray[np.int64] = self._items[np.clip(places, first, end - 1)]
        return drawn


def _shares(weights: NDArray[np.float64], *, total: int, cap: int) -> NDArray[np.int64]:
    """Whole numbers int64 [n] that sum to ``total``, in proportion to the weights, none above ``cap``.

    Each gets at least one if the total allows it.
    """
    shares = np.full(weights.size, 1 if total >= weights.size else 0, dtype=np.int64)
    while (left := total - int(shares.sum())) > 0:
        room = cap - shares
        wanted = np.where(room > 0, weights, 0.0)
        wanted *= left / wanted.sum()
        extra = np.minimum(np.floor(wanted).astype(np.int64), room)
        if not extra.any():  # less than one each: hand out single ones, the largest claims first
            claims = np.argsort(-wanted, kind="stable")[: min(left, int(np.count_nonzero(room > 0)))]
            extra[claims] = 1
        shares += extra
    return shares


def _completed(
    keys: NDArray[np.int64], degrees: NDArray[np.int64], items: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Give users who still lack pairs items that they do not have yet, any of them."""
    missing = degrees - np.bincount(keys // items, minlength=degrees.size)
    parts = [keys]
    for user in np.flatnonzero(missing):
        first, end = np.searchsorted(keys, [user * items, (user + 1) * items])
        others = np.setdiff1d(np.arange(items), keys[first:end] - user * items, assume_unique=True)
        parts.append(user * items + generator.choice(others, size=missing[user], replace=False))
    return np.sort(np.concatenate(parts))


def _shape_names() -> str:
    return ", ".join(f"demo:{name}" for name in SHAPES)


def _numbered(prefix: str, count: int) -> IdMap:
    """Ids "prefix-0001" and so on, padded with zeros so that their order is their number's."""
    return IdMap.from_values(f"{prefix}-{number:04d}" for number in range(1, count + 1))


def _check_sizes(
    users: int, items: int, interactions: int, communities: int, seed: int, within_share: float
) -> None:
    if users < 1 or items < 1:
        raise InputError(f"there must be at least one user and one item, not {users} and {items}")
    if not 1 <= interactions <= max(1, users * items // 2):
        raise InputError(
            f"interactions is {interactions}; it must be from 1 to half of all pairs ({users * items // 2})"
        )
    if not 1 <= communities <= min(users, items):
        raise InputError(f"communities is {communities}; it must be from 1 to the smaller of users and items")
    if seed < 0:
        raise InputError(f"seed is {seed}; it must not be negative")
    if not 0.0 <= within_share <= 1.0:
        raise InputError(f"within_share is {within_share}; it must be from 0 to 1")
