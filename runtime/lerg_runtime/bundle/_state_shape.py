"""The sizes of a model that its state depends on."""

from __future__ import annotations

from typing import Protocol

__all__ = ["StateShape"]


class StateShape(Protocol):
    """The sizes of a model that a state depends on, of a bundle of any form."""

    @property
    def users(self) -> int: ...

    @property
    def items(self) -> int: ...

    @property
    def bits(self) -> int: ...

    @property
    def codebook_rows(self) -> int: ...

    @property
    def dim(self) -> int: ...

    @property
    def step_count(self) -> int: ...

    @property
    def packed_dtype(self) -> str: ...

    @property
    def packed_shape(self) -> tuple[int, int]: ...

    @property
    def max_history(self) -> int:
        """Most items of the history that is kept here; 0 where users have theirs in the bundle."""
