"""lerg-edge on a device: open a bundle, recommend, fine-tune on what happened here, save.

    from lerg_runtime import Recommender

    rec = Recommender.open("bundle", memory_budget="64MiB")
    ids, scores = rec.recommend("alice", k=20)
    rec.finetune([("alice", "tt0111161")], epochs=3)
    rec.save()

Needs numpy alone. `lerg_runtime.bundle` reads and writes the bundle format; `lerg_runtime.cli` is the
command `lerg-edge`.
"""

from __future__ import annotations

from lerg_runtime._engine import kernels_path
from lerg_runtime._finetune import EpochReport, FineTuneProgress, FineTuneReport
from lerg_runtime._metrics import Metrics
from lerg_runtime._plan import MemoryPlan, Phase, PlanItem
from lerg_runtime._profile import Profile
from lerg_runtime.errors import BudgetError, BundleError, InputError, LergRuntimeError, UnknownIdError
from lerg_runtime.interactions_file import InteractionsFile
from lerg_runtime.recommender import Recommender

__all__ = [
    "BudgetError",
    "BundleError",
    "EpochReport",
    "FineTuneProgress",
    "FineTuneReport",
    "InputError",
    "InteractionsFile",
    "LergRuntimeError",
    "MemoryPlan",
    "Metrics",
    "Phase",
    "PlanItem",
    "Profile",
    "Recommender",
    "UnknownIdError",
    "kernels_path",
]
