"""The sizes that a program is traced for, how it stores its tables, and the one constant of its loss."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_edge.errors import InputError

__all__ = ["ITEM_TABLES", "ProgramLimits"]

ITEM_TABLES = ("float32", "int8")


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Largest inputs of the programs, for which memory is planned, and the types of what they hold.

    Attributes:
        max_batch: triples in one `finetune` step, at least 2.
        max_users: user rows in one `recommend` call, at least 1.
        max_k: items that one `recommend` call can return, before the catalogue's size caps it.
        item_table: `float32`, or `int8` with a scale a row: what `encode` makes and `recommend` ranks from.
        l2: weight of the squared layer-0 rows in the loss; half of it multiplies their mean squared norm.
    """

    max_batch: int = 4096
    max_users: int = 64
    max_k: int = 256
    item_table: str = "float32"
    l2: float = 1e-4

    def __post_init__(self) -> None:
        for name, least in (("max_batch", 2), ("max_users", 1), ("max_k", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.item_table not in ITEM_TABLES:
            raise InputError(f"item_table is {self.item_table}; choose one of {', '.join(ITEM_TABLES)}")
        if self.l2 < 0:
            raise InputError(f"l2 must not be negative, not {self.l2}")
