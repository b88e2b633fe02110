"""Seeded changes of a program at the level of its schema, each written down so that it can be made again.

What a change is, `fuzzing.addresses` says.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

from fuzzing.addresses import Change, apply, calls
from fuzzing.changed_calls import (
    another_argument,
    another_operator,
    argument_count,
    instructions,
    rename_operator,
)
from fuzzing.changed_plans import (
    aliases,
    arenas,
    chains,
    delegates,
    plan_inputs,
    whole_program,
)
from fuzzing.changed_values import (
    constant,
    dim_order,
    dynamism,
    element_type,
    external,
    other_fields,
    placement,
    scalar_value,
    tensor_sizes,
    value_kind,
)
from fuzzing.drawing import Made
from fuzzing.flat import Tree

__all__ = ["Change", "mutate"]

Mutation = Callable[[Tree, Tree, random.Random], Made]
WEIGHTS: list[tuple[Mutation, int]] = [
    (another_argument, 12),
    (argument_count, 8),
    (another_operator, 5),
    (rename_operator, 4),
    (element_type, 12),
    (tensor_sizes, 12),
    (dim_order, 4),
    (dynamism, 4),
    (placement, 12),
    (constant, 6),
    (external, 2),
    (other_fields, 2),
    (scalar_value, 7),
    (value_kind, 5),
    (instructions, 4),
    (chains, 1),
    (plan_inputs, 5),
    (arenas, 3),
    (aliases, 5),
    (whole_program, 4),
    (delegates, 1),
]


def mutate(tree: Tree, rng: random.Random) -> list[Change]:
    """Change the tree in one to four places and return what was done."""
    changes: list[Change] = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        plans = tree["execution_plan"]
        plan = rng.choice([plan for plan in plans if calls(plan)] or plans)
        if not plan.get("values") or not plan.get("operators") or not calls(plan):
            continue
        kinds, weights = zip(*WEIGHTS, strict=True)
        made = rng.choices(kinds, weights)[0](tree, plan, rng)
        for address, value in made:
            whole = address[1:] if address[0] == "/" else ["execution_plan", plan["name"], *address]
            change = [whole, copy.deepcopy(value)]
            try:
                apply(tree, [change])
            except LookupError:
                continue
            changes.append(change)
    return changes
