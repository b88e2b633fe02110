"""The sizes that a program is traced for, how it stores its tables, and the one constant of its loss."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_edge.errors import InputError

__all__ = ["ITEM_TABLES", "LAYER_STORAGES", "ProgramLimits"]

ITEM_TABLES = ("float32", "int8")
LAYER_STORAGES = ("float32", "float16")


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Largest inputs of the programs, for which memory is planned, and the types of what they hold.

    Attributes:
        max_batch: triples in one `finetune` step, at least 2.
        max_users: user rows in one `recommend` call, at least 1.
        max_k: items that one `recommend` call can return, before the catalogue's size caps it.
        item_table: `float32`, or `int8` with a scale a row: what `encode` makes and `recommend` ranks from.
        layer_storage: `float32` or `float16`, of the rows between the layers of graph propagation.
        l2: weight of the squared layer-0 rows in the loss; half of it multiplies their mean squared norm.
    """

    max_batch: int = 4096
    max_users: int = 64
    max_k: int = 256
    item_table: str = "float32"
    layer_storage: str = "float32"
    l2: float = 1e-4

    def __post_init__(self) -> None:
        for name, least in (("max_batch", 2), ("max_users", 1), ("max_k", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name, known in (("item_table", ITEM_TABLES), ("layer_storage", LAYER_STORAGES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)}; choose one of {', '.join(known)}")
        if self.l2 < 0:
            raise InputError(f"l2 must not be negative, not {self.l2}")

    @property
    def layer_bits(self) -> int:
        """Of a number between two layers."""
        return 16 if self.layer_storage == "float16" else 32
