"""What an evaluation reports: averages over users at each k, by group of users, and the counts of rows.

The formulas are in docs/metrics.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from lerg_runtime.errors import InputError
from lerg_runtime.serving._comparison import RESAMPLES, Comparison, Interval, compare_users, user_intervals
from lerg_runtime.serving._per_user import UserFigures

__all__ = ["Metrics", "RankingMetrics", "UserGroup"]


@dataclass(frozen=True, slots=True)
class RankingMetrics:
    """Averages over users at one length of a ranking; relevance is binary.

    Attributes:
        k: length of a ranking.
        precision: hits / k.
        recall: hits / test items of the user.
        hit_rate: share of the users with a hit.
        mrr: 1 / rank of the first hit, 0 without one.
        map: average precision: precisions at the ranks of hits, over the test items of the user.
        ndcg: discounted gain 1 / log2(rank + 1) over that of the best ranking.
        novelty: mean self-information of the recommended items, in bits.
        popularity: mean number of users who have touched a recommended item.
        popularity_lift: by how much that is above the mean over the users' own items: 0.5 is half as much
            again; None where no user has touched anything.
        coverage: share of all items that is recommended to somebody; None for a group of users.
    """

    k: int
    precision: float
    recall: float
    hit_rate: float
    mrr: float
    map: float
    ndcg: float
    novelty: float
    popularity: float
    popularity_lift: float | None
    coverage: float | None = None

    def as_dict(self) -> dict[str, float]:
        """`precision@K`, `recall@K` and so on; what is None is left out."""
        named = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "k"}
        return {f"{name}@{self.k}": value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class UserGroup:
    """Users who have touched about as many items.

    Attributes:
        fewest, most: items that a user of the group has touched, the local ones included.
        users: how many they are.
        by_k: their averages, by ascending k, without coverage.
    """

    fewest: int
    most: int
    users: int
    by_k: tuple[RankingMetrics, ...]

    def as_dict(self) -> dict[str, float]:
        """`fewest`, `most`, `users`, and the averages by their names."""
        counts = {"fewest": self.fewest, "most": self.most, "users": self.users}
        return counts | {name: value for at in self.by_k for name, value in at.as_dict().items()}


@dataclass(frozen=True, slots=True)
class Metrics:
    """Averages over users, and what became of the rows that were given.

    `rows` is the sum of `pairs`, `unknown`, `below_threshold`, `duplicates` and `already_seen`.

    Attributes:
        by_k: averages over all users, by ascending k.
        users: that have a measured pair.
        pairs: distinct pairs that were measured.
        rows: rows, or pairs of a sequence, that could be read.
        unknown: of them, skipped because the user or the item is unknown.
        below_threshold: of them, left out because of their rating.
        duplicates: of them, repeats of a pair.
        already_seen: pairs that were not measured, as they can't be recommended: the bundle learned from
            them, or the user rated them low.
        groups: the users in at most four groups by how many items they have touched, fewest first.
        per_user: the figures of each user, where they were asked for; not compared by ==.
    """

    by_k: tuple[RankingMetrics, ...]
    users: int
    pairs: int = 0
    rows: int = 0
    unknown: int = 0
    below_threshold: int = 0
    duplicates: int = 0
    already_seen: int = 0
    groups: tuple[UserGroup, ...] = ()
    per_user: UserFigures | None = field(default=None, compare=False, repr=False)

    @property
    def k(self) -> int:
        """The greatest k."""
        return self.by_k[-1].k

    @property
    def recall(self) -> float:
        """At the greatest k."""
        return self.by_k[-1].recall

    @property
    def ndcg(self) -> float:
        """At the greatest k."""
        return self.by_k[-1].ndcg

    def at(self, k: int) -> RankingMetrics:
        """The averages at one k; raises KeyError if it was not asked for."""
        for found in self.by_k:
            if found.k == k:
                return found
        raise KeyError(k)

    def intervals(self, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
        """95 % bootstrap intervals over users, by name such as `ndcg@20`; coverage has none.

        Args:
            resamples: draws of as many users, with replacement.
            seed: the same seed gives the same intervals.

        Raises:
            InputError: the figures of each user were not kept, or there cannot be so many resamples.
        """
        return user_intervals(self._figures, resamples=resamples, seed=seed)

    def compare(self, other: Metrics, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
        """Differences to another bundle, over the users whom both know and were measured on alike.

        Args:
            other: of the same k and the same test pairs, the figures of each user kept.
            resamples: draws of as many users, with replacement, the same ones for both bundles.
            seed: the same seed gives the same intervals.

        Raises:
            InputError: the figures of each user were not kept, there is no such user, k differs, or there
                cannot be so many resamples.
        """
        return compare_users(self._figures, other._figures, resamples=resamples, seed=seed)

    @property
    def _figures(self) -> UserFigures:
        if self.per_user is None:
            raise InputError("the figures of each user are not here; evaluate with per_user=True")
        return self.per_user

    def as_dict(self) -> dict[str, object]:
        """`recall@K`, `ndcg@K` and so on for each k, the counts by their names, and `groups`."""
        counts = ("users", "pairs", "rows", "unknown", "below_threshold", "duplicates", "already_seen")
        return {
            **{name: value for at in self.by_k for name, value in at.as_dict().items()},
            **{name: getattr(self, name) for name in counts},
            "groups": [group.as_dict() for group in self.groups],
        }
