"""Is a bundle whole, and do its programs answer as they did where it was made?"""

from __future__ import annotations

import os
from dataclasses import dataclass

from lerg_runtime.bundle import BundleFolder, Trust
from lerg_runtime.errors import BundleError
from lerg_runtime.golden import check_golden

__all__ = ["Verification", "verify_bundle"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found to be right.

    Attributes:
        files: names and bytes of the files, each of which matches its SHA-256.
        users, items, interactions: read and checked; a personal bundle has items alone.
        programs: methods that met their golden outputs.
    """

    files: dict[str, int]
    users: int
    items: int
    interactions: int
    programs: tuple[str, ...]


def verify_bundle(path: str | os.PathLike[str], *, trust: Trust | None = None) -> Verification:
    """Check hashes and schema, read every array, and run every program on its golden inputs.

    Args:
        path: the bundle's folder.
        trust: as `BundleFolder.open` takes it.

    Raises:
        lerg_runtime.errors.InputError: no such folder.
        BundleError: something is not as it should be; names the first thing found.
    """
    folder = BundleFolder.open(path, trust=trust)
    counts = _counts(folder)
    folder.read_state()
    found = check_golden(path, trust=trust)
    wrong = [sentence for sentences in found.values() for sentence in sentences]
    if wrong:
        raise BundleError(f"{path}: {'; '.join(wrong)}; export the bundle again, or report this machine")
    return Verification(
        files=folder.file_sizes(),
        users=counts[0],
        items=counts[1],
        interactions=counts[2],
        programs=tuple(found),
    )


def _counts(folder: BundleFolder) -> tuple[int, int, int]:
    """Users, items and interactions of a bundle, every array of which is read for it."""
    if folder.is_personal:
        return 0, len(folder.read_items().ids), 0
    entities, interactions = folder.read_entities(), folder.read_interactions()
    folder.read_seen_only(interactions)
    return len(entities.user_ids), len(entities.item_ids), len(interactions)
