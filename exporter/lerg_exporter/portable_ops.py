"""Operators that exist while a portable program is traced, and what they become: stock operators.

Autograd of a gather is a scatter, which stock kernels do an element at a time. These operators know their
adjoint as a gather, so a joint graph that is traced through them has none. Nothing of the namespace
`lerg_portable`, and nothing of `lerg`, is left in a lowered program: `DECOMPOSITIONS` replaces the small
operators by plain torch before the graph is lowered, `lerg_exporter.portable_lowering` does `gather_sum`.

- `gather_sum`: rows of a table added up by a `GatherPlan`. Tables and results end with a row of zeros.
- `fold`: weighted rows of a table added up, k for each row of the result. Its adjoint `unfold` is k scatters.
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

from lerg_edge.quantiser import FLOAT_BITS, bounds
from lerg_exporter import ops as _ops  # noqa: F401  the import defines torch.ops.lerg
from lerg_exporter import reference

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
    """The adjoint of `pick`: float32 [count, d] with the rows of `grad` [B, d] added where `rows` says.

    The scatter runs over one dimension: of two, the stock kernel works out the coordinates of each element.
    """
    dim = grad.shape[1]
    places = (rows * dim).unsqueeze(1).expand(-1, dim) + torch.arange(dim)
    flat = grad.new_zeros(count * dim).scatter_add(0, places.reshape(-1), grad.reshape(-1))
    return flat.reshape(count, dim)


def fold(table: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
    """Sums of weighted rows; table float32 [c, d], codes int32 and weights float32 [n, k], returns [n, d].

    An entry at a time, so that three times the result is in memory however many entries there are.
    """
    total = functional.embedding(codes[:, 0], table) * weights[:, :1]
    for entry in range(1, codes.shape[1]):
        total = total + functional.embedding(codes[:, entry], table) * weights[:, entry : entry + 1]
    return total


def unfold(grad: Tensor, codes: Tensor, weights: Tensor, count: int) -> Tensor:
    """The adjoint of `fold` towards its table: float32 [count, d] from grad [n, d]."""
    dim = grad.shape[1]
    flat = grad.new_zeros(count * dim)
    for entry in range(codes.shape[1]):
        rows = codes[:, entry].to(torch.int64)
        places = (rows * dim).unsqueeze(1).expand(-1, dim) + torch.arange(dim)
        flat = flat.scatter_add(0, places.reshape(-1), (grad * weights[:, entry : entry + 1]).reshape(-1))
    return flat.reshape(count, dim)


def _codebook_gradient(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    """As `reference.fake_quantise_grad_codebook`; the stock `where` takes far longer than a product."""
    if bits == FLOAT_BITS:
        return grad.clone()
    return grad * _inside(codebook / step.unsqueeze(1), bits)


def _step_gradient(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    """As `reference.fake_quantise_grad_step`: outside the clip range the slope is the bound."""
    if bits == FLOAT_BITS:
        return torch.zeros_like(step)
    scaled = codebook / step.unsqueeze(1)
    low, high = bounds(bits)
    slope = torch.round(scaled.clamp(low, high)) - scaled * _inside(scaled, bits)
    moved = grad * slope
    total = moved.sum(1) if step.shape[0] > 1 else moved.reshape(1, -1).sum(1)
    return total * (high * codebook.numel() // step.shape[0]) ** -0.5


def _inside(scaled: Tensor, bits: int) -> Tensor:
    """1.0 where a weight is within the clip range, 0.0 elsewhere."""
    low, high = bounds(bits)
    return (scaled.clamp(low, high) == scaled).to(torch.float32)


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


def _define() -> torch.library.Library:
    library = torch.library.Library("lerg_portable", "DEF")
    plan, back = _PLAN.format(""), _PLAN.format("back_")
    operators: dict[str, tuple[str, Callable[..., Tensor], Callable[..., Tensor]]] = {
        "gather_sum": (f"Tensor table, {plan}, {back}", gather_sum, _shape_of_sums),
        "fold": ("Tensor table, Tensor codes, Tensor weights", fold, _shape_of_folded),
        "unfold": ("Tensor grad, Tensor codes, Tensor weights, int count", unfold, _shape_of_unfolded),
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
    torch.ops.lerg.fake_quantise.default: reference.fake_quantise,
    torch.ops.lerg.fake_quantise_grad_codebook.default: _codebook_gradient,
    torch.ops.lerg.fake_quantise_grad_step.default: _step_gradient,
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
