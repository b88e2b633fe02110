"""Settings of an export that suit tables which somebody else has trained. Importing this is cheap."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from lerg_edge.codes.widths import FLOAT_BITS, WIDTHS
from lerg_edge.errors import InputError
from lerg_exporter.exporting.kinds.assignments import assignment_kind
from lerg_exporter.exporting.options import EXPORT_SETTINGS, ExportOptions
from lerg_exporter.exporting.reading import READING_SETTINGS

__all__ = ["TABLE_SETTINGS", "check_stated", "table_options", "usual_settings"]

_TRAINING = (
    "recommender",
    "auxiliaries",
    "anchor_weight",
    "quantisation",
    "newcomers",
    "epochs",
    "pretrain_batch",
    "learning_rate",
    "temperature",
    "power",
    "device",
    "refit",
    "finetune_epochs",
)
"""What trains a model, or fine-tunes one before it is written."""

TABLE_SETTINGS = tuple(name for name in (*READING_SETTINGS, *EXPORT_SETTINGS) if name not in _TRAINING)
"""Every setting that has an effect where nothing is trained."""


def check_stated(stated: Collection[str]) -> None:
    """Refuse settings of training.

    Raises:
        InputError: one is stated; names all of them.
    """
    idle = [name for name in _TRAINING if name in stated]
    if idle:
        raise InputError.of_all(
            InputError.naming(
                f"{{{name}}} has no effect on given tables, which are not trained; leave it out"
            )
            for name in idle
        )


def usual_settings(
    stated: Mapping[str, Any], *, dim: int, layers: int | None, has_pairs: bool
) -> dict[str, Any]:
    """What stands for settings that are not stated: rows as wide as the given ones, and everybody stays.

    Args:
        stated: settings that were given, by name.
        dim: numbers in a given row; zeros make up what blocks of equal width need.
        layers: how often rows are still to be propagated; None where the tables do not say.
        has_pairs: whether there are interactions.

    Raises:
        InputError: a setting of training is stated, one that is needed is not, or one needs interactions.
    """
    check_stated(stated)
    layers = stated.get("layers", layers)
    if layers is None:
        raise InputError.naming(
            "this model may hold rows of before propagation; give {layers} (LightGCN-PyTorch's default is "
            "3), and {layers:0} where its rows are final"
        )
    personal = stated.get("personal", False)
    usual: dict[str, Any] = {"layers": layers, "dim": _padded(dim, stated)}
    if not personal:
        usual |= {"retained_users": "table", "finetune_epochs": 0, "newcomers": 0}
        usual["retention"] = stated.get("retention", 1.0)
        if usual["retention"] == 1.0:
            usual["selector"] = "degree"  # nobody is left out, and no program need be solved for that
        kind = assignment_kind(stated.get("assignment", "product"))
        if kind.one_each and stated.get("bits", kind.bits) != FLOAT_BITS:
            usual["step_sizes"] = "row"
    if not has_pairs:
        for name, needs in (
            ("layers", layers > 0),
            ("retention", usual.get("retention", 1.0) < 1.0),
            ("personal", personal),
        ):
            if needs:
                value = "true" if name == "personal" else layers if name == "layers" else usual[name]
                raise InputError.naming(
                    f"{{{name}:{{}}}} needs to know who touched what; give {{interactions}}", value
                )
    return {name: value for name, value in usual.items() if name not in stated}


def table_options(
    stated: Mapping[str, Any], *, dim: int, layers: int | None, has_pairs: bool
) -> ExportOptions:
    """The options of an export of given tables; arguments and errors of :func:`usual_settings`.

    Raises:
        InputError: an unknown setting, a value out of its range, or settings that do not go together; or the
            assignment learns nothing of tables.
    """
    unknown = [name for name in stated if name not in EXPORT_SETTINGS]
    if unknown:
        raise InputError(f"there is no setting {unknown[0]!r}; docs/settings.md lists them all")
    usual = usual_settings(stated, dim=dim, layers=layers, has_pairs=has_pairs)
    options = ExportOptions(**{**usual, **stated})
    check_kind(options)
    return options


def check_kind(options: ExportOptions) -> None:
    """Refuse an assignment that is made of interactions and not of rows.

    Raises:
        InputError: it is one.
    """
    kind = options.assignment_kind
    if not (kind.teacher or kind.one_each):
        raise InputError.naming(
            "{assignment:{}} learns nothing from tables; choose product, product-nearest or full",
            options.assignment,
        )


def _padded(dim: int, stated: Mapping[str, Any]) -> int:
    """The least width, the given one or more, that is cut into blocks evenly and packs into bytes."""
    kind = assignment_kind(stated.get("assignment", "product"))
    blocks = stated.get("codes_per_entity") or kind.block_width or 1
    bits = stated.get("bits") or kind.bits
    multiple = math.lcm(blocks, WIDTHS[bits].per_byte if bits in WIDTHS else 1)
    return -(-dim // multiple) * multiple
