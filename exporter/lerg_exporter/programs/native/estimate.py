"""What the native programs will take: the formulas of `lerg_exporter.bundles.estimate` for it.

Arenas follow the plans of the traced programs: which tensors are alive at the same time. Scratch is what the
kernels say.
"""

from __future__ import annotations

from lerg_edge.codes.compositions import COMPOSITIONS
from lerg_exporter.programs.indices import index_bytes
from lerg_exporter.programs.sizes import MethodSizes, ProgramSizes
from lerg_runtime.bundle import ModelShape
from lerg_runtime.planning import scratch_bytes

__all__ = ["folded_sizes", "graph_sizes"]

_FLOAT = 4
_SCALE_TABLE = 1024


def graph_sizes(shape: ModelShape) -> ProgramSizes:
    """Of graph propagation."""
    codebook = shape.codebook_rows * shape.dim
    rows = shape.max_batch * shape.dim
    # The backward pass holds rows of a batch (ten of them beside the codebook, or eleven) or, for small
    # batches, three gradients of the codebook beside five.
    finetune = max(codebook + 10 * rows, 11 * rows, 3 * codebook + 5 * rows)
    finetune += _placeholders(shape) * shape.dim + 12 * shape.max_batch
    encode = codebook + max(shape.user_placeholders, shape.item_placeholders) * shape.dim
    if shape.item_table == "int8":
        encode += shape.item_slots * shape.dim  # as float32, before it is quantised
    assignment = (
        (shape.retained_users + shape.retained_items)
        * shape.codes_per_entity
        * index_bytes(shape.codebook_rows)
    )
    graph = _FLOAT * (shape.retained_users + 1) + shape.edges * index_bytes(shape.retained_items)
    encoding = max(_propagating(shape, "propagate_table", side=side) for side in (0, 1))
    # A triple asks for a user and two items. Backward there is the step's gradient as well.
    stepping = max(
        scratch_bytes("fake_quantise_grad_step", codebook_rows=shape.codebook_rows),
        *(
            _propagating(shape, operator, side=side, requests=(1 + side) * shape.max_batch)
            for operator in ("propagate_rows", "propagate_rows_grad")
            for side in (0, 1)
        ),
    )
    return ProgramSizes(
        methods={
            "encode": MethodSizes(_FLOAT * encode + 1024, encoding),
            "finetune": MethodSizes(_FLOAT * finetune + 4096, stepping),
            "recommend": _recommend(shape),
        },
        constants={"assignment": assignment},
        graph=graph,
    )


def folded_sizes(shape: ModelShape) -> ProgramSizes:
    """Of folded propagation: no method depends on the number of entities, but for an int8 item table."""
    rows = 3 * shape.max_batch * shape.dim
    placeholders = _placeholders(shape) * shape.dim
    # A batch's rows live together with the placeholders, then with the codebook's gradient.
    finetune = rows + max(placeholders, shape.codebook_rows * shape.dim)
    sizes = {"codebook_rows": shape.codebook_rows, "dim": shape.dim, "bits": shape.bits}
    stepping = max(
        scratch_bytes(operator, requests=shape.max_batch, **sizes)
        for operator in ("folded_rows", "folded_loss_grad", "fake_quantise_grad_step")
    )
    encoding = scratch_bytes("folded_table", **sizes)
    # The table as float32, before it is quantised.
    items = shape.item_slots * shape.dim if shape.item_table == "int8" else 0
    retained = shape.retained_users + shape.retained_items
    entry = index_bytes(shape.codebook_rows) + 1
    return ProgramSizes(
        methods={
            "encode": MethodSizes(_FLOAT * (placeholders + items) + 1024, encoding),
            "finetune": MethodSizes(_FLOAT * finetune + 4096, stepping),
            "recommend": _recommend(shape),
        },
        constants={"folded rows": retained * (shape.entries * entry + 1) + _SCALE_TABLE},
    )


def _recommend(shape: ModelShape) -> MethodSizes:
    """Scratch alone."""
    operator = {"float32": "top_items", "int8": "top_items_int8"}[shape.item_table]
    sizes = {"users": shape.max_users, "items": shape.items, "wanted": shape.max_k, "dim": shape.dim}
    return MethodSizes(0, scratch_bytes(operator, **sizes))


def _propagating(shape: ModelShape, operator: str, *, side: int, requests: int = 0) -> int:
    return scratch_bytes(
        operator,
        users=shape.retained_users,
        items=shape.retained_items,
        codes_per_entity=shape.codes_per_entity,
        edges=shape.edges if shape.layers else 0,
        blocks=int(not COMPOSITIONS[shape.composition].weighted),
        codebook_rows=shape.codebook_rows,
        dim=shape.dim,
        layers=shape.layers,
        layer_bits={"float32": 32, "float16": 16}[shape.layer_storage],
        side=side,
        requests=requests,
    )


def _placeholders(shape: ModelShape) -> int:
    return shape.user_placeholders + shape.item_placeholders
