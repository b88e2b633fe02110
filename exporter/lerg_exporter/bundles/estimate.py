"""What a bundle will take in memory and on disk, before anything is trained.

Every figure is an upper bound for a bundle of the stated sizes, at most a share `MARGIN` and `FIXED` bytes
above what it turns out to be on sets of some thousand entities or more. The formulas follow the plans of the
programs: which tensors of a traced program are alive at the same time, and what the kernels lay out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lerg_edge.codes.widths import packed_bytes, unsigned_bytes
from lerg_edge.data.interactions import Interactions
from lerg_edge.data.titles import ItemTitles
from lerg_exporter.programs.choice import LOWERINGS, programs_of
from lerg_exporter.programs.sizes import ProgramSizes
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
    text_reading_bytes,
    title_arrays,
    title_sizes,
)
from lerg_runtime.planning import STRUCTURE_BYTES, MemoryPlan, StoredSizes, Workload, plan_memory

__all__ = ["FIXED", "MARGIN", "DataSizes", "bundle_bytes", "estimated_plan"]

# What takes most: two metrics, of the rules for users of the bundle and for others.
_WAYS = ServingWays("history", "table", HistoryRule(ridge=1.0), HistoryRule(ridge=3.0))
MARGIN = 0.25
FIXED = 64 * 1024

_FLOAT = 4
_PROGRAM_OVERHEAD = 48 * 1024  # instructions and tensor descriptions of three methods, alignment
_OTHER_FILES = 36 * 1024  # manifest, checksums, golden examples, headers of the array files


@dataclass(frozen=True, slots=True)
class DataSizes:
    """What an export's cost depends on in the data.

    Attributes:
        users, items, pairs: of the training set.
        stored: sizes in memory of ids and interactions.
        entity_file_bytes, interaction_file_bytes: of ids and interactions in the bundle, compressed.
        feature_bytes: most that a map of the items' features takes in it.
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
    feature_bytes: int = 0

    @classmethod
    def of(
        cls,
        train: Interactions,
        seen_only: Mapping[str, Interactions] | None = None,
        *,
        titles: ItemTitles | None = None,
        feature_bytes: int = 0,
    ) -> DataSizes:
        """The sizes of a training set, of what counts as seen beside it, and of the items' titles."""
        ids = (train.user_ids.values, train.item_ids.values)
        named, titled = ({}, 0) if titles is None else title_arrays(titles.texts)
        entities = array_bytes({**id_arrays("user", ids[0]), **id_arrays("item", ids[1]), **named})
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
                held_out=others["held_out"].pair_count if "held_out" in others else 0,
                disliked=others["disliked"].pair_count if "disliked" in others else 0,
                title_bytes=title_sizes(entities, train.item_count) if titled else (),
            ),
            entity_file_bytes=len(entities),
            interaction_file_bytes=len(array_bytes(codes, as_they_are=codes)),
            user_degrees=_sorted_sums(train.users, train.user_count),
            item_degrees=_sorted_sums(train.items, train.item_count),
            feature_bytes=feature_bytes,
        )

    def most_edges(self, users: int, items: int) -> int:
        """Most edges that a rewired graph of so many users and items has.

        An edge that is added stands for one that was lost at one of its ends, so there are never more than
        there were edges with a retained end.
        """
        user_sums = int(self.user_degrees[users - 1]) if users else 0
        item_sums = int(self.item_degrees[items - 1]) if items else 0
        return min(self.pairs, user_sums + item_sums)


def estimated_plan(
    shape: ModelShape,
    data: DataSizes,
    *,
    negative_candidates: int = 1,
    lowering: str = "native",
    propagation: str = "graph",
) -> MemoryPlan:
    """What opening, encoding, recommending and fine-tuning will need at the manifest's defaults."""
    sizes = programs_of(lowering, propagation).sizes(shape)
    held = sum(sizes.constants.values()) + sizes.graph
    program = held + packed_bytes(_placeholders(shape), shape.dim, bits=shape.bits) + _PROGRAM_OVERHEAD
    manifest = Manifest(
        model=shape,
        programs=_specifications(sizes),
        files={PROGRAM_FILE: program},
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
    # A packed program, which has no graph of its own, lies in memory beside what is made of it.
    packed = program - sizes.graph
    reading = 0 if LOWERINGS[lowering].stock else packed + program + text_reading_bytes()
    stored = replace(
        data.stored, program_bytes=program, reading_bytes=max(data.stored.reading_bytes, reading)
    )
    return plan_memory(manifest, stored, local=0, workload=Workload.usual(manifest))


def bundle_bytes(
    shape: ModelShape, data: DataSizes, *, lowering: str = "native", propagation: str = "graph"
) -> Mapping[str, int]:
    """Bytes of the bundle's files, by what they hold."""
    sizes = programs_of(lowering, propagation).sizes(shape)
    pruned = (shape.users - shape.retained_users, shape.items - shape.retained_items)
    indices = sum(
        count * unsigned_bytes(rows)
        for count, rows in zip(pruned, (shape.user_placeholders, shape.item_placeholders), strict=True)
    )
    placeholders = packed_bytes(_placeholders(shape), shape.dim, bits=shape.bits)
    weights = {"float weights": sizes.weights} if sizes.weights else {}
    return {
        "codebook": packed_bytes(shape.codebook_rows, shape.dim, bits=shape.bits) + _FLOAT * shape.step_count,
        **sizes.constants,
        **weights,
        "placeholders": placeholders + indices,
        "ids": data.entity_file_bytes + (shape.users + shape.items) // 8,
        "interactions": data.interaction_file_bytes,
        **({"map of item features": data.feature_bytes} if data.feature_bytes else {}),
        "programs": _PROGRAM_OVERHEAD,
        "manifest and checks": _OTHER_FILES,
    }


def _specifications(sizes: ProgramSizes) -> tuple[ProgramSpec, ...]:
    """Methods as a manifest describes them, as far as planning memory asks."""
    return tuple(
        ProgramSpec(
            method=name,
            file="",
            planned_bytes=method.arena + method.scratch,
            arena_bytes=(method.arena,),
            scratch_bytes=method.scratch,
            structure_bytes=STRUCTURE_BYTES if method.structure is None else method.structure,
            operators=(),
            inputs=(),
            outputs=(),
        )
        for name, method in sizes.methods.items()
    )


def _placeholders(shape: ModelShape) -> int:
    return shape.user_placeholders + shape.item_placeholders


def _sorted_sums(column: np.ndarray, count: int) -> np.ndarray:
    return np.cumsum(np.sort(np.bincount(column, minlength=count))[::-1])
