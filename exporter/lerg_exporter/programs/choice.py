"""By which operators programs compute, and how an entity's row comes about: each is one entry here.

A lowering says by which operators, a propagation how a row comes about. A new pair of them is a module with a
function `(model, limits) -> dict of Method`, one with a function `(shape) -> ProgramSizes`, and their places
here. Importing this is cheap; what is built is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lerg_edge.errors import InputError
from lerg_edge.own import at
from lerg_exporter.programs.limits import ITEM_TABLES, LAYER_STORAGES, ProgramLimits

if TYPE_CHECKING:
    from lerg_edge.personal.model import PersonalModel
    from lerg_edge.pruning.model import CompressedModel
    from lerg_exporter.programs.method import Method
    from lerg_exporter.programs.sizes import ProgramSizes
    from lerg_runtime.bundle import ModelShape

__all__ = [
    "LOWERINGS",
    "PROPAGATIONS",
    "Lowering",
    "Programs",
    "Propagation",
    "check_combination",
    "methods_of",
    "personal_methods_of",
    "programs_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The programs of one lowering for one propagation.

    Attributes:
        builder: place of a function `(model, limits) -> dict of Method`.
        estimate: place of a function `(shape) -> ProgramSizes`.
        item_tables, layer_storages: those of `programs.limits` that they have.
    """

    builder: str
    estimate: str
    item_tables: tuple[str, ...] = ITEM_TABLES[:1]
    layer_storages: tuple[str, ...] = LAYER_STORAGES[:1]

    def sizes(self, shape: ModelShape) -> ProgramSizes:
        """What programs for a model of this shape will take."""
        estimate: Callable[[ModelShape], ProgramSizes] = at(self.estimate)
        return estimate(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """By which operators programs compute.

    Attributes:
        programs: by propagation.
        personal: place of a function `(model, limits, *, max_history) -> dict of Method`, for items alone.
        max_users: that `recommend` ranks for at most, unless stated.
        stock: stock ExecuTorch is to run them, on Android too, with the weights in a file beside the program.
    """

    programs: Mapping[str, Programs]
    personal: str
    max_users: int
    stock: bool = False


LOWERINGS: dict[str, Lowering] = {
    "native": Lowering(
        programs={
            "graph": Programs(
                builder="lerg_exporter.programs.native.graph:native_graph_methods",
                estimate="lerg_exporter.programs.native.estimate:graph_sizes",
                item_tables=ITEM_TABLES,
                layer_storages=LAYER_STORAGES,
            ),
            "folded": Programs(
                builder="lerg_exporter.programs.native.folded:native_folded_methods",
                estimate="lerg_exporter.programs.native.estimate:folded_sizes",
                item_tables=ITEM_TABLES,
            ),
        },
        personal="lerg_exporter.programs.native.personal:native_personal_methods",
        max_users=64,
    ),
    "portable": Lowering(
        programs={
            "graph": Programs(
                builder="lerg_exporter.programs.portable.graph:portable_graph_methods",
                estimate="lerg_exporter.programs.portable.estimate:graph_sizes",
            ),
            "folded": Programs(
                builder="lerg_exporter.programs.portable.folded:portable_folded_methods",
                estimate="lerg_exporter.programs.portable.estimate:folded_sizes",
            ),
        },
        personal="lerg_exporter.programs.portable.personal:portable_personal_methods",
        # Stock matrix products round by how many rows they are given. One row a call scores a user the same
        # alone and among others; in larger calls the last bits may differ.
        max_users=1,
        stock=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """How an entity's row comes about. How such a model is made stands in `lerg_exporter.exporting.shapings`.

    Attributes:
        model: what a model with such rows is called, in metrics too.
        verb: what makes it of the pretrained one.
        trains_on: the bundle is fine-tuned before it is written, unless stated.
        entries: numbers of codes of a row that are tried for a budget, the first unless stated; none where
            rows have the codes of their assignment.
        codes_share: part of the usual number of codes, where the codebook is made anew for the rows.
        idle: settings that have no effect, and a sentence for whoever gives them; `{}` is the value.
        floats: the sentence for whoever asks for a codebook of floats, where there is none.
    """

    model: str
    verb: str
    trains_on: bool = True
    entries: tuple[int, ...] = ()
    codes_share: float = 1.0
    idle: Mapping[str, str] = field(default_factory=dict)
    floats: str = ""


_ONE_STEP = "needs {propagation:graph}; a folded codebook is fitted to rows and has one step"

PROPAGATIONS: dict[str, Propagation] = {
    "graph": Propagation(model="rewired", verb="rewiring"),
    "folded": Propagation(
        model="folded",
        verb="folding",
        trains_on=False,
        # On gowalla 4 entries a row cost 2 % of NDCG@20 and save a fifth of the bundle: given up before
        # entities are.
        entries=(8, 6, 4),
        codes_share=0.25,
        idle={
            "rewiring": "{rewiring:{}} has no effect with {propagation:folded}, whose rows come from the "
            "full graph; leave one of them out",
            "step_sizes": f"{{step_sizes:{{}}}} {_ONE_STEP}",
            "quantisation": f"{{quantisation:{{}}}} {_ONE_STEP}",
        },
        floats="{bits:32} needs {propagation:graph}; folded codebooks have 4, 8 or 16 bits",
    ),
}


def programs_of(lowering: str, propagation: str) -> Programs:
    """The programs of a lowering for a propagation.

    Raises:
        InputError: there is no such combination.
    """
    if lowering not in LOWERINGS or propagation not in LOWERINGS[lowering].programs:
        known = ", ".join(f"{name} with {other}" for name, other, _ in _combinations())
        raise InputError.naming(
            "{lowering:{}} and {propagation:{}} do not go together; choose {}", lowering, propagation, known
        )
    return LOWERINGS[lowering].programs[propagation]


def check_combination(lowering: str, propagation: str, *, item_table: str, layer_storage: str) -> None:
    """Refuse what no program can be made of.

    Raises:
        InputError: there is no such combination.
    """
    found = programs_of(lowering, propagation)
    for setting, value in (("layer_storage", layer_storage), ("item_table", item_table)):
        if value in getattr(found, f"{setting}s"):
            continue
        having = [each for each in _combinations() if value in getattr(each[2], f"{setting}s")]
        # A lowering or a propagation that alone has it is what is asked for.
        needed = {"lowering": {each[0] for each in having}, "propagation": {each[1] for each in having}}
        words = " and ".join(f"{{{name}:{names.pop()}}}" for name, names in needed.items() if len(names) == 1)
        template = f"{{{setting}:{{}}}} needs {words}, not {{}} with {{}}"
        raise InputError.naming(template, value, lowering, propagation)


def methods_of(
    model: CompressedModel, limits: ProgramLimits, *, lowering: str = "native"
) -> dict[str, Method]:
    """The methods `finetune`, `encode` and `recommend` of `model`, in the order they are stored.

    Raises:
        InputError: there is no such lowering for the model's propagation, or not with this item table or
            layer storage, or the model has an empty side.
    """
    check_combination(
        lowering, model.propagation, item_table=limits.item_table, layer_storage=limits.layer_storage
    )
    build: Callable[..., dict[str, Method]] = at(programs_of(lowering, model.propagation).builder)
    return build(model, limits)


def personal_methods_of(
    model: PersonalModel, limits: ProgramLimits, *, lowering: str, max_history: int, max_batch: int = 0
) -> dict[str, Method]:
    """The methods `encode` and `recommend` of a model that has items alone, and `finetune` if it learns.

    Args:
        max_batch: most items that are learned from at a time; 0 where it does not learn.

    Raises:
        InputError: there is no such lowering, or the model has no item.
    """
    if lowering not in LOWERINGS:
        raise InputError.naming("{lowering:{}} is none of {}", lowering, ", ".join(LOWERINGS))
    build: Callable[..., dict[str, Method]] = at(LOWERINGS[lowering].personal)
    return build(model, limits, max_history=max_history, max_batch=max_batch)


def _combinations() -> Iterator[tuple[str, str, Programs]]:
    for lowering, each in LOWERINGS.items():
        for propagation, programs in each.programs.items():
            yield lowering, propagation, programs
