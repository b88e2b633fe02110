"""Which modules make up a bundle's programs: the one place where lowering and propagation are chosen.

A lowering says by which operators the programs compute, a propagation how an entity's row comes about.  A new
combination is one line in `_BUILDERS` and one module with a function `(model, limits) -> dict of Method`.
Importing this is cheap; a builder is imported when it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lerg_edge.errors import InputError
from lerg_exporter.programs.limits import ProgramLimits

if TYPE_CHECKING:
    from lerg_edge.folding.folded_model import FoldedModel
    from lerg_edge.personal.model import PersonalModel
    from lerg_edge.pruning.rewired_model import RewiredModel
    from lerg_exporter.programs.method import Method

__all__ = ["LOWERINGS", "PROPAGATIONS", "check_combination", "methods_of", "personal_methods_of"]

_BUILDERS = {
    ("native", "graph"): "lerg_exporter.programs.native.graph:native_graph_methods",
    ("native", "folded"): "lerg_exporter.programs.native.folded:native_folded_methods",
    ("portable", "folded"): "lerg_exporter.programs.portable.folded:portable_folded_methods",
    ("portable", "graph"): "lerg_exporter.programs.portable.graph:portable_graph_methods",
}

_PERSONAL = {
    "native": "lerg_exporter.programs.native.personal:native_personal_methods",
    "portable": "lerg_exporter.programs.portable.personal:portable_personal_methods",
}

LOWERINGS = tuple(dict.fromkeys(lowering for lowering, _ in _BUILDERS))
PROPAGATIONS = tuple(dict.fromkeys(propagation for _, propagation in _BUILDERS))


def check_combination(lowering: str, propagation: str, *, item_table: str, layer_storage: str) -> None:
    """Refuse what no program can be made of.

    Raises:
        InputError: there is no such combination.
    """
    if (lowering, propagation) not in _BUILDERS:
        known = ", ".join(f"{a} with {b}" for a, b in _BUILDERS)
        raise InputError.naming(
            "{lowering:{}} and {propagation:{}} do not go together; choose {}", lowering, propagation, known
        )
    if layer_storage != "float32" and (lowering, propagation) != ("native", "graph"):
        raise InputError.naming(
            "{layer_storage:{}} needs {lowering:native} and {propagation:graph}, not {} with {}",
            layer_storage,
            lowering,
            propagation,
        )
    if item_table == "int8" and lowering != "native":
        raise InputError.naming("{item_table:int8} needs {lowering:native}, not {}", lowering)


def methods_of(
    model: RewiredModel | FoldedModel,
    limits: ProgramLimits,
    *,
    lowering: str = "native",
    propagation: str = "graph",
) -> dict[str, Method]:
    """The methods `finetune`, `encode` and `recommend` of `model`, in the order they are stored.

    Raises:
        InputError: there is no such combination, or not with this item table, the model is not of that
            propagation, or it has an empty side.
    """
    check_combination(lowering, propagation, item_table=limits.item_table, layer_storage=limits.layer_storage)
    own = "folded" if hasattr(model, "rows") else "graph"
    if own != propagation:
        kind = "folded" if own == "folded" else "rewired"
        raise InputError(f"a {kind} model cannot be given {propagation} propagation; choose {own}")
    module, function = _BUILDERS[lowering, propagation].split(":")
    built: dict[str, Method] = getattr(importlib.import_module(module), function)(model, limits)
    if limits.item_table == "int8":
        from lerg_exporter.programs.native.recommend import with_int8_items

        return with_int8_items(built)
    return built


def personal_methods_of(
    model: PersonalModel, limits: ProgramLimits, *, lowering: str, max_history: int
) -> dict[str, Method]:
    """The methods `encode` and `recommend` of a model that has items alone.

    Raises:
        InputError: there is no such lowering, or the model has no item.
    """
    if lowering not in _PERSONAL:
        raise InputError.naming("{lowering:{}} is none of {}", lowering, ", ".join(_PERSONAL))
    module, function = _PERSONAL[lowering].split(":")
    make = getattr(importlib.import_module(module), function)
    made: dict[str, Method] = make(model, limits, max_history=max_history)
    return made
