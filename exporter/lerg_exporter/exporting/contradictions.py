"""Settings of an export that do not go together, though each is right by itself. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lerg_edge.errors import InputError
from lerg_exporter.exporting.kinds.assignments import ASSIGNMENTS, SETTINGS
from lerg_exporter.exporting.kinds.selectors import ROUNDING
from lerg_exporter.exporting.settings import Setting
from lerg_exporter.programs.choice import check_combination

if TYPE_CHECKING:
    from lerg_exporter.exporting.options import ExportOptions

__all__ = ["FLOAT_BITS", "contradictions"]

FLOAT_BITS = 32
_OF_SHARED = (
    "retention",
    "assignment",
    "codes",
    "per_entity",
    "steps",
    "quantisation",
    "selector",
    "min_users",
    "min_items",
    "keep_users",
    "keep_items",
    "edge_budget",
    "rewiring",
    "placeholders",
    "pruned_users",
    "retained_users",
    "newcomers",
    "propagation",
    "entries",
    "item_table",
    "layer_storage",
    "batch",
    "max_users",
    "refit",
    "finetune_epochs",
    "finetune_candidates",
)


def contradictions(options: ExportOptions, settings: Mapping[str, Setting]) -> Iterator[InputError]:
    """What does not go together, each of the settings being right by itself."""
    try:
        check_combination(
            options.lowering,
            options.propagation,
            item_table=options.item_table,
            layer_storage=options.layer_storage,
        )
    except InputError as error:
        yield error
    if options.bits == 4 and options.dim % 2:
        yield InputError.naming("{dim} is {}; it must be even with {bits:4}", options.dim)
    yield from _without_effect(options, settings)
    yield from _of_another_form(options, settings)
    yield from _unquantised(options, settings)
    blocks = options.codes_an_entity
    if ASSIGNMENTS[options.assignment].block_width and options.dim % blocks:
        yield InputError.naming(
            "{dim} is {} and an entity has {} codes, one for each of as many equal blocks; give a "
            "{per_entity} that divides it",
            options.dim,
            blocks,
        )
    if options.recommender == "xsimgcl" and not options.depth:
        yield InputError.naming("{layers} is 0; {recommender:xsimgcl} contrasts layers and needs at least 1")


def _without_effect(options: ExportOptions, settings: Mapping[str, Setting]) -> Iterator[InputError]:
    """Settings that others make idle."""
    for name in SETTINGS:
        if name not in ASSIGNMENTS[options.assignment].reads and _is_set(options, name, settings):
            yield InputError.naming(
                f"{{{name}}} has no effect with {{assignment:{{}}}}; leave it out", options.assignment
            )
    if options.is_full_table and options.codes is not None:
        yield InputError.naming(
            "{codes} is {}; with {assignment:{}} their number follows from the data, so leave it out",
            options.codes,
            options.assignment,
        )
    if options.recommender == "mf" and options.depth:
        yield InputError.naming(
            "{layers} is {}; {recommender:mf} propagates nothing, so leave it out", options.layers
        )
    if _is_set(options, "rounding_boundary", settings) and options.selector not in ROUNDING:
        yield InputError.naming(
            "{rounding_boundary} has no effect with {selector:{}}, which rounds nothing; choose {} or {}, "
            "or leave it out",
            options.selector,
            ", ".join(ROUNDING[:-1]),
            ROUNDING[-1],
        )
    if _is_set(options, "rewiring", settings) and options.propagation == "folded":
        yield InputError.naming(
            "{rewiring:{}} has no effect with {propagation:folded}, whose rows come from the full graph; "
            "leave one of them out",
            options.rewiring,
        )


def _of_another_form(options: ExportOptions, settings: Mapping[str, Setting]) -> Iterator[InputError]:
    """Settings of a shared bundle with a personal one, and the other way round."""
    if not options.personal:
        for name in ("min_item_users", "max_history", "item_coding"):
            if _is_set(options, name, settings):
                yield InputError.naming(f"{{{name}}} has no effect without {{personal:true}}; leave it out")
        return
    if options.ridge is not None and 0 < options.ridge < 1:
        yield InputError.naming(
            "{ridge} is {}; with {personal:true} it must be 0 or at least 1, as the device makes the metric",
            options.ridge,
        )
    for name in _OF_SHARED:
        if _is_set(options, name, settings):
            yield InputError.naming(
                f"{{{name}}} has no effect with {{personal:true}}, which keeps no user and no graph; "
                "leave it out"
            )


def _unquantised(options: ExportOptions, settings: Mapping[str, Setting]) -> Iterator[InputError]:
    """What asks of a quantiser what it cannot do, or needs one where there is none."""
    folded, floats = options.propagation == "folded", options.bits == FLOAT_BITS
    if floats and folded:
        yield InputError.naming("{bits:32} needs {propagation:graph}; folded codebooks have 4, 8 or 16 bits")
    for name in ("steps", "quantisation"):
        if floats and _is_set(options, name, settings):
            yield InputError.naming(f"{{{name}}} needs a quantiser and {{bits:32}} has none; leave it out")
        if folded and _is_set(options, name, settings):
            yield InputError.naming(
                f"{{{name}:{{}}}} needs {{propagation:graph}}; a folded codebook is fitted to rows and has "
                "one step",
                getattr(options, name),
            )


def _is_set(options: ExportOptions, name: str, settings: Mapping[str, Setting]) -> bool:
    return bool(getattr(options, name) != settings[name].default)
