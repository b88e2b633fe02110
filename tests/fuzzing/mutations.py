"""Seeded changes of a program at the level of its schema, each written down so that it can be made again.

A change is `[address, value]`: what stands at the address becomes the value. An address is a list of steps
from the program's tree down: a field's name, an index, the name of a method in `execution_plan`,
`"lerg::fold.out#0"` for the first call of an operator in `instructions`, and `"@3"` from a call to the
value that its argument 3 names. So a kept change still means the same when the programs were traced anew.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from fuzzing.flat import Tree

Change = list[Any]

# Numbers at which checks go wrong.
EDGES = (0, 1, -1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 127, 128, 255, 256, 4095, 4096, 65535, 65536, 1 << 20)
FAR_EDGES = (2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)


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


def number(rng: random.Random, near: int) -> int:
    kind = rng.random()
    if kind < 0.45:
        return near + rng.choice((-4, -2, -1, 1, 2, 4, 8, 64))
    if kind < 0.85:
        return rng.choice(EDGES)
    if kind < 0.95:
        return rng.choice(FAR_EDGES)
    return near * 2 if rng.random() < 0.5 else rng.getrandbits(rng.choice((4, 8, 16, 32)))


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


Made = list[tuple[list[Any], Any]]


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


def another_argument(_: Tree, plan: Tree, rng: random.Random) -> Made:
    """A call is given another value: of any kind, or one of its own arguments again."""
    at, call = pick_call(plan, rng)
    if not call.get("args"):
        return []
    position = rng.choice((len(call["args"]) - 1, rng.randrange(len(call["args"]))))
    choices = (
        rng.randrange(len(plan["values"])),
        rng.choice(call["args"]),
        number(rng, call["args"][position]),
    )
    return [([*at, "args", position], rng.choices(choices, (5, 4, 1))[0])]


def argument_count(_: Tree, plan: Tree, rng: random.Random) -> Made:
    at, call = pick_call(plan, rng)
    args = list(call.get("args", []))
    how = rng.randrange(5)
    if how == 0:
        args = args[: rng.randrange(len(args) + 1)]
    elif how == 1 and args:
        args.pop(rng.randrange(len(args)))
    elif how == 2:
        args.insert(rng.randrange(len(args) + 1), rng.randrange(len(plan["values"])))
    elif how == 3:
        args += rng.choices(range(len(plan["values"])), k=rng.choice((1, 3, 20)))
    else:
        rng.shuffle(args)
    return [([*at, "args"], args if args or rng.random() < 0.5 else "absent")]


def another_operator(_: Tree, plan: Tree, rng: random.Random) -> Made:
    at, _call = pick_call(plan, rng)
    count = len(plan["operators"])
    return [([*at, "op_index"], rng.choice((rng.randrange(count), rng.randrange(count), number(rng, count))))]


def rename_operator(tree: Tree, plan: Tree, rng: random.Random) -> Made:
    """An operator of another plan, or one that this runtime has and no program of ours calls."""
    index = rng.randrange(len(plan["operators"]))
    known = [entry for other in tree["execution_plan"] for entry in other.get("operators", [])]
    strangers = [dict(zip(("name", "overload"), name.split("."), strict=True)) for name in STRANGERS]
    strangers.append({"name": "aten::" + "x" * 120})
    return [(["operators", index], dict(rng.choice(rng.choice((known, strangers)))))]


def element_type(_: Tree, plan: Tree, rng: random.Random) -> Made:
    found = pick_value(plan, rng)
    if found is None:
        return []
    choices = (0, 1, 2, 3, 4, 5, 6, 7, 11, 15, 27, 28, rng.randrange(-1, 50))
    return [([*found[0], "scalar_type"], rng.choice(choices))]


def tensor_sizes(_: Tree, plan: Tree, rng: random.Random) -> Made:
    found = pick_value(plan, rng)
    if found is None:
        return []
    at, tensor = found
    sizes, order = list(tensor.get("sizes", [])), list(tensor.get("dim_order", []))
    how = rng.randrange(6)
    if how < 3 and sizes:
        index = rng.randrange(len(sizes))
        sizes[index] = number(rng, sizes[index])
    elif how == 3:
        extra = rng.choice((1, 0, 2, 1 << 20))
        sizes.append(extra)
        order.append(len(order))
    elif how == 4 and sizes:
        sizes.pop()
        order = order[: len(sizes)]
    else:
        rng.shuffle(sizes)
    return [([*at, "sizes"], sizes), ([*at, "dim_order"], order)]


def dim_order(_: Tree, plan: Tree, rng: random.Random) -> Made:
    found = pick_value(plan, rng)
    if found is None:
        return []
    order = list(found[1].get("dim_order", []))
    if rng.random() < 0.5 and len(order) > 1:
        rng.shuffle(order)
    elif order:
        order[rng.randrange(len(order))] = rng.choice((0, 1, 2, 16, 255))
    else:
        order = [0, 1]
    return [([*found[0], "dim_order"], order)]


def dynamism(_: Tree, plan: Tree, rng: random.Random) -> Made:
    found = pick_value(plan, rng)
    return [] if found is None else [([*found[0], "shape_dynamism"], rng.choice((0, 1, 2, 3, -1)))]


def placement(_: Tree, plan: Tree, rng: random.Random) -> Made:
    """Where a planned tensor lies: over another one, unaligned, past the end, in another arena, nowhere."""
    found = pick_value(plan, rng)
    if found is None:
        return []
    at, tensor = found
    here = tensor.get("allocation_info") or {"memory_id": 1, "memory_offset_low": 0}
    others = [
        value["val"]["allocation_info"]
        for value in plan["values"]
        if value.get("val", {}).get("allocation_info")
    ]
    how = rng.randrange(7)
    if how == 0 and others:
        place: Any = dict(rng.choice(others))
    elif how == 1:
        place = {
            **here,
            "memory_offset_low": here.get("memory_offset_low", 0) + rng.choice((1, 2, 3, 4, 8, 16)),
        }
    elif how == 2:
        place = {**here, "memory_offset_low": number(rng, here.get("memory_offset_low", 0)) % 2**32}
    elif how == 3:
        place = {**here, "memory_offset_high": rng.choice((1, 0xFFFFFFFF, 0x80000000))}
    elif how == 4:
        place = {**here, "memory_id": rng.choice((0, 1, 2, 3, 255, 0xFFFFFFFF))}
    else:
        place = "absent" if how == 5 else here
    return [([*at, "allocation_info"], place)]


def constant(tree: Tree, plan: Tree, rng: random.Random) -> Made:
    """A tensor becomes a constant, another constant, or none; an output may so lie in a constant."""
    found = pick_value(plan, rng)
    if found is None:
        return []
    count = len(tree.get("constant_segment", {}).get("offsets", [])) or len(tree.get("constant_buffer", []))
    made: Made = [
        ([*found[0], "data_buffer_idx"], rng.choice((0, 1, rng.randrange(max(count, 1)), number(rng, count))))
    ]
    if rng.random() < 0.6:
        made.append(([*found[0], "allocation_info"], "absent"))
    return made


def external(_: Tree, plan: Tree, rng: random.Random) -> Made:
    found = pick_value(plan, rng)
    if found is None:
        return []
    info = {
        "mutable_data_segments_idx": rng.choice((0, 1, 2**64 - 1)),
        "fully_qualified_name": rng.choice(("codebook", "step", "", "absent")),
        "location": rng.choice((0, 1, 2)),
        "device_type": rng.choice((0, 0, 1)),
    }
    return [([*found[0], "extra_tensor_info"], rng.choice((info, info, "absent")))]


def other_fields(_: Tree, plan: Tree, rng: random.Random) -> Made:
    found = pick_value(plan, rng)
    if found is None:
        return []
    field = rng.choice(("storage_offset", "layout", "requires_grad"))
    return [([*found[0], field], number(rng, 0))]


def scalar_value(_: Tree, plan: Tree, rng: random.Random) -> Made:
    kind = rng.choice(("Int", "Bool", "Double", "IntList", "TensorList", "OptionalTensorList", "String", ""))
    found = pick_value(plan, rng, kind)
    if found is None:
        return []
    at, value = found
    if value[""] == "Int":
        return [([*at, "int_val"], number(rng, value.get("int_val", 0)))]
    if value[""] == "Bool":
        return [([*at, "bool_val"], rng.choice((0, 1, 2, 255)))]
    if value[""] == "Double":
        return [
            ([*at, "double_val"], rng.choice((0.0, -1.0, 1e308, -1e308, float("inf"), float("nan"), 1e-320)))
        ]
    if value.get("items"):
        items = list(value["items"])
        if rng.random() < 0.7:
            items[rng.randrange(len(items))] = number(rng, int(items[0]))
        else:
            items = items[:-1] if rng.random() < 0.5 else items * rng.choice((2, 40))
        return [([*at, "items"], items)]
    return []


def value_kind(_: Tree, plan: Tree, rng: random.Random) -> Made:
    """A value of another kind: a number where a tensor is wanted, a list of values, nothing."""
    found = pick_value(plan, rng, "")
    if found is None:
        return []
    tensor = dict((pick_value(plan, rng) or found)[1])
    count = len(plan["values"])
    indices = [
        rng.choice((rng.randrange(count), rng.randrange(count), -1, count)) for _ in range(rng.randrange(5))
    ]
    kinds: list[Any] = [
        {"": "Null"},
        {"": "Int", "int_val": number(rng, 3)},
        {"": "Bool", "bool_val": 1},
        {"": "Double", "double_val": 0.5},
        {"": "String", "string_val": rng.choice(("", "x" * 300))},
        {"": "IntList", "items": indices},
        {"": "DoubleList", "items": [0.5]},
        {"": "BoolList", "items": [1]},
        {"": "TensorList", "items": indices},
        {"": "OptionalTensorList", "items": indices},
        tensor,
    ]
    return [(found[0], rng.choice(kinds))]


def instructions(_: Tree, plan: Tree, rng: random.Random) -> Made:
    chain = plan["chains"][0]
    steps = list(chain["instructions"])
    how = rng.randrange(6)
    if how == 0:
        steps.pop(rng.randrange(len(steps)))
    elif how == 1:
        rng.shuffle(steps)
    elif how == 2:
        steps.insert(rng.randrange(len(steps) + 1), rng.choice(steps))
    elif how == 3:
        steps = []
    else:
        value = rng.randrange(len(plan["values"]))
        strange = rng.choice(
            (
                {"": "MoveCall", "move_from": value, "move_to": rng.randrange(len(plan["values"]))},
                {"": "JumpFalseCall", "cond_value_index": value, "destination_instruction": 0},
                {"": "FreeCall", "value_index": value},
                {"": "DelegateCall", "delegate_index": 0, "args": [value]},
                {"": "KernelCall", "op_index": 0},
            )
        )
        steps.insert(rng.randrange(len(steps) + 1), {"instr_args": strange})
    return [(["chains", 0, "instructions"], steps)]


def chains(_: Tree, plan: Tree, rng: random.Random) -> Made:
    kept = list(plan["chains"])
    return [(["chains"], rng.choice(([], kept * 2, [*kept, {}], [{}])))]


def plan_inputs(_: Tree, plan: Tree, rng: random.Random) -> Made:
    field = rng.choice(("inputs", "outputs"))
    listed = list(plan.get(field, []))
    others = list(plan.get("inputs", [])) + list(plan.get("outputs", []))
    how = rng.randrange(5)
    value = rng.choice((rng.randrange(len(plan["values"])), number(rng, len(plan["values"])), *others))
    if how < 3 and listed:
        listed[rng.randrange(len(listed))] = value
    elif how == 3:
        listed.append(value)
    else:
        listed = listed[:-1]
    return [([field], listed)]


def arenas(_: Tree, plan: Tree, rng: random.Random) -> Made:
    sizes = list(plan.get("non_const_buffer_sizes", [0]))
    how = rng.randrange(4)
    if how < 2 and len(sizes) > 1:
        index = rng.randrange(1, len(sizes))
        sizes[index] = number(rng, sizes[index])
    elif how == 2:
        sizes.append(rng.choice((0, 16, 4096, 1 << 40, -1)))
    else:
        sizes = sizes[: rng.randrange(len(sizes) + 1)]
    return [(["non_const_buffer_sizes"], sizes)]


def aliases(_: Tree, plan: Tree, rng: random.Random) -> Made:
    """One value takes the place of another's in the table."""
    count = len(plan["values"])
    return [(["values", rng.randrange(count)], rng.choice(plan["values"]))]


