"""Metrics as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping

from lerg_runtime.serving._comparison import Comparison, Interval
from lerg_runtime.serving._metrics import Metrics, RankingMetrics

__all__ = ["by_difference", "by_group", "by_length"]

_TITLES = {
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
_OF_GROUPS = ("ndcg", "recall", "hit_rate", "popularity_lift")
_DIGITS = {"novelty": 2, "popularity": 1}
_USUAL_DIGITS = 4


def by_length(metrics: Metrics, intervals: Mapping[str, Interval] | None = None) -> list[tuple[str, ...]]:
    """A row a metric and a column a k, or two if there are intervals."""

    def cells(at: RankingMetrics, name: str) -> tuple[str, ...]:
        found = (intervals or {}).get(f"{name}@{at.k}")
        span = () if intervals is None else ("" if found is None else _span(name, found.low, found.high),)
        return (_figure(name, getattr(at, name)), *span)

    beside = () if intervals is None else ("95 %",)
    head = ("metric", *(cell for at in metrics.by_k for cell in (f"@{at.k}", *beside)))
    return [
        head,
        *(
            (title, *(cell for at in metrics.by_k for cell in cells(at, name)))
            for name, title in _TITLES.items()
        ),
    ]


def by_group(metrics: Metrics) -> list[tuple[str, ...]]:
    """A row a group of users, at the greatest k."""
    rows = [("items", "users", *(_TITLES[name] for name in _OF_GROUPS))]
    for group in metrics.groups:
        at, span = group.by_k[-1], f"{group.fewest} to {group.most}"
        rows.append((span, str(group.users), *(_figure(name, getattr(at, name)) for name in _OF_GROUPS)))
    return rows


def by_difference(comparison: Comparison, ks: tuple[int, ...]) -> list[tuple[str, ...]]:
    """A row a metric and k."""
    rows: list[tuple[str, ...]] = [("metric", "this", "other", "difference", "95 %")]
    for name, title in _TITLES.items():
        for k in ks:
            found = comparison.differences.get(f"{name}@{k}")
            if found is not None:
                figures = (_figure(name, found.this), _figure(name, found.other))
                change = _figure(name, found.difference, signed=True)
                rows.append(
                    (f"{title} @{k}", *figures, change, _span(name, found.low, found.high, signed=True))
                )
    return rows


def _figure(name: str, value: float | None, *, signed: bool = False) -> str:
    """A metric's value, as far as people want to read it."""
    if value is None:
        return "-"
    return f"{value:{'+' if signed else ''}.{_DIGITS.get(name, _USUAL_DIGITS)}f}"


def _span(name: str, low: float, high: float, *, signed: bool = False) -> str:
    return f"{_figure(name, low, signed=signed)} to {_figure(name, high, signed=signed)}"
