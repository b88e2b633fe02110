"""Operators that exist while a portable program is traced, and what they become: stock operators.

Autograd of a gather is a scatter, which stock kernels do an element at a time. These operators know their
adjoint as a gather, so a joint graph that is traced through them has none. Nothing of the namespace
`lerg_portable` is left in a lowered program: `DECOMPOSITIONS` replaces operators by plain torch before the
graph is lowered, `lerg_exporter.programs.portable.lowering` does those that become many, `gather_sum` and
`weighted_sums`.

- `gather_sum`: rows of a table added up by a `GatherPlan`. Tables and results end with a row of zeros.
- `fold`: weighted rows of a table added up, k for each row of the result, and its adjoint `unfold`; both
  become `weighted_sums`. See `lerg_exporter.programs.portable.fold`.
- `quantise`: LSQ's quantiser. Its two gradients share what they need; see `portable_quantiser`.
- `pick`: rows of a batch. Its adjoint `put` is a scatter, of [B, d]. The layers above the first have one
  gradient, which `share_puts` lets them have together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.nn import functional

from lerg_exporter.programs.portable.fold import added, fold, unfold, weighted_sums
from lerg_exporter.programs.portable.quantiser import quantise, quantise_gradients

__all__ = ["DECOMPOSITIONS", "share_puts", "widened"]

_PLAN = "Tensor[] {0}chunks, int {0}offset, int[] {0}parts, int {0}empty, Tensor? {0}place"
_PLAN_ARGUMENTS = 5


def widened(index: Tensor, offset: int) -> Tensor:
    """A stored index, of any integer type, as int32: what the stock `embedding` takes."""
    index = index.to(torch.int32)
    return index + offset if offset else index


def gather_sum(
    table: Tensor,
    chunks: Sequence[Tensor],
    offset: int,
    parts: Sequence[int],
    empty: int,
    place: Tensor | None,
    *adjoint: Any,
) -> Tensor:
    """Sums of rows of `table`, one for each row of the plan, and a last row of zeros.

    Shapes:
        table: float32 [n + 1, d], its last row zero. chunks: integers [rows, width], `offset` less than the
        indices. place: integers [m + 1], where each row of the result, the zero row included, is among the
        plan's rows; None where that is the same. returns float32 [m + 1, d].
    """
    left = iter(chunks)
    groups = []
    for count in parts:
        sums = [functional.embedding(widened(next(left), offset), table).sum(1) for _ in range(count)]
        groups.append(sums[0] if count == 1 else torch.stack(sums).sum(0))
    groups.append(table.new_zeros(empty + 1, table.shape[1]))
    result = torch.cat(groups)
    return result if place is None else functional.embedding(widened(place, 0), result)


def pick(table: Tensor, rows: Tensor) -> Tensor:
    """Rows of a batch; table float32 [n, d], rows int64 [B], returns [B, d]."""
    return functional.embedding(rows, table)


def put(grad: Tensor, rows: Tensor, count: int) -> Tensor:
    """The adjoint of `pick`: float32 [count, d] with the rows of `grad` [B, d] added where `rows` says."""
    return added(grad.new_zeros(count, grad.shape[1]), rows, grad)


def _shape_of_sums(
    table: Tensor,
    chunks: Sequence[Tensor],
    offset: int,
    parts: Sequence[int],
    empty: int,
    place: Tensor | None,
    *adjoint: Any,
) -> Tensor:
    rows, position = empty + 1, 0
    for count in parts:
        rows += chunks[position].shape[0]
        position += count
    return table.new_empty(rows if place is None else place.shape[0], table.shape[1])


def _shape_of_picked(table: Tensor, rows: Tensor) -> Tensor:
    return table.new_empty(rows.shape[0], table.shape[1])


def _shape_of_folded(table: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
    return table.new_empty(codes.shape[0], table.shape[1])


def _shape_of_unfolded(grad: Tensor, codes: Tensor, weights: Tensor, count: int) -> Tensor:
    return grad.new_empty(count, grad.shape[1])


def _shape_of_weighted(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    return table.new_empty(rows.shape[0] * rows.shape[1], 1, table.shape[1])


def _shape_of_quantised(codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    return torch.empty_like(codebook)


def _shape_of_put(grad: Tensor, rows: Tensor, count: int) -> Tensor:
    return grad.new_empty(count, grad.shape[1])


class _Saved(NamedTuple):
    """Where the tensors of one argument are among those that autograd keeps."""

    start: int
    length: int
    is_list: bool


def _keep_plans(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Tensors are kept by autograd, so that none of them outlives the graph; the rest beside it."""
    ctx.layout = []
    kept: list[Tensor] = []
    for argument in inputs[1:]:
        held = argument if isinstance(argument, (list, tuple)) else [argument]
        if held and isinstance(held[0], Tensor):
            ctx.layout.append(_Saved(len(kept), len(held), held is argument))
            kept += held
        else:
            ctx.layout.append(argument)
    ctx.save_for_backward(*kept)


