"""What the portable programs will take: the formulas of `lerg_exporter.bundles.estimate` for it.

Each is the largest of the moments at which most tensors are alive, as the traced programs plan them.
"""

from __future__ import annotations

import math

from lerg_exporter.programs.portable.gathers import CHUNK_BYTES, FIRST_GROUP, chunk_entries
from lerg_exporter.programs.sizes import MethodSizes, ProgramSizes
from lerg_runtime.bundle import ModelShape

__all__ = ["folded_sizes", "graph_sizes"]

_FLOAT = 4
_SCALE_TABLE = 256 * _FLOAT
_QUEUE_BYTES = 16  # an entry of the stock topk's queue: a value and its index
_OPERATOR_BYTES = 320  # what a loaded operator takes with its tensors, a quarter for other machines included
_STORED_OPERATOR_BYTES = 250  # what it takes in the program file


def graph_sizes(shape: ModelShape) -> ProgramSizes:
    """Of graph propagation."""
    entities = shape.retained_users + shape.retained_items
    graph, assigned = _chunks(shape)
    index = _stored(entities + 1)
    weighted, chosen = shape.codebook_rows * _weights(shape), entities * shape.codes_per_entity
    places = _FLOAT * shape.blocks * (weighted + 1)
    operators = graph * (4 + 6 * shape.layers) + 12 * assigned + 100
    return _sizes(
        shape,
        _graph_arenas(shape),
        (
            _OPERATOR_BYTES * (200 + graph * (2 + 2 * shape.layers) + 4 * assigned),
            _OPERATOR_BYTES * (400 + graph * (2 + 4 * shape.layers) + 8 * assigned),
        ),
        {
            "edges": index * _entries(shape),
            "assignment": chosen * _stored(weighted) + (chosen + _padding(shape)) * index + places,
            "factors and slots": entities * (3 * _FLOAT + index),
            "operators": _STORED_OPERATOR_BYTES * operators,
        },
    )


def folded_sizes(shape: ModelShape) -> ProgramSizes:
    """Of folded propagation."""
    entities = shape.retained_users + shape.retained_items
    return _sizes(
        shape,
        _folded_arenas(shape),
        (
            max(64 * 1024, _OPERATOR_BYTES * (130 + 13 * shape.entries)),
            _OPERATOR_BYTES * (470 + 16 * shape.entries),
        ),
        {
            "folded rows": entities * (shape.entries * (_stored(shape.codebook_rows) + 1) + 1) + _SCALE_TABLE,
            "operators": _STORED_OPERATOR_BYTES * (24 * shape.entries + 180),
        },
    )


def _sizes(
    shape: ModelShape, arenas: tuple[float, int], structures: tuple[int, int], constants: dict[str, int]
) -> ProgramSizes:
    """The sizes of all methods.

    Args:
        arenas: planned bytes of `finetune` and of `encode`, without what every propagation has.
        structures: bytes that ExecuTorch builds when it loads `encode` and `finetune`.
        constants: bytes of the program file, by what they hold.
    """
    finetune, encode = arenas
    places = (shape.user_placeholders + shape.item_placeholders) * _FLOAT * shape.dim
    ranked = shape.max_users * shape.items * 37 + shape.max_users * _FLOAT * shape.item_slots
    ranking = ranked + shape.max_users * shape.max_k * 32 + 4096
    # Stock kernels take memory for themselves for `topk`, and for some tensor shapes.
    sorted_entries = 3 * shape.max_batch * shape.entries
    return ProgramSizes(
        methods={
            "encode": MethodSizes(encode + 2 * places + 4096, 1024, structures[0]),
            "finetune": MethodSizes(
                int(finetune) + 2 * places + 16 * 1024,
                _QUEUE_BYTES * sorted_entries + 1024,
                structures[1],
            ),
            "recommend": MethodSizes(ranking, _QUEUE_BYTES * shape.items + 1024, 64 * 1024),
        },
        constants=constants,
        weights=_FLOAT * (shape.codebook_rows * shape.dim + shape.step_count) + 4096,
    )


