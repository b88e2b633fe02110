"""The fields of an export as a study's file may give them: names, types, and shares of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lerg_edge.errors import InputError
from lerg_exporter.exporting.options import EXPORT_SETTINGS, ExportOptions

__all__ = ["FIELDS", "OPTION_NAMES", "SAME_AS_RETENTION", "SHARES", "checked", "options_of", "seeds_rule"]

SHARES = {"edge_share": "edge_budget", "user_share": "min_users", "item_share": "min_items"}
"""A share of all degrees, users or items, and the option that it becomes for each data set."""

SAME_AS_RETENTION = "retention"
"""What a share may say in place of a number: the run's own retention ratio."""

OPTION_NAMES = tuple(name for name in EXPORT_SETTINGS if name != "seed")
FIELDS = (*OPTION_NAMES, *SHARES)
"""What `[base]`, `[grid]` and a `[[variant]]` may set; seeds are a list of their own."""


def checked(name: str, value: object) -> Any:
    """The value of a field as `ExportOptions` takes it, or a share as it is.

    Raises:
        InputError: the value is of another type, or a share out of its range; says what is allowed.
    """
    if name in SHARES:
        return _share(name, value)
    return EXPORT_SETTINGS[name].read(value)


def options_of(
    values: Mapping[str, Any], *, seed: int, sizes: tuple[int, int, int] | None = None
) -> ExportOptions:
    """Build the options of one run.

    Args:
        values: checked fields by name.
        seed: of the run.
        sizes: users, items and training pairs of the data, which shares are shares of; None leaves shares
            out, for a check before data is read.

    Raises:
        InputError: a value out of its range, or values that contradict each other.
    """
    given = {name: value for name, value in values.items() if name not in SHARES}
    for name in SHARES.keys() & values.keys():
        if SHARES[name] in given:
            raise InputError(f"{name} and {SHARES[name]} are two ways to say the same; give one of them")
    if sizes is not None:
        users, items, pairs = sizes
        whole = {"edge_share": 2 * pairs, "user_share": users, "item_share": items}
        for name in SHARES.keys() & values.keys():
            given[SHARES[name]] = int(whole[name] * _resolved(values, name))
    return ExportOptions(**given, seed=seed)


def seeds_rule(value: object) -> tuple[int, ...]:
    """Seeds of a study, at least one.

    Raises:
        InputError: they are none.
    """
    if isinstance(value, list) and value and all(_is_seed(seed) for seed in value):
        return tuple(dict.fromkeys(value))
    raise InputError(f"seeds is {value!r}; it must be a list of whole numbers from 0, such as [0, 1, 2]")


def _resolved(values: Mapping[str, Any], name: str) -> float:
    if values[name] != SAME_AS_RETENTION:
        return float(values[name])
    if "retention" not in values:
        raise InputError(f'{name} is "{SAME_AS_RETENTION}" and no retention is given; give one')
    return float(values["retention"])


def _share(name: str, value: object) -> Any:
    if value == SAME_AS_RETENTION or (_is_number(value) and 0 <= value <= 1):  # type: ignore[operator]
        return value
    raise InputError(
        f"{name} is {value!r}; it must be a number from 0 to 1, "
        f'or "{SAME_AS_RETENTION}" for the retention ratio'
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_seed(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
