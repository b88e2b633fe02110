"""Changes of what a plan calls and by what: arguments, operators, instructions."""

from __future__ import annotations

import random

from fuzzing.drawing import Made, number, pick_call
from fuzzing.flat import Tree

STRANGERS = (
    *("aten::cat.out", "aten::add.out", "aten::clone.out", "aten::slice_copy.Tensor_out", "aten::mm.out"),
    *("aten::index_put.out", "aten::gather.out", "aten::embedding.out", "aten::topk.values"),
    *("aten::split_copy.Tensor_out", "aten::view_copy.out", "aten::sym_size.int"),
    *("executorch_prim::et_view.default", "executorch_prim::add.Scalar"),
    *("lerg::top_items.out", "lerg::fold.out", "lerg::absent.out"),
)


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
