"""The kinds of assignment that an export can be asked for: a new kind is one entry here and its function.

Importing this is cheap; a kind's functions are imported when they are needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
        pretrain: place of a function like `lerg_edge.training.pretrain`; its result may have another
            assignment than it was given.
        reads: those of `SETTINGS` that `assign` takes; the others have no effect with this kind and are
            refused.
        training: fields of `lerg_edge.options.TrainingOptions` that suit it; an export may state others.
    """

    assign: str
    teacher: bool = False
    pretrain: str = "lerg_edge.training:pretrain"
    codes: int | None = None
    reads: tuple[str, ...] = SETTINGS
    training: Mapping[str, Any] = field(default_factory=dict)

    def function(self, name: str) -> Callable[..., Any]:
        """The function `assign` or `pretrain`."""
        module, function = getattr(self, name).split(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return found


ASSIGNMENTS = {
    "product": AssignmentKind(
        assign="lerg_edge.product:assign",
        teacher=True,
        codes=256,
        reads=("per_entity",),
        training={
            "loss": "softmax",
            "negatives": 8,
            "learning_rate": 0.01,
            "schedule": "cosine",
            "l2": 1e-3,
            "epochs": 4,
        },
    ),
    "metis": AssignmentKind(assign="lerg_edge.training:assign"),
}
