"""Opening a bundle of either form."""

from __future__ import annotations

import os

from lerg_runtime.bundle import BundleFolder
from lerg_runtime.bundle._trust import Trust
from lerg_runtime.engine._threads import choose_threads, use_threads
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle
from lerg_runtime.sizes import parse_size

__all__ = ["open_bundle"]


def open_bundle(
    path: str | os.PathLike[str],
    *,
    memory_budget: str | int | None,
    threads: int | None,
    trust: Trust | None,
) -> OpenBundle | PersonalBundle:
    """See `Recommender.open`.

    Raises:
        InputError, BundleError, BudgetError: as it does.
    """
    budget = None if memory_budget is None else parse_size(memory_budget, name="memory budget")
    choose_threads(threads)  # refused before anything is read
    folder = BundleFolder.open(path, trust=trust)
    lanes = use_threads(threads)
    if folder.is_personal:
        return PersonalBundle(folder, budget_bytes=budget)
    return OpenBundle(folder, budget_bytes=budget, threads=lanes)