def _sums_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    arguments: list[Any] = []
    nothing: list[Any] = []
    for kept in ctx.layout:
        if isinstance(kept, _Saved):
            start, count, is_list = kept
            tensors = list(ctx.saved_tensors[start : start + count])
            arguments.append(tensors if is_list else tensors[0])
            nothing.append([None] * count if is_list else None)
        else:
            arguments.append(kept)
            # Of a list without elements autograd cannot tell that it is no list of tensors.
            nothing.append([] if isinstance(kept, (list, tuple)) and not kept else None)
    plan, adjoint = arguments[:_PLAN_ARGUMENTS], arguments[_PLAN_ARGUMENTS:]
    return torch.ops.lerg_portable.gather_sum(grad, *adjoint, *plan), *nothing


def _keep_rows(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    table, rows = inputs
    ctx.save_for_backward(rows)
    ctx.count = table.shape[0]


def _pick_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (rows,) = ctx.saved_tensors
    return torch.ops.lerg_portable.put(grad, rows, ctx.count), None


def _keep_entries(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    table, codes, weights = inputs
    ctx.save_for_backward(codes, weights)
    ctx.count = table.shape[0]


def _fold_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return torch.ops.lerg_portable.unfold(grad, *ctx.saved_tensors, ctx.count), None, None


def _keep_weights(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    codebook, step, ctx.bits = inputs
    ctx.save_for_backward(codebook, step)


def _quantise_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    codebook, step = ctx.saved_tensors
    return *quantise_gradients(grad, codebook, step, ctx.bits), None


def _define() -> torch.library.Library:
    library = torch.library.Library("lerg_portable", "DEF")
    plan, back = _PLAN.format(""), _PLAN.format("back_")
    operators: dict[str, tuple[str, Callable[..., Tensor], Callable[..., Tensor]]] = {
        "gather_sum": (f"Tensor table, {plan}, {back}", gather_sum, _shape_of_sums),
        "fold": ("Tensor table, Tensor codes, Tensor weights", fold, _shape_of_folded),
        "unfold": ("Tensor grad, Tensor codes, Tensor weights, int count", unfold, _shape_of_unfolded),
        "weighted_sums": ("Tensor table, Tensor rows, Tensor weights", weighted_sums, _shape_of_weighted),
        "quantise": ("Tensor codebook, Tensor step, int bits", quantise, _shape_of_quantised),
        "pick": ("Tensor table, Tensor rows", pick, _shape_of_picked),
        "put": ("Tensor grad, Tensor rows, int count", put, _shape_of_put),
    }
    for name, (arguments, implementation, shape) in operators.items():
        library.define(f"{name}({arguments}) -> Tensor")
        library.impl(name, implementation, "CompositeExplicitAutograd")
        torch.library.register_fake(f"lerg_portable::{name}", shape, lib=library)
    for name, backward, keep in (
        ("gather_sum", _sums_backward, _keep_plans),
        ("pick", _pick_backward, _keep_rows),
        ("fold", _fold_backward, _keep_entries),
        ("quantise", _quantise_backward, _keep_weights),
    ):
        torch.library.register_autograd(f"lerg_portable::{name}", backward, setup_context=keep, lib=library)
    return library


# Operators live as long as their library object, and cannot be defined twice: a reload leaves the first.
if not hasattr(torch.ops.lerg_portable, "gather_sum"):
    _LIBRARY = _define()

DECOMPOSITIONS: Mapping[Any, Callable[..., Tensor]] = {
    torch.ops.lerg_portable.fold.default: fold,
    torch.ops.lerg_portable.unfold.default: unfold,
    torch.ops.lerg_portable.pick.default: pick,
    torch.ops.lerg_portable.put.default: put,
    torch.ops.lerg_portable.quantise.default: quantise,
}


def share_puts(graph: Graph) -> None:
    """Let equal scatters of a traced graph be one; each would take a table of all entities."""
    first: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if node.target != torch.ops.lerg_portable.put.default:
            continue
        if node.args in first:
            node.replace_all_uses_with(first[node.args])
            graph.erase_node(node)
        else:
            first[node.args] = node
