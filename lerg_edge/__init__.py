"""lerg_edge: the method, from interactions to a trained, pruned and rewired recommender.

    >>> from lerg_edge import demo_interactions, split_ratio
    >>> interactions = demo_interactions(seed=0)
    >>> interactions.user_count, interactions.item_count, interactions.pair_count
    (1200, 800, 30000)
    >>> train, test = split_ratio(interactions, test_share=0.2, seed=0)
    >>> train.pair_count + test.pair_count
    30000

Names are looked up when they are first used, so that reading data does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lerg_edge.data.features import FeatureColumn, ItemFeatures
    from lerg_edge.data.interactions import Dataset, IdMap, Interactions, ReadReport
    from lerg_edge.data.readers import BadRow, read_dataset, read_interactions
    from lerg_edge.data.splits import split_folds, split_leave_last_out, split_ratio, split_time
    from lerg_edge.data.synthetic import demo_dataset, demo_interactions, generate, generate_features
    from lerg_edge.data.titles import ItemTitles
    from lerg_edge.errors import BudgetError, InputError, LergError
    from lerg_edge.tables import GivenTables, read_model, read_tables

__all__ = [
    "BadRow",
    "BudgetError",
    "Dataset",
    "FeatureColumn",
    "GivenTables",
    "IdMap",
    "InputError",
    "Interactions",
    "ItemFeatures",
    "ItemTitles",
    "LergError",
    "ReadReport",
    "demo_dataset",
    "demo_interactions",
    "generate",
    "generate_features",
    "read_dataset",
    "read_interactions",
    "read_model",
    "read_tables",
    "split_folds",
    "split_leave_last_out",
    "split_ratio",
    "split_time",
]

_MODULES = {
    "lerg_edge.errors": ("BudgetError", "InputError", "LergError"),
    "lerg_edge.data.features": ("FeatureColumn", "ItemFeatures"),
    "lerg_edge.data.interactions": ("Dataset", "IdMap", "Interactions", "ReadReport"),
    "lerg_edge.data.readers": ("BadRow", "read_dataset", "read_interactions"),
    "lerg_edge.data.splits": ("split_folds", "split_leave_last_out", "split_ratio", "split_time"),
    "lerg_edge.data.synthetic": (
        "demo_dataset",
        "demo_interactions",
        "generate",
        "generate_features",
    ),
    "lerg_edge.data.titles": ("ItemTitles",),
    "lerg_edge.tables": ("GivenTables", "read_model", "read_tables"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
