"""Settings of an export that do not go together, though each is right by itself. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lerg_edge.codes.widths import FLOAT_BITS, WIDTHS
from lerg_edge.errors import InputError
from lerg_exporter.exporting.kinds.assignments import SETTINGS
from lerg_exporter.exporting.kinds.selectors import ROUNDING
from lerg_exporter.exporting.settings import Setting
from lerg_exporter.programs.choice import check_combination

if TYPE_CHECKING:
    from lerg_exporter.exporting.options import ExportOptions

__all__ = ["contradictions"]

_OF_SHARED = (
    "retention",
    "assignment",
    "codebook_rows",
    "codes_per_entity",
    "step_sizes",
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
    "local_counts",
    "newcomers",
    "propagation",
    "entries",
    "item_table",
    "layer_storage",
    "batch",
    "max_users",
    "finetune_epochs",
    "finetune_candidates",
    "replay",
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
    together = WIDTHS[options.bits].per_byte
    if options.dim % together:
        yield InputError.naming(
            "{dim} is {}; it must be a multiple of {} with {bits:{}}", options.dim, together, options.bits
        )
    yield from _without_effect(options, settings)
    yield from _of_another_form(options, settings)
    yield from _unquantised(options, settings)
    blocks = options.resolved_codes_per_entity
    if options.assignment_kind.block_width and options.dim % blocks:
        yield InputError.naming(
            "{dim} is {} and an entity has {} codes, one for each of as many equal blocks; give a "
            "{codes_per_entity} that divides it",
            options.dim,
            blocks,
        )
    if not options.recommender_kind.takes(options.resolved_layers):
        rule = options.recommender_kind.layers_rule
        yield InputError.naming(
            "{layers} is {}; {recommender:{}} {}", options.resolved_layers, options.recommender, rule
        )


def _without_effect(options: ExportOptions, settings: Mapping[str, Setting]) -> Iterator[InputError]:
    """Settings that others make idle."""
    for name in SETTINGS:
        if name not in options.assignment_kind.reads and _is_set(options, name, settings):
            yield InputError.naming(
                f"{{{name}}} has no effect with {{assignment:{{}}}}; leave it out", options.assignment
            )
    if options.is_full_table and options.codebook_rows is not None:
        yield InputError.naming(
            "{codebook_rows} is {}; with {assignment:{}} their number follows from the data, so leave it out",
            options.codebook_rows,
            options.assignment,
        )
    if _is_set(options, "rounding_boundary", settings) and options.selector not in ROUNDING:
        yield InputError.naming(
            "{rounding_boundary} has no effect with {selector:{}}, which rounds nothing; choose {} or {}, "
            "or leave it out",
            options.selector,
            ", ".join(ROUNDING[:-1]),
            ROUNDING[-1],
        )
    for name, sentence in options.propagation_kind.idle.items():
        if _is_set(options, name, settings):
            yield InputError.naming(sentence, getattr(options, name))


def _of_another_form(options: ExportOptions, settings: Mapping[str, Setting]) -> Iterator[InputError]:
    """Settings of a shared bundle with a personal one, and the other way round."""
    if not options.personal:
        for name in ("finetune", "min_item_users", "max_history", "item_training", "item_coding"):
            if _is_set(options, name, settings):
                yield InputError.naming(f"{{{name}}} has no effect without {{personal:true}}; leave it out")
        return
    if options.ridge is not None and 0 < options.ridge < 1:
        yield InputError.naming(
            "{ridge} is {}; with {personal:true} it must be 0 or at least 1, as the device makes the metric",
            options.ridge,
        )
    if options.item_training == "als":
        for name in ("temperature", "power"):
            if _is_set(options, name, settings):
                yield InputError.naming(
                    f"{{{name}}} has no effect with {{item_training:als}}, which has another loss; leave it "
                    "out"
                )
    for name in _OF_SHARED:
        if _is_set(options, name, settings):
            yield InputError.naming(
                f"{{{name}}} has no effect with {{personal:true}}, which keeps no user and no graph; "
                "leave it out"
            )


def _unquantised(options: ExportOptions, settings: Mapping[str, Setting]) -> Iterator[InputError]:
    """What asks of a quantiser what it cannot do, or needs one where there is none."""
    floats = options.bits == FLOAT_BITS
    if floats and options.propagation_kind.floats:
        yield InputError.naming(options.propagation_kind.floats)
    for name in ("step_sizes", "quantisation"):
        if floats and _is_set(options, name, settings):
            yield InputError.naming(f"{{{name}}} needs a quantiser and {{bits:32}} has none; leave it out")


def _is_set(options: ExportOptions, name: str, settings: Mapping[str, Setting]) -> bool:
    return bool(getattr(options, name) != settings[name].default)
