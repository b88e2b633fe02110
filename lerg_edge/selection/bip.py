"""Selection by the binary integer program.

Source: LERG, arXiv 2505.18999, the pruning program and its relaxation with a rounding boundary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lerg_edge.errors import InputError
from lerg_edge.selection.contributions import along_messages, global_similarity, norms, reach
from lerg_edge.selection.problem import Selection, SelectionProblem
from lerg_edge.selection.relaxation import solve_integer, solve_relaxation
from lerg_edge.selection.repair import priced_choice, repair
from lerg_edge.selection.simple import checked_scores, report_on

DEFAULT_BOUNDARY = 0.5
_FRACTION_TOLERANCE = 1e-6
_PROVEN = 1e-12


@dataclass(frozen=True, slots=True)
class BipSelector:
    """Maximise the contributions of the retained under all constraints.

    The linear relaxation is solved, rounded at ``boundary`` and repaired to exactly m entities that respect
    every constraint; ``exact`` goes on to the integer program itself.

    Attributes:
        similarity: "messages" (default), "global", "reach" or "norm": what an entity contributes, see
            :mod:`lerg_edge.selection.contributions`.
        boundary: o in (0, 1]; an entity with at least this share of itself in the relaxation is rounded up.
        exact: solve the integer program, started from the repaired choice.
        time_limit_s: for the integer program; at the limit the best choice so far counts.
    """

    similarity: Literal["messages", "global", "reach", "norm"] = "messages"
    boundary: float = DEFAULT_BOUNDARY
    exact: bool = False
    time_limit_s: float = 60.0

    def __post_init__(self) -> None:
        if self.similarity not in ("messages", "global", "reach", "norm"):
            raise InputError(
                f"similarity is '{self.similarity}'; choose 'messages', 'global', 'reach' or 'norm'."
            )
        if not 0.0 < self.boundary <= 1.0:
            raise InputError(f"boundary is {self.boundary}; it must be above 0 and at most 1.")
        if self.time_limit_s <= 0:
            raise InputError(f"time_limit_s is {self.time_limit_s}; it must be above 0.")

    def __call__(self, problem: SelectionProblem) -> Selection:
        """Select.

        Raises:
            InputError: embeddings that are not finite, or constraints that contradict each other.
            BudgetError: the edge ceiling cannot be met.
            LergError: the solver failed.
        """
        return self.select(problem, self.contributions(problem))

    def contributions(self, problem: SelectionProblem) -> np.ndarray:
        """The objective, float64 [N]."""
        if self.similarity == "global":
            return global_similarity(problem.embeddings)
        if self.similarity == "reach":
            return reach(problem.matrix, problem.embeddings)
        if self.similarity == "norm":
            return norms(problem.embeddings)
        return along_messages(problem.matrix, problem.embeddings)

    def select(self, problem: SelectionProblem, contributions: np.ndarray) -> Selection:
        """Select by contributions, float [N], that were computed before or elsewhere."""
        values = checked_scores(contributions, problem.entity_count, "bip")
        rules = problem.rules()
        relaxation = solve_relaxation(values, rules, priced_choice(values, rules))
        shares = relaxation.shares
        rounded = shares >= self.boundary - _FRACTION_TOLERANCE
        retained = repair(rounded, values, rules, price=relaxation.price)
        gap = _gap(relaxation.value, values, retained)
        proven_gap = None
        if self.exact and gap <= _PROVEN:
            # Nothing can be better than the relaxation: there is nothing left to search for.
            proven_gap = 0.0
        elif self.exact:
            solution = solve_integer(values, rules, retained, time_limit_s=self.time_limit_s)
            retained, proven_gap = solution.chosen, solution.proven_gap
            gap = _gap(relaxation.value, values, retained)
        fractional = (shares > _FRACTION_TOLERANCE) & (shares < 1.0 - _FRACTION_TOLERANCE)
        report = replace(
            report_on(retained, values, rules, method=f"bip-{self.similarity}"),
            relaxation_value=relaxation.value,
            rounded_value=float(values[rounded].sum()),
            rounded_count=int(rounded.sum()),
            fractional=int(fractional.sum()),
            gap=gap,
            proven_gap=proven_gap,
        )
        return Selection(retained, report)


def _gap(bound: float, values: np.ndarray, retained: np.ndarray) -> float:
    """How far a choice stays below its bound, relative to it; a rounding error above it counts as none."""
    return max(0.0, bound - float(values[retained].sum())) / max(abs(bound), np.finfo(np.float64).tiny)
