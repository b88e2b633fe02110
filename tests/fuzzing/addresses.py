"""Where in a program's tree something stands, and changing it there.

A change is `[address, value]`: what stands at the address becomes the value. An address is a list of steps
from the program's tree down: a field's name, an index, the name of a method in `execution_plan`,
`"lerg::fold.out#0"` for the first call of an operator in `instructions`, and `"@3"` from a call to the
value that its argument 3 names. So a kept change still means the same when the programs were traced anew.
"""

from __future__ import annotations

import copy
from typing import Any

from fuzzing.flat import Tree

Change = list[Any]


def operator_name(plan: Tree, call: Tree) -> str:
    operators = plan.get("operators", [])
    index = call.get("op_index", 0)
    if not 0 <= index < len(operators):
        return "?"
    name, overload = operators[index].get("name", ""), operators[index].get("overload", "")
    return f"{name}.{overload}" if overload else name


def step_to(parent: Any, step: Any, plan: Tree | None) -> Any:
    """What one step of an address leads to.

    Raises:
        LookupError: nothing.
    """
    if isinstance(step, str) and isinstance(parent, list):
        if "#" in step and plan is not None:
            name, number = step.rsplit("#", 1)
            same = [
                entry["instr_args"]
                for entry in parent
                if entry.get("instr_args", {}).get("") == "KernelCall"
                and operator_name(plan, entry["instr_args"]) == name
            ]
            return same[int(number)]
        return next(entry for entry in parent if entry.get("name") == step)
    if isinstance(step, str) and step.startswith("@") and plan is not None:
        return plan["values"][parent["args"][int(step[1:])]]
    return parent[step]


def apply(tree: Tree, changes: list[Change]) -> None:
    """Make the changes, in order.

    Raises:
        LookupError: an address leads nowhere in this tree.
    """
    for address, value in changes:
        at: Any = tree
        plan: Tree | None = None
        for depth, step in enumerate(address[:-1]):
            try:
                at = step_to(at, step, plan)
            except (StopIteration, KeyError, IndexError, TypeError):
                raise LookupError(f"{address} leads nowhere") from None
            if depth == 1 and address[0] == "execution_plan":
                plan = at
        last = address[-1]
        try:
            if value == "absent":
                at.pop(last, None)
            else:
                at[last] = copy.deepcopy(value)
        except (TypeError, IndexError, AttributeError):
            raise LookupError(f"{address} leads nowhere") from None


def calls(plan: Tree) -> list[tuple[str, Tree]]:
    """Address and arguments of each kernel call."""
    seen: dict[str, int] = {}
    found = []
    first = next(iter(plan.get("chains", [])), {})
    for entry in first.get("instructions", []):
        call = entry.get("instr_args", {})
        if call.get("") != "KernelCall":
            continue
        name = operator_name(plan, call)
        found.append((f"{name}#{seen.get(name, 0)}", call))
        seen[name] = seen.get(name, 0) + 1
    return found
