"""lerg-edge on a device: open a bundle, recommend, fine-tune on what happened here, save.

    >>> from lerg_runtime import Recommender
    >>> rec = Recommender.open(bundle, memory_budget="64MiB")  # the path of a folder
    >>> items, scores = rec.recommend("user-0007", k=20)
    >>> report = rec.finetune([("user-0007", items[0])], epochs=3)
    >>> report.new_interactions
    1
    >>> items[0] in rec.recommend("user-0007", k=20)[0]
    False
    >>> rec.save()
    >>> rec.close()

Names are looked up when they are first used, so that the command can answer Ctrl-C before numpy is there.
Needs numpy alone. `lerg_runtime.bundle` reads and writes the bundle format; `lerg_runtime.cli` is the
command `lerg-edge`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # of typing, whose import a command would wait for before it can answer Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from lerg_runtime.engine._engine import kernels_path
    from lerg_runtime.errors import (
        BudgetError,
        BundleError,
        InputError,
        LergRuntimeError,
        UnknownIdError,
        UnsyncedError,
    )
    from lerg_runtime.interactions_file import InteractionsFile
    from lerg_runtime.learning._training import EpochReport, FineTuneProgress, FineTuneReport
    from lerg_runtime.planning._phases import MemoryPlan, Phase, PlanItem
    from lerg_runtime.recommender import Recommender
    from lerg_runtime.serving._columns import ranking_columns
    from lerg_runtime.serving._comparison import Comparison, Difference, Interval
    from lerg_runtime.serving._explain import Explanation
    from lerg_runtime.serving._metrics import Metrics, RankingMetrics, UserGroup
    from lerg_runtime.serving._per_user import UserFigures
    from lerg_runtime.serving._profile import Profile

__all__ = [
    "BudgetError",
    "BundleError",
    "Comparison",
    "Difference",
    "EpochReport",
    "Explanation",
    "FineTuneProgress",
    "FineTuneReport",
    "InputError",
    "InteractionsFile",
    "Interval",
    "LergRuntimeError",
    "MemoryPlan",
    "Metrics",
    "Phase",
    "PlanItem",
    "Profile",
    "RankingMetrics",
    "Recommender",
    "UnknownIdError",
    "UnsyncedError",
    "UserFigures",
    "UserGroup",
    "kernels_path",
    "ranking_columns",
]

_MODULES = {
    "BudgetError": "errors",
    "BundleError": "errors",
    "Comparison": "serving._comparison",
    "Difference": "serving._comparison",
    "EpochReport": "learning._training",
    "Explanation": "serving._explain",
    "FineTuneProgress": "learning._training",
    "FineTuneReport": "learning._training",
    "InputError": "errors",
    "InteractionsFile": "interactions_file",
    "Interval": "serving._comparison",
    "LergRuntimeError": "errors",
    "MemoryPlan": "planning",
    "Metrics": "serving._metrics",
    "Phase": "planning",
    "PlanItem": "planning",
    "Profile": "serving._profile",
    "RankingMetrics": "serving._metrics",
    "Recommender": "recommender",
    "UnknownIdError": "errors",
    "UnsyncedError": "errors",
    "UserFigures": "serving._per_user",
    "UserGroup": "serving._metrics",
    "kernels_path": "engine._engine",
    "ranking_columns": "serving._columns",
}
_SUBMODULES = ("bundle", "errors", "golden", "interactions_file", "recommender", "sizes")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
