"""From any set of entities to one that respects every rule, losing little value.

Counts and floors are restored by adding the best and dropping the worst; the edge ceiling by exchanging one
entity for another. Exchanges look at a window of the entities next to the threshold only. Should they not get
below the ceiling, the set is chosen anew with a price on degrees, which always succeeds: at a high enough
price it is the set of least degrees, and the rules were checked against that one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_edge.selection.rules import Rules

_WINDOW = 256
_MOST_EXCHANGES = 64
_PRICE_STEPS = 48


@dataclass(frozen=True, slots=True, eq=False)
class PricedChoice:
    """The best set once each interaction costs ``price``.

    Attributes:
        chosen: bool [N], respects every rule.
        price: multiplier of the edge ceiling, 0 where it does not bind.
    """

    chosen: np.ndarray
    price: float


def priced_choice(values: np.ndarray, rules: Rules) -> PricedChoice:
    """Choose greedily by value - price * degree, at the price where the ceiling is just met (by bisection).

    Without a ceiling, or where it does not bind, the choice is optimal. Where it binds, the price is the
    Lagrange multiplier; the sets just above and just below it are equally good at that price, and the choice
    lies on the way from one to the other, as far up as the ceiling allows.

    Args:
        values: float64 [N], finite.
    """
    above = rules.greedy(values)
    if rules.edge_budget is None or rules.degree_sum(above) <= rules.edge_budget:
        return PricedChoice(above, 0.0)
    # Above the range of values one interaction less outweighs any value: the set of least degrees.
    low, high = 0.0, float(values.max() - values.min()) + 1.0
    below = rules.greedy(values - high * rules.degrees)
    for _ in range(_PRICE_STEPS):
        price = 0.5 * (low + high)
        tried = rules.greedy(values - price * rules.degrees)
        if rules.degree_sum(tried) <= rules.edge_budget:
            high, below = price, tried
        else:
            low, above = price, tried
    return PricedChoice(_on_the_way(above, below, rules), high)


def repair(chosen: np.ndarray, values: np.ndarray, rules: Rules, *, price: float = 0.0) -> np.ndarray:
    """Make a choice respect every rule.

    Args:
        chosen: bool [N], any set, the empty one included.
        values: float64 [N], finite; what the choice maximises the sum of.
        price: value of one interaction at the optimum (the ceiling's dual value), to rank by value - price *
            degree who is added or dropped first.

    Returns:
        bool [N]; ``rules.broken_by`` is None for it.
    """
    reduced = values - price * rules.degrees
    repaired = _restore_counts(chosen, reduced, rules)
    if rules.edge_budget is None:
        return repaired
    if not _lower_degrees(repaired, values, reduced, rules):
        anew = priced_choice(values, rules)
        repaired, reduced = anew.chosen, values - anew.price * rules.degrees
    _use_slack(repaired, values, reduced, rules)
    return repaired


def _on_the_way(above: np.ndarray, below: np.ndarray, rules: Rules) -> np.ndarray:
    """Go from a set over the ceiling towards one that meets it, exchange by exchange, and stop when it holds.

    Pairs are made within a side first, so every set on the way keeps the floors that both ends keep. The
    largest savings come first: the running sum rises and then falls, and ends at or above what is needed.
    """
    leaving, entering = above & ~below, below & ~above
    pairs_out, pairs_in, rest_out, rest_in = [], [], [], []
    for side in rules.sides:
        outs = side.start + np.flatnonzero(leaving[side])
        ins = side.start + np.flatnonzero(entering[side])
        outs = outs[np.argsort(-rules.degrees[outs], kind="stable")]
        ins = ins[np.argsort(rules.degrees[ins], kind="stable")]
        paired = min(len(outs), len(ins))
        pairs_out.append(outs[:paired])
        pairs_in.append(ins[:paired])
        rest_out.append(outs[paired:])
        rest_in.append(ins[paired:])
    outs, ins = np.concatenate(pairs_out + rest_out), np.concatenate(pairs_in + rest_in)
    saved = rules.degrees[outs] - rules.degrees[ins]
    order = np.argsort(-saved, kind="stable")
    excess = rules.degree_sum(above) - (rules.edge_budget or 0)
    steps = 1 + int(np.argmax(np.cumsum(saved[order]) >= excess))
    result = above.copy()
    result[outs[order[:steps]]] = False
    result[ins[order[:steps]]] = True
    return result


def _restore_counts(chosen: np.ndarray, scores: np.ndarray, rules: Rules) -> np.ndarray:
    """Bring a set to exactly m entities with the floors and required entities; a new array."""
    result = chosen | rules.required
    order = np.argsort(-scores, kind="stable")
    for side, floor in zip(rules.sides, rules.floors, strict=True):
        missing = floor - int(result[side].sum())
        if missing > 0:
            inside = order[(order >= side.start) & (order < side.stop)]
            result[inside[~result[inside]][:missing]] = True
    missing = rules.retain - int(result.sum())
    if missing > 0:
        result[order[~result[order]][:missing]] = True
    elif missing < 0:
        result[_droppable(result, order[::-1], rules)[:-missing]] = False
    return result


def _droppable(chosen: np.ndarray, worst_first: np.ndarray, rules: Rules) -> np.ndarray:
    """Entities that may all leave together without passing a floor, in the order given."""
    free = worst_first[(chosen & ~rules.required)[worst_first]]
    allowed = np.zeros(len(chosen), bool)
    for side, floor in zip(rules.sides, rules.floors, strict=True):
        spare = int(chosen[side].sum()) - floor
        inside = free[(free >= side.start) & (free < side.stop)]
        allowed[inside[:spare]] = True
    return free[allowed[free]]


def _lower_degrees(chosen: np.ndarray, values: np.ndarray, reduced: np.ndarray, rules: Rules) -> bool:
    """Exchange in place until the ceiling holds; False if it still does not.

    One exchange that does it at the least loss is taken if there is one, else the one that costs least for
    each interaction it saves.
    """
    ceiling = rules.edge_budget or 0
    for _ in range(_MOST_EXCHANGES):
        excess = rules.degree_sum(chosen) - ceiling
        if excess <= 0:
            return True
        leaving, entering, allowed = _exchanges(chosen, reduced, rules)
        saved = rules.degrees[leaving][:, None] - rules.degrees[entering][None, :]
        loss = values[leaving][:, None] - values[entering][None, :]
        enough = allowed & (saved >= excess)
        useful = allowed & (saved > 0)
        if enough.any():
            cost = np.where(enough, loss, np.inf)
        elif useful.any():
            cost = np.where(useful, loss / np.maximum(saved, 1), np.inf)
        else:
            return False
        _exchange(chosen, leaving, entering, cost)
    return rules.degree_sum(chosen) <= ceiling


def _use_slack(chosen: np.ndarray, values: np.ndarray, reduced: np.ndarray, rules: Rules) -> None:
    """Exchange in place for value while what is left of the ceiling allows it."""
    for _ in range(_MOST_EXCHANGES):
        slack = (rules.edge_budget or 0) - rules.degree_sum(chosen)
        leaving, entering, allowed = _exchanges(chosen, reduced, rules)
        added = rules.degrees[entering][None, :] - rules.degrees[leaving][:, None]
        loss = values[leaving][:, None] - values[entering][None, :]
        better = allowed & (added <= slack) & (loss < 0)
        if not better.any():
            return
        _exchange(chosen, leaving, entering, np.where(better, loss, np.inf))


def _exchange(chosen: np.ndarray, leaving: np.ndarray, entering: np.ndarray, cost: np.ndarray) -> None:
    row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
    chosen[leaving[row]] = False
    chosen[entering[column]] = True


def _exchanges(
    chosen: np.ndarray, reduced: np.ndarray, rules: Rules
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List candidates next to the threshold of each side.

    Returns:
        Entities that may leave [a], entities that may enter [b], and bool [a, b]: which exchanges keep the
        floors. a and b are at most two windows.
    """
    leaving, entering, sides_out, sides_in = [], [], [], []
    spare = []
    for number, (side, floor) in enumerate(zip(rules.sides, rules.floors, strict=True)):
        kept, out = chosen[side], ~chosen[side]
        spare.append(int(kept.sum()) > floor)
        inside = side.start + np.flatnonzero(kept & ~rules.required[side])
        outside = side.start + np.flatnonzero(out)
        leaving.append(_smallest(inside, reduced))
        entering.append(_smallest(outside, -reduced))
        sides_out.append(np.full(len(leaving[-1]), number))
        sides_in.append(np.full(len(entering[-1]), number))
    side_out, side_in = np.concatenate(sides_out), np.concatenate(sides_in)
    same_side = side_out[:, None] == side_in[None, :]
    allowed = same_side | np.array(spare)[side_out][:, None]
    return np.concatenate(leaving), np.concatenate(entering), allowed


def _smallest(entities: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The window of entities with the smallest scores, in index order."""
    if len(entities) <= _WINDOW:
        return entities
    return np.sort(entities[np.argpartition(scores[entities], _WINDOW)[:_WINDOW]])
