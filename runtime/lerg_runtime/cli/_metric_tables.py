"""Metrics as rows of tables."""

from __future__ import annotations

from lerg_runtime.serving._metrics import Metrics, RankingMetrics

__all__ = ["TITLES", "by_group", "by_length", "figure"]

TITLES = {
    "ndcg": "NDCG",
    "recall": "Recall",
    "precision": "Precision",
    "hit_rate": "Hit rate",
    "mrr": "MRR",
    "map": "MAP",
    "novelty": "Novelty, bits",
    "popularity": "Popularity, users",
    "popularity_lift": "Popularity lift",
    "coverage": "Coverage",
}
"""What each metric is called, in the order in which they are shown."""
_OF_GROUPS = ("ndcg", "recall", "hit_rate", "popularity_lift")


def by_length(metrics: Metrics) -> list[tuple[str, ...]]:
    """A row a metric and a column a k."""
    head = ("metric", *(f"@{at.k}" for at in metrics.by_k))
    return [
        head,
        *((title, *(_of(at, name) for at in metrics.by_k)) for name, title in TITLES.items()),
    ]


def by_group(metrics: Metrics) -> list[tuple[str, ...]]:
    """A row a group of users, at the greatest k."""
    rows = [("items", "users", *(TITLES[name] for name in _OF_GROUPS))]
    for group in metrics.groups:
        at, span = group.by_k[-1], f"{group.fewest} to {group.most}"
        rows.append((span, str(group.users), *(_of(at, name) for name in _OF_GROUPS)))
    return rows


def figure(name: str, value: float | None) -> str:
    """A metric's value, as far as people want to read it."""
    if value is None:
        return "-"
    return f"{value:.{1 if name == 'popularity' else 2 if name == 'novelty' else 4}f}"


def _of(at: RankingMetrics, name: str) -> str:
    return figure(name, getattr(at, name))
