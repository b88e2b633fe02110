"""Drawing the places and the numbers of a change: where checks go wrong, and what calls name."""

from __future__ import annotations

import random
from typing import Any

from fuzzing.addresses import calls
from fuzzing.flat import Tree

Made = list[tuple[list[Any], Any]]
"""Changes of a plan: addresses from the plan down, or after `/` from the program's tree, and values."""

# Numbers at which checks go wrong.
EDGES = (0, 1, -1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 127, 128, 255, 256, 4095, 4096, 65535, 65536, 1 << 20)
FAR_EDGES = (2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)


def number(rng: random.Random, near: int) -> int:
    kind = rng.random()
    if kind < 0.45:
        return near + rng.choice((-4, -2, -1, 1, 2, 4, 8, 64))
    if kind < 0.85:
        return rng.choice(EDGES)
    if kind < 0.95:
        return rng.choice(FAR_EDGES)
    return near * 2 if rng.random() < 0.5 else rng.getrandbits(rng.choice((4, 8, 16, 32)))


def pick_call(plan: Tree, rng: random.Random) -> tuple[list[Any], Tree]:
    name, call = rng.choice(calls(plan))
    return ["chains", 0, "instructions", name], call


def pick_value(plan: Tree, rng: random.Random, kind: str = "Tensor") -> tuple[list[Any], Tree] | None:
    """A value, most often one that a call names."""
    values = plan.get("values", [])
    for _ in range(20):
        at, call = pick_call(plan, rng)
        if rng.random() < 0.85 and call.get("args"):
            position = rng.choice((len(call["args"]) - 1, rng.randrange(len(call["args"]))))
            index, address = call["args"][position], [*at, f"@{position}"]
        else:
            index = rng.randrange(len(values))
            address = ["values", index]
        if not 0 <= index < len(values):
            continue
        value = values[index].get("val")
        if value is not None and (not kind or value[""] == kind):
            return [*address, "val"], value
    return None
