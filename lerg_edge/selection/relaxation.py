"""The binary program in HiGHS: its linear relaxation, and the integer program itself.

maximise sum_j a_j x_j  subject to  sum_j x_j = m, sum over users x_j >= f_u, sum over items x_j >= f_i,
sum_j deg_j x_j <= E, x_j = 1 for required j, 0 <= x_j <= 1.

From nothing the simplex method needs one pivot for nearly every entity: 40 s at 70,000. It is therefore
started from the basis of the priced greedy choice, which is optimal or a few pivots off; HiGHS then proves it
or mends it, in well under a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from lerg_edge.errors import LergError
from lerg_edge.selection.repair import PricedChoice
from lerg_edge.selection.rules import Rules


class _QuietHighs(highspy.Highs):
    """HiGHS announces itself on standard output when its callbacks are set up, before one can silence it."""

    def enableCallbacks(self) -> None:
        self.silent()
        super().enableCallbacks()


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """Optimum of the linear relaxation.

    Attributes:
        shares: float64 [N] in [0, 1].
        value: the objective there, an upper bound on every choice.
        price: dual value of the edge ceiling, >= 0; 0 without one.
    """

    shares: np.ndarray
    value: float
    price: float


@dataclass(frozen=True, slots=True, eq=False)
class IntegerSolution:
    """The best choice found by branch and bound: bool [N], and the relative gap that the solver could
    prove."""

    chosen: np.ndarray
    proven_gap: float


def solve_relaxation(values: np.ndarray, rules: Rules, start: PricedChoice) -> Relaxation:
    """Solve the relaxation to optimality, at a vertex: at most four entities are fractional.

    Args:
        values: float64 [N], the objective.
        start: where to begin; it changes the time and not the optimum.

    Raises:
        LergError: HiGHS did not reach the optimum.
    """
    solver = _QuietHighs()
    solver.setOptionValue("threads", 1)
    # Presolve would throw the starting basis away.
    solver.setOptionValue("presolve", "off")
    problem = _program(values, rules)
    solver.passModel(problem)
    solver.setBasis(_basis(values, rules, start, problem.num_row_))
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise LergError(f"HiGHS ended with '{solver.modelStatusToString(status)}' on the relaxed selection.")
    solution = solver.getSolution()
    shares = np.clip(np.asarray(solution.col_value, np.float64), 0.0, 1.0)
    price = abs(float(solution.row_dual[-1])) if rules.edge_budget is not None else 0.0
    return Relaxation(shares, float(solver.getInfo().objective_function_value), price)


def solve_integer(
    values: np.ndarray, rules: Rules, start: np.ndarray, *, time_limit_s: float
) -> IntegerSolution:
    """Solve the binary program itself, for comparison with the rounded relaxation.

    Args:
        values: float64 [N], the objective.
        start: bool [N], a choice that respects the rules; the answer is at least as good.
        time_limit_s: when to stop with the best choice found so far.

    Raises:
        LergError: HiGHS ended without any choice.
    """
    solver = _QuietHighs()
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", float(time_limit_s))
    solver.setOptionValue("mip_rel_gap", 0.0)
    problem = _program(values, rules)
    problem.integrality_ = [highspy.HighsVarType.kInteger] * len(values)
    solver.passModel(problem)
    known = highspy.HighsSolution()
    known.col_value = start.astype(np.float64)
    solver.setSolution(known)
    solver.run()
    status = solver.getModelStatus()
    found = np.asarray(solver.getSolution().col_value, np.float64)
    ended = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kTimeLimit)
    if status not in ended or len(found) != len(values):
        raise LergError(f"HiGHS ended with '{solver.modelStatusToString(status)}' on the integer selection.")
    chosen = found > 0.5
    if rules.broken_by(chosen) is not None or values[chosen].sum() < values[start].sum():
        chosen = start.copy()
    return IntegerSolution(chosen, float(solver.getInfo().mip_gap))


def _program(values: np.ndarray, rules: Rules) -> highspy.HighsLp:
    """Hand the model over as arrays, row by row in compressed form."""
    total = len(values)
    everyone = np.arange(total, dtype=np.int32)
    users, items = rules.sides
    rows = [everyone, everyone[users], everyone[items]]
    coefficients = [np.ones(total), np.ones(len(rows[1])), np.ones(len(rows[2]))]
    lower = [float(rules.retain), float(rules.floors[0]), float(rules.floors[1])]
    upper = [float(rules.retain), np.inf, np.inf]
    if rules.edge_budget is not None:
        rows.append(everyone)
        coefficients.append(rules.degrees.astype(np.float64))
        lower.append(-np.inf)
        upper.append(float(rules.edge_budget))
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = total, len(rows)
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_ = np.asarray(values, np.float64)
    program.col_lower_ = rules.required.astype(np.float64)
    program.col_upper_ = np.ones(total)
    program.row_lower_, program.row_upper_ = np.array(lower), np.array(upper)
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.cumsum([0] + [len(row) for row in rows]).astype(np.int32)
    program.a_matrix_.index_ = np.concatenate(rows)
    program.a_matrix_.value_ = np.concatenate(coefficients)
    return program


def _basis(values: np.ndarray, rules: Rules, start: PricedChoice, row_count: int) -> highspy.HighsBasis:
    """Chosen at its upper bound, the rest at the lower, and the entity at the threshold basic for the count.

    A side whose floor binds brings its own threshold entity in for that row; as many are basic as there are
    rows, as a basis must have.
    """
    status = highspy.HighsBasisStatus
    scores = np.where(start.chosen & ~rules.required, values - start.price * rules.degrees, np.inf)
    columns = np.array([status.kLower, status.kUpper], object)[start.chosen.astype(np.int8)]
    rows = [status.kBasic] * row_count
    bound = [
        int(start.chosen[side].sum()) == floor for side, floor in zip(rules.sides, rules.floors, strict=True)
    ]
    free = [side for side, tight in zip(rules.sides, bound, strict=True) if not tight]
    groups = [(0, free)] + [(row, [rules.sides[row - 1]]) for row in (1, 2) if bound[row - 1] and free]
    for row, sides in groups if free else [(0, list(rules.sides))]:
        candidates = np.concatenate([np.arange(side.start, side.stop) for side in sides])
        threshold = candidates[np.argmin(scores[candidates])]
        if np.isfinite(scores[threshold]):
            columns[threshold] = status.kBasic
            rows[row] = status.kLower
    basis = highspy.HighsBasis()
    basis.col_status, basis.row_status = list(columns), rows
    return basis
