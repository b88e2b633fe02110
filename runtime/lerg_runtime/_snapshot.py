"""What a call answers from: weights and interactions as they belong together."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_runtime.bundle._csr import Interactions
from lerg_runtime.bundle._state import State

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One moment of a bundle. Nothing in it is written to while a thread can see it.

    Attributes:
        state: weights and local interactions.
        interactions: everything that users have seen, the state's local interactions included.
    """

    state: State
    interactions: Interactions
