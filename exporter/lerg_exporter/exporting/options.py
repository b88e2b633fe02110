"""What an export is asked for: each setting declared once. Importing this is cheap."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_edge.codes.widths import WIDTHS
from lerg_edge.errors import InputError
from lerg_exporter.exporting.contradictions import contradictions
from lerg_exporter.exporting.kinds.assignments import (
    ASSIGNMENTS,
    AUXILIARIES,
    AssignmentKind,
    assignment_kind,
)
from lerg_exporter.exporting.kinds.recommenders import RECOMMENDERS, RecommenderKind, recommender_kind
from lerg_exporter.exporting.kinds.selectors import AUTO
from lerg_exporter.exporting.settings import Setting, faults_of, schema, setting
from lerg_exporter.programs.choice import LOWERINGS, PROPAGATIONS, Propagation
from lerg_exporter.programs.limits import ITEM_TABLES, LAYER_STORAGES

__all__ = ["EXPORT_SETTINGS", "ExportOptions"]

ITEM_TRAININGS = ("recommender", "als", "both")
_RECOMMENDER = "lightgcn"
_FINETUNE_EPOCHS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Settings of one export. None leaves the choice to the exporter, or to a budget.

    `bits` and `dim` of 0 become what suits the assignment; docs/settings.md tells of all.
    """

    bits: int = setting(
        0,
        group="Model",
        option=True,
        choices=tuple(WIDTHS),
        help="Bits of a codebook element; 32 stands for floats that are not quantised.",
        unset="8 with product codes, else 4",
    )
    dim: int = setting(
        0,
        group="Model",
        option=True,
        metavar="D",
        least=1,
        help="Length of an embedding; even at 4 bits.",
        unset="56 with product codes, else 64",
    )
    retention: float | None = setting(
        None,
        group="Model",
        option=True,
        metavar="R",
        above=0,
        most=1,
        help="Share of the users and items that keep an embedding of their own; the others are pruned.",
        unset="0.7, or less to meet a budget; 1 for a handful of entities",
    )
    assignment: str = setting(
        "product",
        group="Model",
        option=True,
        choices=tuple(ASSIGNMENTS),
        own=assignment_kind,
        help="Where codes come from: product codes, METIS, LEGCF, a row of its own for everyone (full), or "
        "an assignment of your own as file.py:name.",
    )
    recommender: str = setting(
        _RECOMMENDER,
        group="Model",
        choices=tuple(RECOMMENDERS),
        own=recommender_kind,
        help="The model to train: LightGCN, matrix factorisation (mf), XSimGCL, which contrasts layers, or a "
        "recommender of your own as file.py:name.",
    )
    layers: int | None = setting(
        None,
        group="Model",
        metavar="L",
        least=0,
        help="Number of propagation layers.",
        unset="1 with product codes and full tables, else 3; 3 with xsimgcl, 0 with mf",
    )
    codebook_rows: int | None = setting(
        None,
        group="Model",
        metavar="C",
        least=1,
        help="Number of rows of the codebook.",
        unset="256 with product codes, else by the number of users and items, or fewer to meet a budget",
    )
    codes_per_entity: int | None = setting(
        None,
        group="Model",
        metavar="T",
        least=1,
        help="Number of codes that make up an embedding.",
        unset="one for every 4 dimensions with product codes, else 2",
    )
    anchor_weight: float = setting(
        0.6,
        group="Model",
        metavar="W",
        above=0,
        most=1,
        help="Weight of the first code of an entity; the others share the rest.",
    )
    auxiliaries: str = setting(
        "neighbours",
        group="Model",
        choices=AUXILIARIES,
        help="How the other codes of an entity are chosen: from where its interactions lead, or at random.",
    )
    step_sizes: str = setting(
        "one",
        group="Model",
        choices=("one", "row"),
        help="Use one step size for the whole codebook, or one for each row.",
    )
    quantisation: str = setting(
        "learned",
        group="Model",
        choices=("learned", "post-training"),
        help="Quantise while training, or train in 32 bits and round afterwards.",
    )
    selector: str = setting(
        AUTO,
        group="Who stays",
        metavar="NAME",
        help="How to choose who stays: auto (the best by validation), bip, bip-reach, bip-norm, bip-global, "
        "random, degree, norm, pagerank, or a function of your own as file.py:function.",
    )
    rounding_boundary: float = setting(
        0.5,
        group="Who stays",
        metavar="O",
        above=0,
        most=1,
        help="In selectors that solve the binary program, round up whoever has at least this share in the "
        "relaxed solution.",
    )
    min_users: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Keep at least this many users.",
        unset="half of what retention would keep of them",
    )
    min_items: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Keep at least this many items.",
        unset="half of what retention would keep of them",
    )
    keep_users: tuple[int | str, ...] = setting(
        (), group="Who stays", metavar="ID,...", help="Always keep these users."
    )
    keep_items: tuple[int | str, ...] = setting(
        (), group="Who stays", metavar="ID,...", help="Always keep these items."
    )
    edge_budget: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Keep users and items whose interactions add up to at most this many, each counted on both of "
        "its sides.",
        unset="no limit",
    )
    rewiring: str = setting(
        "multi-hop",
        group="Who stays",
        choices=("multi-hop", "none"),
        help="Replace interactions with pruned entities by paths around them; with none, some of those that "
        "stay may be left without any.",
    )
    placeholders: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Use at most this many embeddings to stand for all pruned users and items.",
        unset="500, and at most one for four pruned",
    )
    pruned_users: str = setting(
        "auto",
        group="Serving",
        choices=("auto", "history", "placeholder"),
        help="Serve pruned users from their history or by a placeholder; auto takes what validation prefers.",
    )
    retained_users: str = setting(
        "auto",
        group="Serving",
        choices=("auto", "table", "history"),
        help="Serve users who stay from the table or from their history; auto takes histories where "
        "validation prefers them beyond noise.",
    )
    ridge: float | None = setting(
        None,
        group="Serving",
        metavar="R",
        least=0,
        help="Weight of the ridge in the metric that histories are compared by; 0 for no metric.",
        unset="none, 1, 3 or 10, by validation",
    )
    half_life: float | None = setting(
        None,
        group="Serving",
        metavar="N",
        least=0,
        help="Number of later items after which an item of a history counts half; 0 where all count alike.",
        unset="none, 5, 10, 20 or 50, by validation where there are timestamps",
    )
    local_counts: float | None = setting(
        None,
        group="Serving",
        metavar="W",
        least=0,
        most=1e3,
        help="On the device, raise items by how often they were touched there, by this weight; 0 for not.",
        unset="0, or 0.1, 0.2, 0.4 or 0.8 where later interactions say so",
    )
    newcomers: int | None = setting(
        None,
        group="Serving",
        metavar="N",
        least=0,
        help="Number of users to leave out of a second training, on whom it is chosen how to serve unknown "
        "people; 0 for no such training.",
        unset="a fifth of the users, at most 2,000; 0 if those are fewer than 100",
    )
    personal: bool = setting(
        False,
        group="One person",
        option=True,
        help="Make a bundle that holds items and no user, and serves one person from the history that the "
        "device keeps.",
    )
    finetune: bool = setting(
        False,
        group="One person",
        option=True,
        help="Give a personal bundle a program by which it learns from the history that it keeps.",
    )
    min_item_users: int = setting(
        5,
        group="One person",
        option=True,
        metavar="N",
        least=1,
        help="In a personal bundle, let items that fewer users than this have touched share rows, so that no "
        "row is one user's.",
    )
    max_history: int = setting(
        1000,
        group="One person",
        option=True,
        metavar="N",
        least=1,
        most=1 << 16,
        help="Let the device of a personal bundle keep at most this many items; the oldest go first.",
    )
    item_training: str = setting(
        "auto",
        group="One person",
        choices=("auto", *ITEM_TRAININGS),
        help="How a personal bundle learns items: by its recommender, by alternating least squares (als), or "
        "both, a table of each side by side; auto takes what people held out of training prefer, and the "
        "recommender's if one is stated.",
    )
    item_coding: str = setting(
        "auto",
        group="One person",
        choices=("auto", "rows", "product", "folded"),
        help="How a personal bundle stores items: rows of their own, product codes or a few weighted codes; "
        "auto takes what people held out of training prefer.",
    )
    memory_budget: int | None = setting(
        None,
        group="Device",
        option=True,
        metavar="SIZE",
        least=1,
        size=True,
        help="Most memory that running the bundle may take on the device, such as 64MiB.",
        unset="no limit",
    )
    storage_budget: int | None = setting(
        None,
        group="Device",
        option=True,
        metavar="SIZE",
        least=1,
        size=True,
        help="Most space that the files of the bundle may take.",
        unset="no limit",
    )
    propagation: str = setting(
        "graph",
        group="Device",
        option=True,
        choices=tuple(PROPAGATIONS),
        help="Propagate over the interaction graph on the device, or store the propagated rows folded into a "
        "few codes each: smaller, and no graph is needed.",
    )
    lowering: str = setting(
        "native",
        group="Device",
        option=True,
        choices=tuple(LOWERINGS),
        help="Use this project's kernels (native: fastest, smallest) or the operators of stock ExecuTorch "
        "(portable: runs anywhere).",
    )
    entries: int | None = setting(
        None,
        group="Device",
        metavar="K",
        least=1,
        help="Number of codes that make up a folded row.",
        unset="8, or fewer to meet a budget",
    )
    item_table: str = setting(
        "float32",
        group="Device",
        choices=ITEM_TABLES,
        help="Type of the item table that ranking reads; int8 takes a quarter of the memory.",
    )
    layer_storage: str = setting(
        "float32",
        group="Device",
        choices=LAYER_STORAGES,
        help="Type of the rows between two layers of graph propagation; float16 takes half of the memory.",
    )
    batch: int | None = setting(
        None,
        group="Device",
        metavar="N",
        least=2,
        help="Largest number of triples in a fine-tuning step on the device.",
        unset="4096, or fewer to meet a budget",
    )
    max_users: int | None = setting(
        None,
        group="Device",
        metavar="N",
        least=1,
        help="Largest number of users that one call of the program ranks for.",
        unset="64, and 1 with the portable lowering",
    )
    max_k: int = setting(
        256,
        group="Device",
        metavar="N",
        least=1,
        help="Largest number of items that one call of the program returns.",
    )
    epochs: int | None = setting(
        None,
        group="Training",
        option=True,
        metavar="N",
        least=1,
        help="Train for at most this many epochs; validation may stop earlier.",
        unset="24 with product codes and full tables, 80 with xsimgcl, else 100",
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
        return ITEM_TRAININGS if self.recommender == _RECOMMENDER else ITEM_TRAININGS[:1]

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
