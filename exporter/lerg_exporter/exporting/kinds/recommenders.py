"""The base recommenders there are: a new one is one entry here, or a file of one's own.

Importing this is cheap. On a device every one of them is fine-tuned by BPR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lerg_edge.errors import InputError
from lerg_edge.own import at, load_own

if TYPE_CHECKING:
    from lerg_edge.training.objectives import Augmentation
    from lerg_edge.training.options import TrainingOptions

__all__ = ["RECOMMENDERS", "RecommenderKind", "recommender_kind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommenderKind:
    """A recommender, as what it changes in training. What a device runs is plain propagation.

    Attributes:
        layers: of propagation unless stated; None for what suits the assignment.
        least_layers, most_layers: that may be stated; None for no limit.
        layers_rule: what follows its name where another number is stated, such as `propagates nothing`.
        augment: what it does in place of plain propagation while it is trained, or the place of it; None for
            plain propagation.
        full_table: fields of `lerg_edge.training.options.TrainingOptions` that suit a full table of it, or
            the place of a function `(training, *, pairs) -> TrainingOptions`.
    """

    layers: int | None = None
    least_layers: int = 0
    most_layers: int | None = None
    layers_rule: str = ""
    augment: Augmentation | str | None = None
    full_table: Mapping[str, Any] | str = field(default_factory=dict)

    def takes(self, layers: int) -> bool:
        """Whether it can have so many layers."""
        return self.least_layers <= layers <= (layers if self.most_layers is None else self.most_layers)

    def augmentation(self) -> Augmentation | None:
        """`augment` itself."""
        found: Augmentation | None = at(self.augment) if isinstance(self.augment, str) else self.augment
        return found

    def for_full_table(self, training: TrainingOptions, *, pairs: int) -> TrainingOptions:
        """How a full table is trained; dimension, layers, bits, validation and seed stay.

        Args:
            pairs: training interactions.
        """
        if not isinstance(self.full_table, str):
            return replace(training, **self.full_table)
        settings: Callable[..., TrainingOptions] = at(self.full_table)
        made = settings(training, pairs=pairs)
        return replace(made, bits=training.bits, per_row_steps=training.per_row_steps)


# What suits full tables was chosen on lastfm's validation pairs at d = 64. Without propagation a table
# overfits sooner: NDCG@20 0.135 with the penalty and the rate that suit codes, 0.144 with this penalty, 0.146
# with this rate too.
RECOMMENDERS: dict[str, RecommenderKind] = {
    "lightgcn": RecommenderKind(full_table="lerg_edge.assigning.teacher:teacher_options"),
    "mf": RecommenderKind(
        layers=0,
        most_layers=0,
        layers_rule="propagates nothing, so leave it out",
        full_table={"learning_rate": 0.01, "l2": 1e-2},
    ),
    "xsimgcl": RecommenderKind(
        layers=3,
        least_layers=1,
        layers_rule="contrasts layers and needs at least 1",
        augment="lerg_edge.training.contrast:XSIMGCL",
        full_table={"learning_rate": 0.01, "l2": 1e-3},
    ),
}


def recommender_kind(name: str) -> RecommenderKind:
    """A recommender by its name, or one of one's own by where it is defined, see `lerg_edge.own`.

    Raises:
        InputError: there is none, or it is no `RecommenderKind`.
    """
    if name in RECOMMENDERS:
        return RECOMMENDERS[name]
    found = load_own(name, "recommender", known=tuple(RECOMMENDERS))
    if not isinstance(found, RecommenderKind):
        raise InputError(
            f"recommender '{name}' is not usable: it is a {type(found).__name__}, no RecommenderKind."
        )
    return found
