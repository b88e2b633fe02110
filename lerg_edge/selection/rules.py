"""The side constraints of a selection in checked, numeric form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_edge.errors import BudgetError, InputError

_SIDES = ("user", "item")


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Feasible by construction: some choice of ``retain`` entities respects all of them.

    Attributes:
        degrees: int64 [N], interactions of each entity in the full graph, users first.
        user_count: U.
        required: bool [N], entities that must stay.
        retain: m.
        floors: least number of retained users and of retained items; already at least the required ones.
        edge_budget: bound on the sum of degrees of the retained, or None.
    """

    degrees: np.ndarray
    user_count: int
    required: np.ndarray
    retain: int
    floors: tuple[int, int]
    edge_budget: int | None

    @property
    def sides(self) -> tuple[slice, slice]:
        """Where users and items lie in an array over entities."""
        return slice(0, self.user_count), slice(self.user_count, len(self.degrees))

    @classmethod
    def resolve(
        cls,
        *,
        degrees: np.ndarray,
        user_count: int,
        required: np.ndarray,
        retain: int,
        floors: tuple[int | None, int | None],
        default_floors: tuple[int, int],
        edge_budget: int | None,
    ) -> Rules:
        """Fill in the floors that were left open and prove that a feasible choice exists.

        An open floor takes its default, less whatever the other constraints leave no room for.

        Raises:
            InputError: ``retain``, a floor and the required entities cannot hold together.
            BudgetError: the ceiling is below the least sum of degrees that the other constraints allow.
        """
        total = len(degrees)
        counts = (user_count, total - user_count)
        least_retain = sum(count > 0 for count in counts)
        if not least_retain <= retain <= total:
            raise InputError(
                f"{retain} entities to retain; it must be between {least_retain} and all {total}."
            )
        musts = (int(required[:user_count].sum()), int(required[user_count:].sum()))
        for side, floor, count in zip(_SIDES, floors, counts, strict=True):
            if floor is not None and not 0 <= floor <= count:
                raise InputError.naming(
                    f"{{min_{side}s}} is {{}}; it must be between 0 and the {{}} {side}s there are.",
                    floor,
                    count,
                )
        lows = [max(floor or 0, must) for floor, must in zip(floors, musts, strict=True)]
        if sum(lows) > retain:
            raise InputError.naming(
                "{} users and {} items have to stay by {min_users}, {min_items}, {keep_users} and "
                "{keep_items}, but only {} entities are retained; raise {retention} or lower these.",
                *lows,
                retain,
            )
        for number in (0, 1):
            if floors[number] is None:
                wanted = min(default_floors[number], counts[number], retain - lows[1 - number])
                lows[number] = max(lows[number], wanted)
        rules = cls(degrees, user_count, required, retain, (lows[0], lows[1]), edge_budget)
        rules._check_ceiling()
        return rules

    def greedy(self, scores: np.ndarray) -> np.ndarray:
        """Choose the best total score under all rules but the ceiling, exactly; ties go to the lower index.

        Required entities, then each side's best up to its floor, then the best of all: the rules are a
        laminar matroid, on which the greedy choice is optimal.

        Args:
            scores: float [N], finite.

        Returns:
            bool [N] with ``retain`` True.
        """
        order = np.argsort(-scores, kind="stable")
        chosen = self.required.copy()
        for side, floor in zip(self.sides, self.floors, strict=True):
            missing = floor - int(chosen[side].sum())
            if missing > 0:
                inside = order[(order >= side.start) & (order < side.stop)]
                chosen[inside[~chosen[inside]][:missing]] = True
        missing = self.retain - int(chosen.sum())
        chosen[order[~chosen[order]][:missing]] = True
        return chosen

    def degree_sum(self, chosen: np.ndarray) -> int:
        """Add up the degrees of the chosen, bool [N]."""
        return int(self.degrees[chosen].sum())

    def broken_by(self, chosen: np.ndarray) -> str | None:
        """Name a rule that a choice, bool [N], breaks; None if it breaks none."""
        if int(chosen.sum()) != self.retain:
            return f"it retains {int(chosen.sum())} entities and not {self.retain}"
        if (self.required & ~chosen).any():
            return "it prunes an entity that must stay"
        for name, side, floor in zip(_SIDES, self.sides, self.floors, strict=True):
            if int(chosen[side].sum()) < floor:
                return f"it retains fewer than {floor} {name}s"
        if self.edge_budget is not None and self.degree_sum(chosen) > self.edge_budget:
            return f"its degrees add up to more than {self.edge_budget}"
        return None

    def _check_ceiling(self) -> None:
        if self.edge_budget is None:
            return
        least = self.degree_sum(self.greedy(-self.degrees.astype(np.float64)))
        if least > self.edge_budget:
            raise BudgetError.naming(
                "{edge_budget} is {}, but {} entities with at least {} users and {} items have at least {} "
                "interactions; raise it to {} or lower {retention}, {min_users} or {min_items}.",
                self.edge_budget,
                self.retain,
                *self.floors,
                least,
                least,
            )
