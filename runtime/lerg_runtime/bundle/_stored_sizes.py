"""Sizes of a shared bundle that a memory plan needs and its manifest does not state."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoredSizes"]


@dataclass(frozen=True, slots=True)
class StoredSizes:
    """Sizes that are not in the manifest, from array headers alone.

    Attributes:
        user_id_bytes, item_id_bytes: of the id maps in memory.
        pairs: interactions of the bundle.
        program_bytes: of the program.
        reading_bytes: most that is in memory besides while an array is read.
        held_out, disliked: pairs that count as seen and that nothing is learned from.
        title_bytes: of each array of titles in memory; empty without titles.
        added_bytes: of items that the state holds because they were added here.
    """

    user_id_bytes: int
    item_id_bytes: int
    pairs: int
    program_bytes: int
    reading_bytes: int
    held_out: int = 0
    disliked: int = 0
    title_bytes: tuple[int, ...] = ()
    added_bytes: int = 0
