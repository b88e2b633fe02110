"""What a bundle will take in memory and on disk, before anything is trained.

Every figure is an upper bound for a bundle of the stated sizes, at most `MARGIN` above what it turns out to
be on sets of some thousand entities or more.  The formulas follow the plans of the programs: which tensors
of a traced program are alive at the same time, and what the kernels lay out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lerg_edge.data.interactions import Interactions
from lerg_edge.storage import index_bytes as storage_index_bytes
from lerg_edge.storage import packed_bytes
from lerg_exporter.programs.indices import index_bytes
from lerg_exporter.programs.portable.estimate import (
    portable_arenas,
    portable_constants,
    portable_scratch,
    portable_structures,
)
from lerg_runtime.bundle import (
    FineTuneDefaults,
    HistoryRule,
    Manifest,
    ModelShape,
    ProgramSpec,
    ServingWays,
    ids_from_values,
)
from lerg_runtime.bundle.parts import (
    PROGRAM_FILE,
    array_bytes,
    encode_interactions,
    encode_seen_only,
    id_arrays,
    reading_bytes,
)
from lerg_runtime.planning import STRUCTURE_BYTES, MemoryPlan, StoredSizes, Workload, plan_memory

__all__ = ["MARGIN", "DataSizes", "bundle_bytes", "memory_plan"]

# What takes most: two metrics, of the rules for users of the bundle and for others.
_WAYS = ServingWays("history", "table", HistoryRule(ridge=1.0), HistoryRule(ridge=3.0))
MARGIN = 0.25

_FLOAT = 4
_PROGRAM_OVERHEAD = 48 * 1024  # instructions and tensor descriptions of three methods, alignment
_OTHER_FILES = 64 * 1024  # manifest, checksums, golden examples, headers of the array files
_ITEMS_PER_PART = 2048
_SCALE_TABLE = 1024
_FOLD_COLUMNS, _UNFOLD_COLUMNS = 64, 32
_REQUEST_BYTES = 28  # a requested row: its place, itself, and where its neighbours are split


@dataclass(frozen=True, slots=True)
class DataSizes:
    """What an export's cost depends on in the data.

    Attributes:
        users, items, pairs: of the training set.
        stored: sizes in memory of ids and interactions.
        entity_file_bytes, interaction_file_bytes: of ids and interactions in the bundle, compressed.
        user_degrees, item_degrees: int64, in descending order, summed up from the start.
    """

    users: int
    items: int
    pairs: int
    stored: StoredSizes
    entity_file_bytes: int
    interaction_file_bytes: int
    user_degrees: np.ndarray
    item_degrees: np.ndarray

    @classmethod
    def of(cls, train: Interactions, seen_only: Mapping[str, Interactions] | None = None) -> DataSizes:
        """The sizes of a training set, and of what counts as seen beside it."""
        ids = (train.user_ids.values, train.item_ids.values)
        entities = array_bytes({**id_arrays("user", ids[0]), **id_arrays("item", ids[1])})
        sizes = {"user_count": train.user_count, "item_count": train.item_count}
        others = seen_only or {}
        codes = {
            "pairs": encode_interactions(train.users, train.items, **sizes),
            **encode_seen_only({name: (pairs.users, pairs.items) for name, pairs in others.items()}, **sizes),
        }
        return cls(
            users=train.user_count,
            items=train.item_count,
            pairs=train.pair_count,
            stored=StoredSizes(
                ids_from_values(ids[0]).nbytes,
                ids_from_values(ids[1]).nbytes,
                train.pair_count,
                0,
                reading_bytes(entities, codes, users=train.user_count, items=train.item_count),
                **{name: pairs.pair_count for name, pairs in others.items()},
            ),
            entity_file_bytes=len(entities),
            interaction_file_bytes=len(array_bytes(codes, as_they_are=codes)),
            user_degrees=_sorted_sums(train.users, train.user_count),
            item_degrees=_sorted_sums(train.items, train.item_count),
        )

    def most_edges(self, users: int, items: int) -> int:
        """Most edges that a rewired graph of so many users and items has.

        An edge that is added stands for one that was lost at one of its ends, so there are never more than
        there were edges with a retained end.
        """
        user_sums = int(self.user_degrees[users - 1]) if users else 0
        item_sums = int(self.item_degrees[items - 1]) if items else 0
        return min(self.pairs, user_sums + item_sums)


def memory_plan(
    shape: ModelShape, data: DataSizes, *, negative_candidates: int = 1, lowering: str = "native"
) -> MemoryPlan:
    """What opening, encoding, recommending and fine-tuning will need at the manifest's defaults."""
    manifest = Manifest(
        model=shape,
        programs=tuple(_portable_programs(shape) if lowering == "portable" else _programs(shape)),
        files={PROGRAM_FILE: _program_file_bytes(shape, lowering)},
        executorch="",
        finetune=FineTuneDefaults(
            learning_rate=1.0,
            step_learning_rate=None,
            sgd_learning_rate=None,
            batch=shape.max_batch,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            momentum=0.9,
            negative_candidates=negative_candidates,
        ),
        document={},
        ways=_WAYS,
    )
    program = _program_file_bytes(shape, lowering)
    # A packed program lies in memory beside what is made of it.
    reading = 0 if lowering == "portable" else program
    stored = replace(
        data.stored, program_bytes=program, reading_bytes=max(data.stored.reading_bytes, reading)
    )
    return plan_memory(manifest, stored, local=0, workload=Workload.usual(manifest))


