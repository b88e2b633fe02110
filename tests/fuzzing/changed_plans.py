"""Changes of a plan as a whole, and of the program around it."""

from __future__ import annotations

import random
from typing import Any

from fuzzing.drawing import Made, number
from fuzzing.flat import Tree


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
