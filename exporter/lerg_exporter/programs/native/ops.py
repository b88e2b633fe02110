"""The operators of the lerg namespace for torch: schemas, shapes for tracing, gradients, CPU implementations.

Importing this module defines `torch.ops.lerg.*`, once a process.  Every operator has a functional form, which
programs are traced with, and an `.out` form, which ExecuTorch's programs call and the native kernels
implement.  What each computes stands in `lerg_exporter.programs.native.reference` and
`ranking_reference`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lerg_edge.codes.widths import WIDTHS
from lerg_exporter.programs.native import ranking_reference, reference

__all__ = ["OPERATORS"]

_GRAPH = "Tensor user_codes, Tensor item_codes, Tensor indptr, Tensor indices"
_CODES = "Tensor user_rows, Tensor item_codes, Tensor item_scales"
_ENTRIES = "Tensor codes, Tensor weights, Tensor scales, Tensor scale_table"
_TRIPLES = "Tensor users, Tensor positives, Tensor negatives"
_WHERE = "int side, int layers, float anchor_weight"
_HOW = "int layer_bits=32, bool blocks=False"

# Operator name to its arguments.
OPERATORS: dict[str, str] = {
    "fake_quantise": "Tensor codebook, Tensor step, int bits",
    "fake_quantise_grad_codebook": "Tensor grad, Tensor codebook, Tensor step, int bits",
    "fake_quantise_grad_step": "Tensor grad, Tensor codebook, Tensor step, int bits",
    "dequantise": "Tensor codes, Tensor step, int bits",
    "propagate_rows": f"Tensor codebook, {_GRAPH}, Tensor placeholders, Tensor rows, {_WHERE}, {_HOW}",
    "propagate_rows_grad": f"Tensor grad, {_GRAPH}, Tensor rows, {_WHERE}, int codebook_rows, {_HOW}",
    "propagate_table": f"Tensor codebook, {_GRAPH}, Tensor placeholders, {_WHERE}, {_HOW}",
    "folded_rows": (
        f"Tensor codebook, Tensor step, {_ENTRIES}, Tensor placeholders, {_TRIPLES}, "
        "int retained_users, int user_placeholders, int bits"
    ),
    "folded_loss": (
        f"Tensor rows, Tensor codebook, Tensor step, {_ENTRIES}, {_TRIPLES}, "
        "int retained_users, int bits, float l2"
    ),
    "folded_loss_grad": (
        f"Tensor grad, Tensor rows, {_ENTRIES}, {_TRIPLES}, int retained_users, int codebook_rows, float l2"
    ),
    "folded_table": (
        f"Tensor packed, Tensor step, {_ENTRIES}, Tensor placeholders, "
        "int retained_users, int user_placeholders, int side, int bits"
    ),
    "top_items": "Tensor user_rows, Tensor item_table, Tensor item_slots, Tensor seen, Tensor ranks",
    "score_items": "Tensor user_rows, Tensor item_table, Tensor item_slots, Tensor items",
    "row_scales": "Tensor table",
    "quantise_rows": "Tensor table",
    "top_items_int8": f"{_CODES}, Tensor item_slots, Tensor seen, Tensor ranks",
    "score_items_int8": f"{_CODES}, Tensor item_slots, Tensor items",
}


def _shape_like_codebook(codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    return torch.empty_like(codebook)


def _shape_like_grad(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    return torch.empty_like(codebook)


def _shape_like_step(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> Tensor:
    return torch.empty_like(step)


def _shape_of_dequantised(packed: Tensor, step: Tensor, bits: int) -> Tensor:
    return step.new_empty(packed.shape[0], packed.shape[1] * WIDTHS[bits].per_byte)


def _shape_of_rows(codebook: Tensor, *others: Any) -> Tensor:
    rows = others[5]
    return codebook.new_empty(rows.shape[0], codebook.shape[1])


def _shape_of_rows_grad(grad: Tensor, *others: Any) -> Tensor:
    codebook_rows = others[8]
    return grad.new_empty(codebook_rows, grad.shape[1])


def _shape_of_table(codebook: Tensor, *others: Any) -> Tensor:
    user_codes, item_codes, _, _, placeholders, side, *_ = others
    retained = (user_codes, item_codes)[side].shape[0]
    return codebook.new_empty(retained + placeholders.shape[0], codebook.shape[1])


def _shape_of_folded_rows(codebook: Tensor, step: Tensor, *others: Any) -> Tensor:
    return codebook.new_empty(3 * others[5].shape[0], codebook.shape[1])


def _shape_of_folded_table(packed: Tensor, step: Tensor, *others: Any) -> Tensor:
    codes, _, _, _, placeholders, retained_users, user_placeholders, side, bits = others
    users = retained_users + user_placeholders
    rows = users if side == 0 else codes.shape[0] + placeholders.shape[0] - users
    return step.new_empty(rows, packed.shape[1] * WIDTHS[bits].per_byte)


def _shape_of_loss(rows: Tensor, *others: Any) -> Tensor:
    return rows.new_empty(())


def _shape_of_loss_grad(grad: Tensor, rows: Tensor, *others: Any) -> Tensor:
    codebook_rows = others[8]
    return rows.new_empty(codebook_rows, rows.shape[1])


def _shape_of_items(user_rows: Tensor, *others: Any) -> Tensor:
    return user_rows.new_empty((user_rows.shape[0], others[-1].shape[0]), dtype=torch.int64)


def _shape_of_scores(user_rows: Tensor, *others: Any) -> Tensor:
    return user_rows.new_empty(others[-1].shape)


def _shape_of_scales(table: Tensor) -> Tensor:
    return table.new_empty(table.shape[0])


def _shape_of_codes(table: Tensor) -> Tensor:
    return table.new_empty(table.shape, dtype=torch.int8)


_SHAPES: dict[str, Callable[..., Tensor]] = {
    "fake_quantise": _shape_like_codebook,
    "fake_quantise_grad_codebook": _shape_like_grad,
    "fake_quantise_grad_step": _shape_like_step,
    "dequantise": _shape_of_dequantised,
    "propagate_rows": _shape_of_rows,
    "propagate_rows_grad": _shape_of_rows_grad,
    "propagate_table": _shape_of_table,
    "folded_rows": _shape_of_folded_rows,
    "folded_loss": _shape_of_loss,
    "folded_loss_grad": _shape_of_loss_grad,
    "folded_table": _shape_of_folded_table,
    "top_items": _shape_of_items,
    "score_items": _shape_of_scores,
    "row_scales": _shape_of_scales,
    "quantise_rows": _shape_of_codes,
    "top_items_int8": _shape_of_items,
    "score_items_int8": _shape_of_scores,
}


def _keep_quantiser_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    codebook, step, ctx.bits = inputs
    ctx.save_for_backward(codebook, step)


def _quantiser_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    codebook, step = ctx.saved_tensors
    return (*_quantiser_gradients(grad, codebook, step, ctx.bits), None)


def _quantiser_gradients(grad: Tensor, codebook: Tensor, step: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Gradients of the latent codebook and of the step from that of the quantised codebook."""
    return (
        torch.ops.lerg.fake_quantise_grad_codebook(grad, codebook, step, bits),
        torch.ops.lerg.fake_quantise_grad_step(grad, codebook, step, bits),
    )


