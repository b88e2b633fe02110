"""What the native programs will take: the formulas of `lerg_exporter.bundles.estimate` for it.

They follow the plans of the traced programs: which tensors are alive at the same time, and what the kernels
lay out.
"""

from __future__ import annotations

import numpy as np

from lerg_edge.codes.compositions import COMPOSITIONS
from lerg_edge.codes.widths import WIDTHS
from lerg_exporter.programs.indices import index_bytes
from lerg_exporter.programs.sizes import MethodSizes, ProgramSizes
from lerg_runtime.bundle import ModelShape

__all__ = ["folded_sizes", "graph_sizes"]

_FLOAT = 4
_ITEMS_PER_PART = 2048
_SCALE_TABLE = 1024
_FOLD_COLUMNS, _UNFOLD_COLUMNS = 64, 32
_REQUEST_BYTES = 28  # a requested row: its place, itself, and where its neighbours are split


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
    return ProgramSizes(
        methods={
            "encode": MethodSizes(_FLOAT * encode + 1024, _scratch(shape, requests=0)),
            "finetune": MethodSizes(_FLOAT * finetune + 4096, _scratch(shape, requests=2 * shape.max_batch)),
            "recommend": _recommend(shape),
        },
        constants={"assignment": assignment},
        graph=graph,
    )


def folded_sizes(shape: ModelShape) -> ProgramSizes:
    """Of folded propagation: no method depends on the number of entities, but for an int8 item table."""
    rows = 3 * shape.max_batch * shape.dim
    placeholders = _placeholders(shape) * shape.dim
    padded = -(-shape.dim // _FOLD_COLUMNS) * _FOLD_COLUMNS
    # A batch's rows live together with the placeholders, then with the codebook's gradient.
    finetune = rows + max(placeholders, shape.codebook_rows * shape.dim)
    table = shape.codebook_rows * padded * np.dtype(WIDTHS[shape.bits].stored).itemsize
    requests = 3 * shape.max_batch * _FLOAT
    # Backward, a triple has a slope and three scales, and two threads a block of the gradient each.
    blocks = min(2, -(-shape.dim // _UNFOLD_COLUMNS)) * _UNFOLD_COLUMNS * shape.codebook_rows
    backward = _FLOAT * (4 * shape.max_batch + blocks)
    # The table as float32, before it is quantised.
    items = shape.item_slots * shape.dim if shape.item_table == "int8" else 0
    retained = shape.retained_users + shape.retained_items
    entry = index_bytes(shape.codebook_rows) + 1
    return ProgramSizes(
        methods={
            "encode": MethodSizes(_FLOAT * (placeholders + items) + 1024, table + 1024),
            "finetune": MethodSizes(
                _FLOAT * finetune + 4096, max(table, backward, 8 * shape.codebook_rows) + requests + 1024
            ),
            "recommend": _recommend(shape),
        },
        constants={"folded rows": retained * (shape.entries * entry + 1) + _SCALE_TABLE},
    )


def _recommend(shape: ModelShape) -> MethodSizes:
    """Scratch alone: shortlists of twice the ranks for each part of the catalogue."""
    # Few users leave more parts to share out.
    lanes = -(-shape.max_users // 32) * 32
    parts = max(1, shape.items // _ITEMS_PER_PART)
    most = max(min(2, parts) * shape.max_users, min(4, parts) * min(shape.max_users, 31))
    # Users' rows in the order that the loops want: floats, or twice their codes, padded.
    row = _FLOAT * shape.dim if shape.item_table == "float32" else 2 * (-(-shape.dim // 64) * 64)
    return MethodSizes(0, lanes * (row + _FLOAT * 9) + 16 * shape.max_k * most + 1024)


def _scratch(shape: ModelShape, *, requests: int) -> int:
    """Working memory of one propagation: tables of some columns, the transposed graph, lists by code."""
    columns = 16 if shape.dim <= 16 else 32 if shape.dim <= 32 else 64
    retained = shape.retained_users + shape.retained_items
    if not shape.layers:  # rows are composed, and nothing is propagated
        asked = min(requests, max(shape.retained_users, shape.retained_items))
        return _FLOAT * columns * (shape.codebook_rows + asked) + requests * _REQUEST_BYTES + retained + 4096
    row = max(2, index_bytes(max(shape.retained_users, shape.retained_items)))
    tables = _FLOAT * columns * (shape.codebook_rows + retained)
    if shape.layer_storage == "float16":
        # Rows asked for are float32, and so are sums of pushed rows; each part knows how far a request is.
        lanes = max(1, columns // 32)
        sides = (shape.retained_users, shape.retained_items)
        asked = max(max(0, _FLOAT * min(requests, rows) - 2 * rows) for rows in sides)
        pushing = 4 * _FLOAT * (512 * columns + lanes * requests) if requests else 0
        tables = columns * (_FLOAT * shape.codebook_rows + 2 * retained + asked) + pushing
    transposed = shape.edges * row + _FLOAT * (shape.retained_items + 1) + _FLOAT * retained
    if not requests:
        return tables + transposed + 2048
    lists = _FLOAT * retained
    if COMPOSITIONS[shape.composition].weighted:  # blocks need no lists by code
        lists += 4 * _FLOAT * (shape.codebook_rows + 1) + retained * shape.codes_per_entity * row
    return tables + transposed + lists + requests * _REQUEST_BYTES + retained + 4096


def _placeholders(shape: ModelShape) -> int:
    return shape.user_placeholders + shape.item_placeholders
