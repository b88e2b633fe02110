"""Changes of a plan's values: types, sizes and places of tensors, numbers, lists, and other kinds."""

from __future__ import annotations

import random
from typing import Any

from fuzzing.drawing import Made, number, pick_value
from fuzzing.flat import Tree


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