def _keep_graph(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    codebook, *graph, _placeholders, rows, side, layers, anchor_weight, layer_bits, blocks = inputs
    ctx.save_for_backward(*graph, rows)
    ctx.settings = (side, layers, anchor_weight, codebook.shape[0], layer_bits, blocks)


def _propagation_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    # Placeholders are constants: only the codebook receives a gradient.
    codebook_grad = torch.ops.lerg.propagate_rows_grad(grad, *ctx.saved_tensors, *ctx.settings)
    return (codebook_grad, *[None] * 11)


def _keep_no_rows(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.set_materialize_grads(False)


def _folded_rows_backward(ctx: Any, grad: Tensor | None) -> tuple[None, ...]:
    """`folded_loss` hands its gradient to the codebook itself, so none comes by the rows."""
    if grad is not None:
        raise NotImplementedError("lerg::folded_rows is differentiated through lerg::folded_loss alone")
    return (None,) * 13


def _keep_entries(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    rows, codebook, step, *entries_and_triples, retained_users, ctx.bits, l2 = inputs
    ctx.save_for_backward(codebook, step, rows, *entries_and_triples)
    ctx.settings = (retained_users, codebook.shape[0], l2)


def _folded_loss_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    codebook, step, *others = ctx.saved_tensors
    quantised_grad = torch.ops.lerg.folded_loss_grad(grad, *others, *ctx.settings)
    return (None, *_quantiser_gradients(quantised_grad, codebook, step, ctx.bits), *[None] * 10)


def _out_form(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def write(*args: Any, out: Tensor) -> Tensor:
        result = function(*args)
        return out.resize_(result.shape).copy_(result)

    return write


def _define() -> torch.library.Library:
    library = torch.library.Library("lerg", "DEF")
    for name, arguments in OPERATORS.items():
        module = ranking_reference if name in ranking_reference.__all__ else reference
        implementation: Callable[..., Tensor] = getattr(module, name)
        library.define(f"{name}({arguments}) -> Tensor")
        library.define(f"{name}.out({arguments}, *, Tensor(a!) out) -> Tensor(a!)")
        library.impl(name, implementation, "CompositeExplicitAutograd")
        library.impl(f"{name}.out", _out_form(implementation), "CompositeExplicitAutograd")
        torch.library.register_fake(f"lerg::{name}", _SHAPES[name], lib=library)
    torch.library.register_autograd(
        "lerg::fake_quantise", _quantiser_backward, setup_context=_keep_quantiser_inputs, lib=library
    )
    torch.library.register_autograd(
        "lerg::propagate_rows", _propagation_backward, setup_context=_keep_graph, lib=library
    )
    torch.library.register_autograd(
        "lerg::folded_rows", _folded_rows_backward, setup_context=_keep_no_rows, lib=library
    )
    torch.library.register_autograd(
        "lerg::folded_loss", _folded_loss_backward, setup_context=_keep_entries, lib=library
    )
    return library


# Operators live as long as their library object, and cannot be defined twice: a reload leaves the first.
if not hasattr(torch.ops.lerg, "propagate_rows"):
    _LIBRARY = _define()
