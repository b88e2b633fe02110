"""Choosing whom to keep."""

from lerg_edge.selection.bip import DEFAULT_BOUNDARY, BipSelector
from lerg_edge.selection.contributions import along_messages, global_similarity, norms, reach
from lerg_edge.selection.problem import (
    DEFAULT_FLOOR_SHARE,
    Constraints,
    Selection,
    SelectionProblem,
    SelectionReport,
    Selector,
)
from lerg_edge.selection.registry import SELECTORS, find_selector, select
from lerg_edge.selection.rules import Rules
from lerg_edge.selection.simple import (
    degree_selector,
    norm_selector,
    pagerank,
    pagerank_selector,
    random_selector,
    select_by_score,
)

__all__ = [
    "DEFAULT_BOUNDARY",
    "DEFAULT_FLOOR_SHARE",
    "SELECTORS",
    "BipSelector",
    "Constraints",
    "Rules",
    "Selection",
    "SelectionProblem",
    "SelectionReport",
    "Selector",
    "along_messages",
    "degree_selector",
    "find_selector",
    "global_similarity",
    "norm_selector",
    "norms",
    "pagerank",
    "pagerank_selector",
    "random_selector",
    "reach",
    "select",
    "select_by_score",
]
