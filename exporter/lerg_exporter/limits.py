"""The sizes that a program is traced for, and the one constant of its loss."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_edge.errors import InputError

__all__ = ["ProgramLimits"]


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Largest inputs of the programs; memory is planned for these.

    Attributes:
        max_batch: triples in one `finetune` step, at least 2.
        max_users: user rows in one `recommend` call, at least 1.
        max_k: items that one `recommend` call can return, before the catalogue's size caps it.
        l2: weight of the squared layer-0 rows in the loss; half of it multiplies their mean squared norm.
    """

    max_batch: int = 4096
    max_users: int = 64
    max_k: int = 256
    l2: float = 1e-4

    def __post_init__(self) -> None:
        for name, least in (("max_batch", 2), ("max_users", 1), ("max_k", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.l2 < 0:
            raise InputError(f"l2 must not be negative, not {self.l2}")