def bundle_bytes(shape: ModelShape, data: DataSizes, *, lowering: str = "native") -> Mapping[str, int]:
    """Bytes of the bundle's files, by what they hold."""
    pruned = (shape.users - shape.retained_users, shape.items - shape.retained_items)
    indices = sum(
        count * storage_index_bytes(rows)
        for count, rows in zip(pruned, (shape.user_placeholders, shape.item_placeholders), strict=True)
    )
    placeholders = packed_bytes(_placeholders(shape), shape.dim, bits=shape.bits)
    return {
        "codebook": packed_bytes(shape.codes, shape.dim, bits=shape.bits) + _FLOAT * shape.step_count,
        **(portable_constants(shape) if lowering == "portable" else _without_graph(_row_constants(shape))),
        "placeholders": placeholders + indices,
        "ids": data.entity_file_bytes + (shape.users + shape.items) // 8,
        "interactions": data.interaction_file_bytes,
        "programs": _PROGRAM_OVERHEAD,
        "manifest and checks": _OTHER_FILES,
    }


def _without_graph(constants: Mapping[str, int]) -> dict[str, int]:
    """What a packed program stores of these: its graph follows from the interactions."""
    return {name: size for name, size in constants.items() if name != "graph"}


def _program_file_bytes(shape: ModelShape, lowering: str) -> int:
    constants = portable_constants(shape) if lowering == "portable" else _row_constants(shape)
    placeholders = packed_bytes(_placeholders(shape), shape.dim, bits=shape.bits)
    held = sum(size for name, size in constants.items() if name != "float weights")  # a file of their own
    return held + placeholders + _PROGRAM_OVERHEAD


