"""What an export is asked for: each setting declared once. Importing this is cheap."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_edge.errors import InputError
from lerg_exporter.exporting.contradictions import contradictions
from lerg_exporter.exporting.kinds.assignments import ASSIGNMENTS, AssignmentKind, assignment_kind
from lerg_exporter.exporting.kinds.recommenders import RECOMMENDERS, RecommenderKind, recommender_kind
from lerg_exporter.exporting.model_options import USUAL_RECOMMENDER
from lerg_exporter.exporting.serving_options import ITEM_TRAININGS, ServingOptions
from lerg_exporter.exporting.settings import Setting, faults_of, schema, setting
from lerg_exporter.programs.choice import LOWERINGS, PROPAGATIONS, Propagation

__all__ = ["EXPORT_SETTINGS", "ExportOptions"]

_FINETUNE_EPOCHS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions(ServingOptions):
    """Settings of one export. None leaves the choice to the exporter, or to a budget.

    `bits` and `dim` of 0 become what suits the assignment; docs/settings.md tells of all.
    """

    epochs: int | None = setting(
        None,
        group="Training",
        option=True,
        metavar="N",
        least=1,
        help="Train for at most this many epochs; validation may stop earlier.",
        unset="60 with product codes and full tables, 80 with xsimgcl, else 100",
    )
    pretrain_batch: int | None = setting(
        None,
        group="Training",
        metavar="N",
        least=1,
        help="Number of interactions in a training step.",
        unset="by the size of the data",
    )
    learning_rate: float | None = setting(
        None,
        group="Training",
        metavar="RATE",
        above=0,
        help="Learning rate of training.",
        unset="what suits the assignment and the recommender",
    )
    l2: float | None = setting(
        None,
        group="Training",
        metavar="WEIGHT",
        least=0,
        help="Weight of the L2 penalty in training.",
        unset="what suits the assignment and the recommender",
    )
    temperature: float | None = setting(
        None,
        group="Training",
        metavar="T",
        least=0.02,
        most=10,
        help="Temperature of the in-batch softmax, by which full tables and the codes of them are trained. "
        "With a higher one, items are pushed away from a user more evenly. No other loss has one.",
        unset="by the number of interactions, and from 200 thousand on by validation unless power is stated",
    )
    power: float | None = setting(
        None,
        group="Training",
        metavar="P",
        above=0,
        most=2,
        help="Power of the denominator of the in-batch softmax; with a higher one, items are pushed away "
        "from a user more than others are drawn near. No other loss has one.",
        unset="0.84, and from 200 thousand interactions on by validation unless temperature is stated",
    )
    seed: int = setting(
        0,
        group="Training",
        option=True,
        metavar="N",
        least=0,
        help="Seed of everything random; the same seed gives the same bundle.",
    )
    threads: int | None = setting(
        None,
        group="Training",
        option=True,
        metavar="N",
        least=1,
        most=1024,
        help="Number of threads to compute on; other numbers give slightly different bundles.",
        unset="OMP_NUM_THREADS, else the number of cores",
    )
    device: str = setting(
        "auto", group="Training", option=True, choices=("auto", "cpu", "cuda"), help="Where training runs."
    )
    refit: bool | None = setting(
        None,
        group="Training",
        option=True,
        help="Once measured, train the model that ships on everything, the pairs held out for testing and "
        "validation included; a test set of its own stays out. With --personal: train again with the people "
        "who chose how, and then measure on the others.",
        unset="only with --split none, and with --personal",
    )
    finetune_epochs: int | None = setting(
        None,
        group="Fine-tuning",
        metavar="N",
        least=0,
        help="Fine-tune the bundle for at most this many epochs before it is written; 0 leaves it out.",
        unset="8, and 0 with folded propagation or post-training quantisation",
    )
    finetune_learning_rate: float = setting(
        1e-2,
        group="Fine-tuning",
        metavar="RATE",
        above=0,
        help="Learning rate of fine-tuning, here and by default on the device.",
    )
    finetune_candidates: int | None = setting(
        None,
        group="Fine-tuning",
        metavar="N",
        least=1,
        help="Draw this many items for each negative of fine-tuning and take the hardest.",
        unset="1 or 16, by validation",
    )
    replay: float | None = setting(
        None,
        group="Fine-tuning",
        metavar="N",
        least=0,
        most=1e6,
        help="For each new interaction, let the device go over this many earlier ones again by default.",
        unset="4, or 1 or 0 where later interactions say so",
    )

    @property
    def assignment_kind(self) -> AssignmentKind:
        """What `assignment` names."""
        return assignment_kind(self.assignment)

    @property
    def recommender_kind(self) -> RecommenderKind:
        """What `recommender` names."""
        return recommender_kind(self.recommender)

    @property
    def propagation_kind(self) -> Propagation:
        """What `propagation` names."""
        return PROPAGATIONS[self.propagation]

    @property
    def is_own(self) -> bool:
        """Whether the assignment or the recommender is of one's own, whose code no fingerprint knows."""
        return self.assignment not in ASSIGNMENTS or self.recommender not in RECOMMENDERS

    @property
    def resolved_codes_per_entity(self) -> int:
        """`codes_per_entity`, or what suits the assignment."""
        if self.codes_per_entity is not None:
            return self.codes_per_entity
        kind = self.assignment_kind
        return max(1, self.dim // kind.block_width) if kind.block_width else kind.codes_per_entity

    @property
    def resolved_layers(self) -> int:
        """`layers`, or what suits the recommender and the assignment; 0 where nothing is propagated."""
        suited = (self.layers, self.recommender_kind.layers, self.assignment_kind.layers)
        return next(layers for layers in suited if layers is not None)

    @property
    def resolved_item_trainings(self) -> tuple[str, ...]:
        """What `item_training` leaves to choose among, the plainest first."""
        if self.item_training != "auto":
            return (self.item_training,)
        return ITEM_TRAININGS if self.recommender == USUAL_RECOMMENDER else ITEM_TRAININGS[:1]

    @property
    def resolved_finetune_epochs(self) -> int:
        """`finetune_epochs`, or what stands for None."""
        if self.finetune_epochs is not None:
            return self.finetune_epochs
        trains_again = self.propagation_kind.trains_on and self.quantisation == "learned"
        return _FINETUNE_EPOCHS if trains_again else 0

    @property
    def is_full_table(self) -> bool:
        """Whether the bundle has a codebook row for each entity that stays."""
        return self.assignment_kind.one_each and not self.propagation_kind.entries

    def __post_init__(self) -> None:
        """Raises InputError, which names each setting that is wrong, its value and its range."""
        faults = list(faults_of(EXPORT_SETTINGS, self))
        if not faults:
            for name in ("bits", "dim"):
                if getattr(self, name) == 0:
                    object.__setattr__(self, name, getattr(self.assignment_kind, name))
            faults = list(faults_of(EXPORT_SETTINGS, self)) or list(contradictions(self, EXPORT_SETTINGS))
        if faults:
            raise InputError.of_all(faults)

    @property
    def resolved_max_users(self) -> int:
        """`max_users`, or what suits the lowering."""
        if self.max_users is not None:
            return self.max_users
        return LOWERINGS[self.lowering].max_users


EXPORT_SETTINGS: dict[str, Setting] = schema(ExportOptions)
