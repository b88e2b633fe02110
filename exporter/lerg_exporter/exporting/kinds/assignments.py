"""The kinds of assignment there are: a new one is one entry here, or a file of one's own.

Importing this is cheap; a kind's functions are imported when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lerg_edge.errors import InputError
from lerg_edge.own import at, load_own

__all__ = ["ASSIGNMENTS", "AUXILIARIES", "SETTINGS", "AssignmentKind", "assignment_kind"]

AUXILIARIES = ("neighbours", "random")
# Fields of the options that an assignment may depend on, beside the number of codes.
SETTINGS = ("codes_per_entity", "anchor_weight", "auxiliaries")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentKind:
    """How entities come by their codes, and how the codebook is trained for them.

    Attributes:
        assign: a function `(split, training, *, codes, **settings) -> Assignment`, or the place of one. It is
            given a `lerg_edge.data.validation.ValidationSplit`, and may give a `LearnedAssignment`, which
            brings the codebook that training starts from.
        teacher: whether `assign` also takes `teacher`, the layer-0 rows of a full table, float32 [N, d].
        codebook_rows: rows of the codebook unless stated; None for a number that grows with the data.
        dim, bits: length of an embedding and width of a codebook element unless stated.
        codes_per_entity: codes that make up an entity unless stated, or `block_width` of columns for each.
        pretrain: a function, or the place of one, like `lerg_edge.training.pretraining.pretrain`; its result
            may have another assignment than it was given.
        one_each: every entity has a code of its own, so that their number follows from the data.
        reads: those of `SETTINGS` that `assign` takes; the others have no effect with this kind and are
            refused.
        layers: of LightGCN's propagation unless stated.
        training: a function `(training, *, pairs) -> TrainingOptions`, or the place of one: what suits its
            codebook; an export may state otherwise. None for the trainer's own.
    """

    assign: str | Callable[..., Any]
    teacher: bool = False
    pretrain: str | Callable[..., Any] = "lerg_edge.training.pretraining:pretrain"
    codebook_rows: int | None = None
    dim: int = 64
    bits: int = 4
    codes_per_entity: int = 2
    block_width: int | None = None
    one_each: bool = False
    reads: tuple[str, ...] = SETTINGS
    layers: int = 3
    training: str | Callable[..., Any] | None = None

    def function(self, name: str) -> Callable[..., Any]:
        """The function `assign`, `pretrain` or `training`."""
        stated = getattr(self, name)
        found: Callable[..., Any] = at(stated) if isinstance(stated, str) else stated
        return found


ASSIGNMENTS: dict[str, AssignmentKind] = {
    "product": AssignmentKind(
        assign="lerg_edge.assigning.product:assign",
        teacher=True,
        codebook_rows=256,
        dim=56,
        bits=8,
        block_width=4,
        reads=("codes_per_entity",),
        layers=1,
        training="lerg_edge.assigning.teacher:codebook_options",
    ),
    "product-nearest": AssignmentKind(
        assign="lerg_edge.assigning.product:assign_nearest",
        pretrain="lerg_edge.assigning.product:untrained",
        teacher=True,
        codebook_rows=256,
        dim=56,
        bits=8,
        block_width=4,
        reads=("codes_per_entity",),
        layers=1,
    ),
    "metis": AssignmentKind(assign="lerg_edge.training.pretraining:assign"),
    "legcf": AssignmentKind(
        assign="lerg_edge.training.pretraining:assign", pretrain="lerg_edge.assigning.legcf:pretrain"
    ),
    "full": AssignmentKind(
        assign="lerg_edge.training.pretraining:assign_each",
        one_each=True,
        codes_per_entity=1,
        reads=(),
        layers=1,
    ),
}


def assignment_kind(name: str) -> AssignmentKind:
    """A kind by its name, or one of one's own by where it is defined, see `lerg_edge.own`.

    Raises:
        InputError: there is none, or it is no `AssignmentKind`.
    """
    if name in ASSIGNMENTS:
        return ASSIGNMENTS[name]
    found = load_own(name, "assignment", known=tuple(ASSIGNMENTS))
    if not isinstance(found, AssignmentKind):
        raise InputError(
            f"assignment '{name}' is not usable: it is a {type(found).__name__}, no AssignmentKind."
        )
    return found
