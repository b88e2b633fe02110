"""What kernels take while they run."""

from __future__ import annotations

from lerg_runtime._native_module import native

__all__ = ["scratch_bytes"]


def scratch_bytes(operator: str, **sizes: int) -> int:
    """Working memory of one call of a native kernel, in bytes, as the kernel itself lays it out.

    Args:
        operator: `propagate_rows`, `propagate_rows_grad`, `propagate_table`, `folded_rows`, `folded_table`,
            `folded_loss_grad`, `fake_quantise_grad_step`, `top_items` or `top_items_int8`.
        sizes: those of `users`, `items`, `codes_per_entity`, `edges`, `blocks` (0 or 1), `codebook_rows`,
            `dim`, `bits`, `layers`, `layer_bits`, `side` (0 for users, 1 for items), `requests` (rows asked
            for, or triples) and `wanted` (ranks) that the call has. Users and items are the retained ones,
            and in a ranking the most who ask and the whole catalogue.

    Raises:
        ValueError: another operator, another size, or one that is too large for any call.
    """
    return int(native().scratch_bytes(operator, sizes))