def whole_program(tree: Tree, _: Tree, rng: random.Random) -> Made:
    """Constants, segments, metadata methods, and things that no program of ours has."""
    made: list[tuple[list[Any], Any]] = []
    segment = tree.get("constant_segment")
    if segment and segment.get("offsets"):
        index = rng.randrange(len(segment["offsets"]))
        made.append(
            (["/", "constant_segment", "offsets", index], number(rng, segment["offsets"][index]) % 2**64)
        )
        made.append((["/", "constant_segment", "segment_index"], rng.choice((0, 1, 2, 2**32 - 1))))
    if tree.get("segments"):
        index = rng.randrange(len(tree["segments"]))
        field = rng.choice(("offset", "size"))
        old = tree["segments"][index].get(field, 0)
        made.append((["/", "segments", index, field], number(rng, old) % 2**64))
    plans = tree["execution_plan"]
    made.append((["/", "execution_plan"], rng.choice((plans[:-1], plans[::-1], plans + plans[:1]))))
    made.append((["/", "version"], rng.choice((0, 1, 2**31))))
    made.append((["/", "constant_buffer"], rng.choice(([], [{}], [{"storage": [0] * 64}] * 4))))
    made.append(
        (["/", "mutable_data_segments"], [{"segment_index": 0, "offsets": [0, number(rng, 16) % 2**64]}])
    )
    made.append((["/", "named_data"], [{"key": "codebook", "segment_index": rng.choice((0, 1, 99))}]))
    return [rng.choice(made)]


def delegates(_: Tree, plan: Tree, rng: random.Random) -> Made:
    backend = {"id": "XnnpackBackend", "processed": {"location": rng.choice((0, 1)), "index": 0}}
    return [(["delegates"], [backend]), (["non_const_buffer_device"], [{"buffer_idx": 1, "device_type": 1}])]


STRANGERS = (
    *("aten::cat.out", "aten::add.out", "aten::clone.out", "aten::slice_copy.Tensor_out", "aten::mm.out"),
    *("aten::index_put.out", "aten::gather.out", "aten::embedding.out", "aten::topk.values"),
    *("aten::split_copy.Tensor_out", "aten::view_copy.out", "aten::sym_size.int"),
    *("executorch_prim::et_view.default", "executorch_prim::add.Scalar"),
    *("lerg::top_items.out", "lerg::fold.out", "lerg::absent.out"),
)

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
