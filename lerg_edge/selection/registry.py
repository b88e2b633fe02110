"""Selectors by name, those of other people included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import cast

import numpy as np

from lerg_edge.errors import InputError
from lerg_edge.own import load_own
from lerg_edge.selection.bip import DEFAULT_BOUNDARY, BipSelector
from lerg_edge.selection.problem import Selection, SelectionProblem, Selector
from lerg_edge.selection.simple import degree_selector, norm_selector, pagerank_selector, random_selector

SELECTORS: MappingProxyType[str, Callable[[], Selector]] = MappingProxyType(
    {
        "bip": BipSelector,
        "bip-reach": lambda: BipSelector(similarity="reach"),
        "bip-norm": lambda: BipSelector(similarity="norm"),
        "bip-global": lambda: BipSelector(similarity="global"),
        "random": lambda: random_selector,
        "degree": lambda: degree_selector,
        "norm": lambda: norm_selector,
        "pagerank": lambda: pagerank_selector,
    }
)
"""The built-in selectors; each value makes one with default options."""


def find_selector(name: str, *, boundary: float = DEFAULT_BOUNDARY) -> Selector:
    """Find a selector by a built-in name or by where it is defined, see :mod:`lerg_edge.own`.

    Args:
        boundary: o of the selectors that round a relaxation; the others have none.

    Raises:
        InputError: an unknown name, a module or file that cannot be imported, or a thing that cannot be
        called; or a boundary out of its range.
    """
    if name in SELECTORS:
        found = SELECTORS[name]()
        return replace(found, boundary=boundary) if isinstance(found, BipSelector) else found
    selector = load_own(name, "selector", known=tuple(SELECTORS))
    if not callable(selector):
        raise InputError(f"selector '{name}' is not usable: it is a {type(selector).__name__}, no function.")
    return cast(Selector, selector)


def select(problem: SelectionProblem, *, selector: str | Selector = "bip") -> Selection:
    """Run a selector and hold it to its contract.

    Args:
        selector: a name for :func:`find_selector`, or the selector itself.

    Raises:
        InputError: an unknown selector, contradicting constraints, or an answer that breaks a rule.
        BudgetError: the edge ceiling cannot be met.
    """
    chosen = find_selector(selector) if isinstance(selector, str) else selector
    selection = chosen(problem)
    retained = np.asarray(selection.retained)
    if retained.dtype != bool or retained.shape != (problem.entity_count,):
        raise InputError(
            f"selector '{selection.report.method}' returned {retained.dtype} {retained.shape}; it must "
            f"return bool {(problem.entity_count,)}."
        )
    broken = problem.rules().broken_by(retained)
    if broken is not None:
        raise InputError(f"the answer of selector '{selection.report.method}' breaks a rule: {broken}.")
    return selection
