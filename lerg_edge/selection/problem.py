"""What a selector is given, what it must respect, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import degrees
from lerg_edge.selection.rules import Rules

DEFAULT_FLOOR_SHARE = 0.5
"""A side keeps at least this share of the retention ratio of its own entities, unless told otherwise."""


def _no_ids() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """Linear side constraints of a selection; they hold for every selector.

    Attributes:
        min_users: least number of retained users; None for half of the retention ratio of all users, at
            least one. 0 switches the floor off.
        min_items: the same for items.
        keep_users: integer [k], user indices that must stay.
        keep_items: integer [k], item indices that must stay.
        edge_budget: most that the degrees of the retained entities in the full graph may add up to
            (sum over j of deg_j x_j), or None. An edge with both ends retained counts twice, so the retained
            graph has at most half as many edges.
    """

    min_users: int | None = None
    min_items: int | None = None
    keep_users: np.ndarray = field(default_factory=_no_ids)
    keep_items: np.ndarray = field(default_factory=_no_ids)
    edge_budget: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SelectionProblem:
    """Choose ``retain`` of N entities.

    Attributes:
        matrix: interactions [U, I]; a stored entry for each, values ignored.
        embeddings: float32 [N, d], propagated embeddings of the full graph, users first. Selectors that look
            at the graph alone do not read them.
        retain: m, the exact number of entities to keep.
        constraints: side constraints.
        seed: for selectors that draw.
    """

    matrix: sparse.csr_matrix
    embeddings: np.ndarray
    retain: int
    constraints: Constraints
    seed: int

    @classmethod
    def at_retention(
        cls,
        matrix: sparse.csr_matrix,
        embeddings: np.ndarray,
        *,
        retention: float,
        constraints: Constraints | None = None,
        seed: int = 0,
    ) -> SelectionProblem:
        """State a problem by its retention ratio: m is the ratio of N, rounded to the nearest integer.

        Raises:
            InputError: ``retention`` is not in (0, 1], or the embeddings have another number of rows than the
                matrix has entities.
        """
        if not 0.0 < retention <= 1.0:
            raise InputError(f"retention is {retention}; it must be above 0 and at most 1.")
        total = sum(matrix.shape)
        if len(embeddings) != total:
            raise InputError(
                f"embeddings have {len(embeddings)} rows; the interactions have {total} entities."
            )
        retain = max(round(retention * total), min(2, total))
        return cls(matrix, embeddings, retain, constraints or Constraints(), seed)

    @property
    def entity_count(self) -> int:
        """N, users and items together."""
        return sum(self.matrix.shape)

    def rules(self) -> Rules:
        """Resolve and check the constraints.

        Raises:
            InputError: constraints that contradict each other or the sizes.
            BudgetError: an edge ceiling that no choice can meet.
        """
        users, items = self.matrix.shape
        user_degrees, item_degrees = degrees(self.matrix)
        limits = self.constraints
        required = np.zeros(users + items, bool)
        required[_checked(limits.keep_users, users, "keep_users")] = True
        required[users + _checked(limits.keep_items, items, "keep_items")] = True
        ratio = DEFAULT_FLOOR_SHARE * self.retain / max(1, users + items)
        return Rules.resolve(
            degrees=np.concatenate([user_degrees, item_degrees]),
            user_count=users,
            required=required,
            retain=self.retain,
            floors=(limits.min_users, limits.min_items),
            default_floors=(max(1, int(ratio * users)), max(1, int(ratio * items))),
            edge_budget=limits.edge_budget,
        )


@dataclass(frozen=True, slots=True)
class SelectionReport:
    """How a selection came about.

    Attributes:
        method: name of the selector.
        value: the selector's objective over the retained entities.
        relaxation_value: optimum of the linear relaxation, an upper bound; None where none was solved.
        rounded_value: objective of the relaxation's solution rounded at the boundary, before repair.
        rounded_count: number of entities in that rounded solution.
        fractional: entities strictly between 0 and 1 in the relaxation.
        gap: (relaxation_value - value) / |relaxation_value|, at least 0.
        proven_gap: for the integer program, the solver's own bound against its own solution; None otherwise.
        retained_users: users kept.
        retained_items: items kept.
        degree_sum: what the edge ceiling is compared with.
        min_users: the floor that held.
        min_items: the floor that held.
        edge_budget: the ceiling that held, None if there was none.
    """

    method: str
    value: float
    retained_users: int
    retained_items: int
    degree_sum: int
    min_users: int
    min_items: int
    edge_budget: int | None
    relaxation_value: float | None = None
    rounded_value: float | None = None
    rounded_count: int | None = None
    fractional: int | None = None
    gap: float | None = None
    proven_gap: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The answer: ``retained`` is bool [N], users first, with exactly m True."""

    retained: np.ndarray
    report: SelectionReport


class Selector(Protocol):
    """Anything that answers a :class:`SelectionProblem`; a plain function will do.

    It must return exactly ``problem.retain`` entities that respect ``problem.rules()``, and the same answer
    for the same problem. :func:`lerg_edge.selection.select_by_score` turns a score for each entity into
    such an answer.
    """

    def __call__(self, problem: SelectionProblem) -> Selection: ...


def _checked(ids: np.ndarray, count: int, name: str) -> np.ndarray:
    indices = np.asarray(ids, np.int64).reshape(-1)
    outside = indices[(indices < 0) | (indices >= count)]
    if len(outside):
        raise InputError(f"{name} holds {outside[0]}; indices must lie between 0 and {count - 1}.")
    return indices
