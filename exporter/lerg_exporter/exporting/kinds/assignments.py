"""The kinds of assignment that an export can be asked for: a new kind is one entry here and its function.

Importing this is cheap; a kind's functions are imported when they are needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["ASSIGNMENTS", "AUXILIARIES", "SETTINGS", "AssignmentKind"]

AUXILIARIES = ("neighbours", "random")
# Fields of the options that an assignment may depend on, beside the number of codes.
SETTINGS = ("per_entity", "anchor_weight", "auxiliaries")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentKind:
    """How entities come by their codes, and how the codebook is trained for them.

    Attributes:
        assign: place of a function `(train, training, *, codes, **settings) -> Assignment`, or to a
            `LearnedAssignment`, which brings the codebook that training starts from.
        teacher: whether `assign` also takes `teacher`, the layer-0 rows of a full table, float32 [N, d].
        codes: rows of the codebook unless stated; None for a number that grows with the data.
        dim, bits: length of an embedding and width of a codebook element unless stated.
        per_entity: codes that make up an entity unless stated, or `block_width` of columns for each.
        pretrain: place of a function like `lerg_edge.training.pretraining.pretrain`; its result may have
            another assignment than it was given.
        one_each: every entity has a code of its own, so that their number follows from the data.
        reads: those of `SETTINGS` that `assign` takes; the others have no effect with this kind and are
            refused.
        layers: of LightGCN's propagation unless stated.
        training: place of a function `(training, *, pairs) -> TrainingOptions`, what suits its codebook; an
            export may state otherwise. None for the trainer's own.
    """

    assign: str
    teacher: bool = False
    pretrain: str = "lerg_edge.training.pretraining:pretrain"
    codes: int | None = None
    dim: int = 64
    bits: int = 4
    per_entity: int = 2
    block_width: int | None = None
    one_each: bool = False
    reads: tuple[str, ...] = SETTINGS
    layers: int = 3
    training: str | None = None

    def function(self, name: str) -> Callable[..., Any]:
        """The function `assign`, `pretrain` or `training`."""
        module, function = getattr(self, name).split(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return found


ASSIGNMENTS = {
    "product": AssignmentKind(
        assign="lerg_edge.assigning.product:assign",
        teacher=True,
        codes=256,
        dim=56,
        bits=8,
        block_width=4,
        reads=("per_entity",),
        layers=1,
        training="lerg_edge.assigning.product:codebook_options",
    ),
    "product-nearest": AssignmentKind(
        assign="lerg_edge.assigning.product:assign_nearest",
        pretrain="lerg_edge.assigning.product:untrained",
        teacher=True,
        codes=256,
        dim=56,
        bits=8,
        block_width=4,
        reads=("per_entity",),
        layers=1,
    ),
    "metis": AssignmentKind(assign="lerg_edge.training.pretraining:assign"),
    "legcf": AssignmentKind(
        assign="lerg_edge.training.pretraining:assign", pretrain="lerg_edge.assigning.legcf:pretrain"
    ),
    "full": AssignmentKind(
        assign="lerg_edge.training.pretraining:assign_each", one_each=True, per_entity=1, reads=(), layers=1
    ),
}