def _programs(shape: ModelShape) -> list[ProgramSpec]:
    # Shortlists of twice the ranks for each part of the catalogue; few users leave more parts to share out.
    lanes = -(-shape.max_users // 32) * 32
    parts = max(1, shape.items // _ITEMS_PER_PART)
    most = max(min(2, parts) * shape.max_users, min(4, parts) * min(shape.max_users, 31))
    # Users' rows in the order that the loops want: floats, or twice their codes, padded.
    row = _FLOAT * shape.dim if shape.item_table == "float32" else 2 * (-(-shape.dim // 64) * 64)
    ranking = lanes * (row + _FLOAT * 9) + 16 * shape.max_k * most + 1024
    tables = _folded_programs(shape) if shape.entries else _graph_programs(shape)
    return [*tables, _program("recommend", 0, ranking)]


def _graph_programs(shape: ModelShape) -> list[ProgramSpec]:
    codebook = shape.codes * shape.dim
    rows = shape.max_batch * shape.dim
    # The backward pass holds rows of a batch (ten of them beside the codebook, or eleven) or, for small
    # batches, three gradients of the codebook beside five.
    finetune = max(codebook + 10 * rows, 11 * rows, 3 * codebook + 5 * rows)
    finetune += _placeholders(shape) * shape.dim + 12 * shape.max_batch
    encode = codebook + max(shape.user_placeholders, shape.item_placeholders) * shape.dim
    if shape.item_table == "int8":
        encode += shape.item_slots * shape.dim  # as float32, before it is quantised
    return [
        _program("encode", _FLOAT * encode + 1024, _scratch(shape, requests=0)),
        _program("finetune", _FLOAT * finetune + 4096, _scratch(shape, requests=2 * shape.max_batch)),
    ]


def _folded_programs(shape: ModelShape) -> list[ProgramSpec]:
    """Neither depends on the number of entities, but for an int8 item table."""
    rows = 3 * shape.max_batch * shape.dim
    placeholders = _placeholders(shape) * shape.dim
    padded = -(-shape.dim // _FOLD_COLUMNS) * _FOLD_COLUMNS
    # A batch's rows live together with the placeholders, then with the codebook's gradient.
    finetune = rows + max(placeholders, shape.codes * shape.dim)
    table = shape.codes * padded * (2 if shape.bits == 16 else 1)
    requests = 3 * shape.max_batch * _FLOAT
    # Backward, a triple has a slope and three scales, and two threads a block of the gradient each.
    blocks = min(2, -(-shape.dim // _UNFOLD_COLUMNS)) * _UNFOLD_COLUMNS * shape.codes
    backward = _FLOAT * (4 * shape.max_batch + blocks)
    # The table as float32, before it is quantised.
    items = shape.item_slots * shape.dim if shape.item_table == "int8" else 0
    return [
        _program("encode", _FLOAT * (placeholders + items) + 1024, table + 1024),
        _program(
            "finetune", _FLOAT * finetune + 4096, max(table, backward, 8 * shape.codes) + requests + 1024
        ),
    ]


def _portable_programs(shape: ModelShape) -> list[ProgramSpec]:
    arenas, scratch, structures = portable_arenas(shape), portable_scratch(shape), portable_structures(shape)
    return [
        replace(_program(method, arena, scratch[method]), structure_bytes=structures[method])
        for method, arena in arenas.items()
    ]


def _scratch(shape: ModelShape, *, requests: int) -> int:
    """Working memory of one propagation: tables of some columns, the transposed graph, lists by code."""
    columns = 16 if shape.dim <= 16 else 32 if shape.dim <= 32 else 64
    retained = shape.retained_users + shape.retained_items
    if not shape.layers:  # rows are composed, and nothing is propagated
        asked = min(requests, max(shape.retained_users, shape.retained_items))
        return _FLOAT * columns * (shape.codes + asked) + requests * _REQUEST_BYTES + retained + 4096
    row = max(2, index_bytes(max(shape.retained_users, shape.retained_items)))
    tables = _FLOAT * columns * (shape.codes + retained)
    if shape.layer_storage == "float16":
        # Rows asked for are float32, and so are sums of pushed rows; each part knows how far a request is.
        lanes = max(1, columns // 32)
        sides = (shape.retained_users, shape.retained_items)
        asked = max(max(0, _FLOAT * min(requests, rows) - 2 * rows) for rows in sides)
        pushing = 4 * _FLOAT * (512 * columns + lanes * requests) if requests else 0
        tables = columns * (_FLOAT * shape.codes + 2 * retained + asked) + pushing
    transposed = shape.edges * row + _FLOAT * (shape.retained_items + 1) + _FLOAT * retained
    if not requests:
        return tables + transposed + 2048
    lists = _FLOAT * retained
    if shape.composition == "sum":  # blocks need no lists by code
        lists += 4 * _FLOAT * (shape.codes + 1) + retained * shape.per_entity * row
    return tables + transposed + lists + requests * _REQUEST_BYTES + retained + 4096


def _program(method: str, arena: int, scratch: int) -> ProgramSpec:
    return ProgramSpec(
        method=method,
        file="",
        planned_bytes=arena + scratch,
        arena_bytes=(arena,),
        scratch_bytes=scratch,
        structure_bytes=STRUCTURE_BYTES,
        operators=(),
        inputs=(),
        outputs=(),
    )


def _row_constants(shape: ModelShape) -> dict[str, int]:
    if shape.entries:
        retained = shape.retained_users + shape.retained_items
        entry = index_bytes(shape.codes) + 1
        return {"folded rows": retained * (shape.entries * entry + 1) + _SCALE_TABLE}
    assignment = (shape.retained_users + shape.retained_items) * shape.per_entity * index_bytes(shape.codes)
    graph = _FLOAT * (shape.retained_users + 1) + shape.edges * index_bytes(shape.retained_items)
    return {"assignment": assignment, "graph": graph}


def _placeholders(shape: ModelShape) -> int:
    return shape.user_placeholders + shape.item_placeholders


def _sorted_sums(column: np.ndarray, count: int) -> np.ndarray:
    return np.cumsum(np.sort(np.bincount(column, minlength=count))[::-1])
