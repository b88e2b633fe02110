"""Selectors that need no solver: a score for each entity, the best are kept."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import full_adjacency
from lerg_edge.selection.contributions import norms
from lerg_edge.selection.problem import Selection, SelectionProblem, SelectionReport
from lerg_edge.selection.repair import priced_choice, repair
from lerg_edge.selection.rules import Rules

_DAMPING = 0.85
_TOLERANCE = 1e-12
_MOST_ITERATIONS = 500


def select_by_score(problem: SelectionProblem, scores: np.ndarray, *, method: str) -> Selection:
    """Keep the entities with the best total score that the constraints allow; ties go to the lower index.

    The base of every selector that can say how much it wants each entity.

    Args:
        scores: float [N], finite, users first.
        method: name for the report.

    Raises:
        InputError: ``scores`` has another length or a value that is not finite, or the constraints contradict
            each other.
        BudgetError: the edge ceiling cannot be met.
    """
    values = checked_scores(scores, problem.entity_count, method)
    rules = problem.rules()
    start = priced_choice(values, rules)
    retained = repair(start.chosen, values, rules, price=start.price)
    return Selection(retained, report_on(retained, values, rules, method=method))


def report_on(retained: np.ndarray, values: np.ndarray, rules: Rules, *, method: str) -> SelectionReport:
    """State what a choice, bool [N], keeps; the fields of a relaxation stay empty."""
    users = int(retained[: rules.user_count].sum())
    return SelectionReport(
        method=method,
        value=float(values[retained].sum()),
        retained_users=users,
        retained_items=int(retained.sum()) - users,
        degree_sum=rules.degree_sum(retained),
        min_users=rules.floors[0],
        min_items=rules.floors[1],
        edge_budget=rules.edge_budget,
    )


def checked_scores(scores: np.ndarray, count: int, method: str) -> np.ndarray:
    """Take scores over as float64 [N].

    Raises:
        InputError: wrong length, or a value that is not finite.
    """
    values = np.asarray(scores, np.float64)
    if values.shape != (count,):
        raise InputError(f"selector '{method}' gave scores of shape {values.shape}; {(count,)} was expected.")
    if not np.isfinite(values).all():
        raise InputError(
            f"selector '{method}' scored entity {int(np.argmin(np.isfinite(values)))} with a value that is "
            f"not finite; every score must be a number."
        )
    return values


def random_selector(problem: SelectionProblem) -> Selection:
    """Keep a uniform draw, by ``problem.seed``."""
    return select_by_score(
        problem, np.random.default_rng(problem.seed).random(problem.entity_count), method="random"
    )


def degree_selector(problem: SelectionProblem) -> Selection:
    """Keep the entities with the most interactions."""
    return select_by_score(problem, problem.rules().degrees.astype(np.float64), method="degree")


def norm_selector(problem: SelectionProblem) -> Selection:
    """Keep the entities with the longest propagated embeddings."""
    return select_by_score(problem, norms(problem.embeddings), method="norm")


def pagerank_selector(problem: SelectionProblem) -> Selection:
    """Keep the entities with the highest PageRank."""
    return select_by_score(problem, pagerank(problem.matrix), method="pagerank")


def pagerank(matrix: sparse.csr_matrix, *, damping: float = _DAMPING) -> np.ndarray:
    """PageRank over the undirected interaction graph, by power iteration.

    p = damping * (W^T p + mass of entities without interactions / N) + (1 - damping) / N, W the adjacency
    with rows that sum to 1. Iterates until the sum of changes is below 1e-12. Two sides alternate in a
    bipartite graph; damping below 1 is what makes it converge.

    Args:
        matrix: interactions [U, I], values ignored.
        damping: in [0, 1).

    Returns:
        float64 [U + I], sums to 1.

    Source: Brin and Page, "The anatomy of a large-scale hypertextual web search engine", 1998.

    Raises:
        InputError: ``damping`` outside its range.
    """
    if not 0.0 <= damping < 1.0:
        raise InputError(f"damping is {damping}; it must be at least 0 and below 1.")
    pattern = sparse.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
    adjacency = full_adjacency(pattern)
    count = adjacency.shape[0]
    degree = np.diff(adjacency.indptr)
    idle = degree == 0
    share = np.where(idle, 0.0, 1.0 / np.maximum(degree, 1))
    rank = np.full(count, 1.0 / count)
    for _ in range(_MOST_ITERATIONS):
        spread = damping * (adjacency @ (rank * share) + rank[idle].sum() / count) + (1.0 - damping) / count
        change = np.abs(spread - rank).sum()
        rank = spread
        if change < _TOLERANCE:
            break
    return rank / rank.sum()
