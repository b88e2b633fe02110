"""What a call answers from: weights and interactions as they belong together."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._state import State

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One moment of a bundle. Nothing in it is written to while a thread can see it.

    Attributes:
        state: weights and local interactions.
        interactions: of the bundle, the state's local ones included.
        disliked: pairs that were rated low here, which may be among the interactions; None without any.
    """

    state: State
    interactions: InteractionRows
    disliked: InteractionRows | None = None
