"""What an export is asked for. Importing this is cheap."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from lerg_edge.errors import InputError
from lerg_exporter.export.kinds.assignments import ASSIGNMENTS, AUXILIARIES, SETTINGS
from lerg_exporter.export.kinds.recommenders import RECOMMENDERS, default_layers
from lerg_exporter.export.kinds.selectors import AUTO, ROUNDING
from lerg_exporter.programs.choice import LOWERINGS, PROPAGATIONS, check_combination
from lerg_exporter.programs.limits import ITEM_TABLES, LAYER_STORAGES

__all__ = ["BIT_WIDTHS", "PRUNED_USERS", "ExportOptions"]

FLOAT_BITS = 32
BIT_WIDTHS = (4, 8, 16, FLOAT_BITS)
STEPS = ("one", "row")
PRUNED_USERS = ("auto", "history", "placeholder")
QUANTISATIONS = ("learned", "post-training")
_FINETUNE_EPOCHS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Settings of one export. None leaves the choice to the exporter, or to a budget.

    Attributes:
        bits: 4, 8 or 16, of a codebook element, or 32 for float32 elements that are not quantised; 0 becomes
            what suits the assignment.
        steps: of the quantiser, `one` for the codebook or one a `row` of it.
        quantisation: `learned` while the codebook is trained, or `post-training`, which trains 32 bits and
            then rounds them.
        assignment: which codes make up which entity, see `lerg_exporter.export.kinds.assignments`.
        codes: rows of the codebook; None: see `lerg_edge.training.options.default_codes`, a quarter of that
            with folded propagation; a full table has one for each entity that stays.
        dim: length of an embedding; even at 4 bits; 0 becomes what suits the assignment.
        per_entity: codes that make up an entity; None: see `codes_an_entity`.
        anchor_weight: weight of the first of them, above 0 and at most 1.
        auxiliaries: the others, `neighbours` for the parts that its interactions lead to, or `random`.
        recommender: what is pretrained, `lightgcn`, `mf` for matrix factorisation, without propagation, or
            `xsimgcl`, which adds noise and a contrast of layers.
        layers: of propagation; None: see `depth`.
        entries: codes that make up an entity's propagated row, with folded propagation; None: 8.
        retention: part of the entities that stay, above 0 and at most 1; None: 0.7.
        placeholders: most embeddings that stand for the others; None: 500, and at most one for four pruned.
        pruned_users: `history` serves users who do not stay one hop from what they have touched,
            `placeholder` by what stands for them; `auto`: what is better on their validation pairs.
        selector: name or place of the selector, see `lerg_edge.selection.find_selector`, or `auto`: the
            binary program with the objective that validation prefers, see
            `lerg_exporter.export.kinds.selectors`.
        rounding_boundary: o of the selectors that round a relaxation, above 0 and at most 1: who has at least
            this share of itself in the relaxation is rounded up, before the repair to an exact number.
        min_users, min_items: least that stay of each side; None: half of the retention ratio.
        keep_users, keep_items: raw ids that must stay.
        edge_budget: most that the retained entities' degrees may add up to, or None.
        rewiring: `multi-hop` routes entities that lost edges around the pruned; `none` leaves the induced
            subgraph, in which a retained entity may have no edge at all.
        batch: largest number of triples in a fine-tuning step of the program; None: 4096.
        max_users: most users ranked by one call of the program; None: see `users_a_call`.
        max_k: most items that one call returns.
        epochs: of pretraining at most, with `product` of the full table that it learns codes from; None: what
            suits the assignment.
        pretrain_batch, learning_rate, l2: of pretraining; None: the trainer's defaults.
        finetune_epochs: of fine-tuning through the program; 0 leaves it out; None: 8, and none with folded
            propagation, whose rows lose nothing to pruning that could be won back, nor after post-training
            quantisation.
        finetune_learning_rate: of fine-tuning, here and by default on the device.
        finetune_candidates: items drawn for each negative of fine-tuning, of which the hardest is taken, here
            and by default on the device; None: 1 or 16, by validation.
        refit: once measured, train the model that ships on everything; None: only where the split is `none`.
        seed: equal seeds give equal bundles.
        threads: that everything is computed on; None: OMP_NUM_THREADS, else what torch finds. Sums over
            several threads end in other bits for other numbers of them: equal bundles want equal numbers.
        device: auto, cpu or cuda; where pretraining runs.
        lowering, propagation: how the programs compute, see `lerg_exporter.programs.choice`.
        layer_storage: float32 or float16, of the rows between the layers of graph propagation.
        item_table: float32 or int8, type of the rows that ranking reads; int8 takes a quarter of the memory.
        memory_budget, storage_budget: most bytes that running the bundle, and its files, may take, or None.
    """

    bits: int = 0
    steps: str = "one"
    quantisation: str = "learned"
    assignment: str = "product"
    codes: int | None = None
    dim: int = 0
    per_entity: int | None = None
    anchor_weight: float = 0.6
    auxiliaries: str = "neighbours"
    recommender: str = "lightgcn"
    layers: int | None = None
    entries: int | None = None
    retention: float | None = None
    placeholders: int | None = None
    pruned_users: str = "auto"
    selector: str = AUTO
    rounding_boundary: float = 0.5
    min_users: int | None = None
    min_items: int | None = None
    keep_users: tuple[int | str, ...] = ()
    keep_items: tuple[int | str, ...] = ()
    edge_budget: int | None = None
    rewiring: str = "multi-hop"
    batch: int | None = None
    max_users: int | None = None
    max_k: int = 256
    epochs: int | None = None
    pretrain_batch: int | None = None
    learning_rate: float | None = None
    l2: float | None = None
    finetune_epochs: int | None = None
    finetune_learning_rate: float = 1e-2
    finetune_candidates: int | None = None
    refit: bool | None = None
    seed: int = 0
    threads: int | None = None
    device: str = "auto"
    lowering: str = "native"
    propagation: str = "graph"
    layer_storage: str = "float32"
    item_table: str = "float32"
    memory_budget: int | None = None
    storage_budget: int | None = None

    @property
    def codes_an_entity(self) -> int:
        """`per_entity`, or what suits the assignment."""
        if self.per_entity is not None:
            return self.per_entity
        kind = ASSIGNMENTS[self.assignment]
        return max(1, self.dim // kind.block_width) if kind.block_width else kind.per_entity

    @property
    def depth(self) -> int:
        """`layers`, or what stands for None: 3, and 0 where nothing is propagated."""
        return default_layers(self.recommender) if self.layers is None else self.layers

    @property
    def tuning_epochs(self) -> int:
        """`finetune_epochs`, or what stands for None."""
        if self.finetune_epochs is not None:
            return self.finetune_epochs
        trains_again = self.propagation == "graph" and self.quantisation == "learned"
        return _FINETUNE_EPOCHS if trains_again else 0

    @property
    def is_full_table(self) -> bool:
        """Whether the bundle has a codebook row for each entity that stays."""
        return ASSIGNMENTS[self.assignment].one_each and self.propagation == "graph"

    def __post_init__(self) -> None:
        """Check what no later stage would check before work is done.

        Raises:
            InputError: names the option, its value and its range.
        """
        _among("assignment", self.assignment, tuple(ASSIGNMENTS))
        for name in ("bits", "dim"):
            if getattr(self, name) == 0:
                object.__setattr__(self, name, getattr(ASSIGNMENTS[self.assignment], name))
        _among("bits", self.bits, BIT_WIDTHS)
        _among("steps", self.steps, STEPS)
        _among("quantisation", self.quantisation, QUANTISATIONS)
        _among("auxiliaries", self.auxiliaries, AUXILIARIES)
        _among("recommender", self.recommender, RECOMMENDERS)
        _among("device", self.device, ("auto", "cpu", "cuda"))
        _among("lowering", self.lowering, LOWERINGS)
        _among("pruned_users", self.pruned_users, PRUNED_USERS)
        _among("propagation", self.propagation, PROPAGATIONS)
        _among("layer_storage", self.layer_storage, LAYER_STORAGES)
        _among("item_table", self.item_table, ITEM_TABLES)
        _among("rewiring", self.rewiring, REWIRINGS)
        check_combination(
            self.lowering, self.propagation, item_table=self.item_table, layer_storage=self.layer_storage
        )
        self._check_pruning()
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{_option(name)} is {value}; it must be at least {least}")
        for name in ("anchor_weight", "retention", "rounding_boundary"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value <= 1.0:
                raise InputError(f"{_option(name)} is {value}; it must be above 0 and at most 1")
        for name in ("learning_rate", "finetune_learning_rate"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{_option(name)} is {value}; it must be above 0")
        if self.bits == 4 and self.dim % 2:
            raise InputError(f"--dim is {self.dim}; it must be even with --bits 4")
        self._check_kinds()

    def _check_kinds(self) -> None:
        """Refuse options that contradict the assignment, the recommender or the quantiser."""
        defaults = {field.name: field.default for field in fields(self)}
        for name in SETTINGS:
            if name not in ASSIGNMENTS[self.assignment].reads and getattr(self, name) != defaults[name]:
                raise InputError(
                    f"{_option(name)} has no effect with --assignment {self.assignment}; leave it out"
                )
        blocks = self.codes_an_entity
        if ASSIGNMENTS[self.assignment].block_width and self.dim % blocks:
            raise InputError(
                f"--dim is {self.dim} and an entity has {blocks} codes, one for each of as many equal "
                "blocks; give a --per-entity that divides --dim"
            )
        if self.is_full_table and self.codes is not None:
            raise InputError(
                f"--codes is {self.codes}; with --assignment {self.assignment} their number follows from the "
                "data, so leave it out"
            )
        if self.recommender == "mf" and self.depth:
            raise InputError(
                f"--layers is {self.layers}; --recommender mf propagates nothing, so leave it out"
            )
        if self.recommender == "xsimgcl" and not self.depth:
            raise InputError("--layers is 0; --recommender xsimgcl contrasts layers and needs at least 1")
        folded = self.propagation == "folded"
        if self.bits == FLOAT_BITS:
            if folded:
                raise InputError("--bits 32 needs graph propagation; folded codebooks have 4, 8 or 16")
            for name in ("steps", "quantisation"):
                if getattr(self, name) != defaults[name]:
                    raise InputError(
                        f"{_option(name)} needs a quantiser and --bits 32 has none; leave it out"
                    )
        for name in ("steps", "quantisation"):
            if folded and getattr(self, name) != defaults[name]:
                raise InputError(
                    f"{_option(name)} {getattr(self, name)} needs graph propagation; a folded codebook is "
                    "fitted to rows and has one step"
                )

    def _check_pruning(self) -> None:
        """Refuse what would have no effect on who stays, or on their graph."""
        if self.rounding_boundary != _BOUNDARY and self.selector not in ROUNDING:
            raise InputError(
                f"--rounding-boundary has no effect with --selector {self.selector}, which rounds nothing; "
                f"choose {', '.join(ROUNDING[:-1])} or {ROUNDING[-1]}, or leave it out"
            )
        if self.rewiring != REWIRINGS[0] and self.propagation == "folded":
            raise InputError(
                f"--rewiring {self.rewiring} has no effect with --propagation folded, whose rows come from "
                "the full graph; leave one of them out"
            )

    @property
    def users_a_call(self) -> int:
        """`max_users`, or 64 with the native lowering and 1 with the portable one.

        Stock matrix products round by how many rows they are given. One row a call scores a user the same
        alone and among others; in larger calls the last bits may differ.
        """
        if self.max_users is not None:
            return self.max_users
        return 1 if self.lowering == "portable" else 64


REWIRINGS = ("multi-hop", "none")
_BOUNDARY = 0.5
_LEAST: dict[str, float] = {
    "codes": 1,
    "dim": 1,
    "per_entity": 1,
    "layers": 0,
    "entries": 1,
    "placeholders": 0,
    "min_users": 0,
    "min_items": 0,
    "edge_budget": 0,
    "batch": 2,
    "max_users": 1,
    "max_k": 1,
    "epochs": 1,
    "pretrain_batch": 1,
    "l2": 0,
    "finetune_epochs": 0,
    "finetune_candidates": 1,
    "seed": 0,
    "threads": 1,
    "memory_budget": 1,
    "storage_budget": 1,
}


def _among(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise InputError(f"{_option(name)} is {value}; choose one of {', '.join(map(str, known))}")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