def _graph_arenas(shape: ModelShape) -> tuple[float, int]:
    entities = shape.retained_users + shape.retained_items
    table = _FLOAT * (entities + 1) * shape.dim
    codebook = _FLOAT * shape.codebook_rows * shape.dim
    rows = 3 * _FLOAT * shape.max_batch * shape.dim
    kinds = _weights(shape)
    indices = _FLOAT * _entries(shape)
    assigned = _FLOAT * entities * shape.codes_per_entity
    # Without layers nothing is gathered beside the tables.
    chunk = min(CHUNK_BYTES, _FLOAT * shape.dim * 2 * shape.edges + table) if shape.layers else 0
    finetune = max(
        # A gradient, its scaled copy and the sums made from it, beside the codebook's gradient.
        3 * table + indices + max(chunk, table // 4) + codebook,
        # A scatter: its places are int64, and one for each value.
        (2 if shape.layers else 1.5) * table + indices + 6.3 * rows,
        # The quantiser and its gradients.
        6.3 * codebook,
    )
    encode = max(
        3 * table + (indices + max(chunk, table) if shape.layers else 0),
        2 * kinds * codebook + table + chunk + assigned,
    )
    return finetune, encode


def _folded_arenas(shape: ModelShape) -> tuple[float, int]:
    """Fine-tuning does not depend on the number of entities, encoding holds their rows."""
    codebook = _FLOAT * shape.codebook_rows * shape.dim
    rows = 3 * _FLOAT * shape.max_batch * shape.dim
    entries = 3 * _FLOAT * shape.max_batch * shape.entries
    finetune = max(
        # The gradients of the loss, beside the batch's entries.
        3.67 * rows + 2 * entries + 2 * codebook,
        # The entries sorted and cut into groups, which are filled up for each code.
        rows + 9 * entries + 3 * _FLOAT * FIRST_GROUP * shape.codebook_rows,
        # The quantiser and its gradients.
        6.3 * codebook,
    )
    # A side's rows and entries are there twice; users' rows stay while items' are made.
    users, items = (
        2 * _FLOAT * count * (shape.dim + shape.entries)
        for count in (shape.retained_users, shape.retained_items)
    )
    made = max(users, _FLOAT * shape.retained_users * shape.dim + items)
    return finetune, int(max(1.03 * made + codebook, 3 * codebook))


def _entries(shape: ModelShape) -> int:
    """Entries of the graph's chunks; see `lerg_exporter.programs.portable.gathers` for how many pad."""
    longest = max(1, min(shape.edges, max(shape.retained_users, shape.retained_items)))
    # That bound is reached where lengths fall evenly from chunk to chunk; degrees fall fast, then slowly.
    padding = int(0.4 * min(chunk_entries(shape.dim), 2 * shape.edges) * (1 + math.log(longest)))
    return 2 * shape.edges + padding


def _padding(shape: ModelShape) -> int:
    """What pads the lists of entities by code, where there is one for each code of each block."""
    if shape.blocks == 1:
        return 0
    entities = shape.retained_users + shape.retained_items
    return int(0.4 * shape.blocks * min(entities, chunk_entries(shape.dim)))


def _chunks(shape: ModelShape) -> tuple[int, int]:
    """Chunks of the graph, and of the assignment in either direction."""
    entities = shape.retained_users + shape.retained_items
    most, sums = chunk_entries(shape.dim), shape.codes_per_entity // shape.blocks
    # Only rows nearly as long as a chunk leave much of one unfilled, and there are few of them.
    assigned = shape.blocks * ((4 if shape.blocks == 1 else 3) + int(1.2 * entities * sums) // most)
    return 8 + int(1.2 * _entries(shape)) // most, assigned


def _weights(shape: ModelShape) -> int:
    return 1 if shape.codes_per_entity == shape.blocks else 2


def _stored(count: int) -> int:
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4
