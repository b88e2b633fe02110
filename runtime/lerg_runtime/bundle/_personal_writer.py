"""Writing a personal bundle: whole or not at all, and nothing of anybody in it."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime.bundle._arrays import array_bytes
from lerg_runtime.bundle._features import FeatureMap
from lerg_runtime.bundle._ids import RawId
from lerg_runtime.bundle._manifest import FORMAT, VERSION
from lerg_runtime.bundle._personal_manifest import ITEMS_FILE, PersonalManifest
from lerg_runtime.bundle._programs import PARAMETER_FILE, PROGRAM_FILE
from lerg_runtime.bundle._reader import GOLDEN_FILE
from lerg_runtime.bundle._state import State
from lerg_runtime.bundle._writer import (
    check_replaceable,
    id_arrays,
    put_features,
    put_titles,
    smallest,
    write_files,
)

__all__ = ["write_personal_bundle"]


def write_personal_bundle(
    folder: str | os.PathLike[str],
    *,
    manifest: Mapping[str, Any],
    program: bytes,
    item_ids: np.ndarray | list[RawId],
    own_rows: np.ndarray,
    item_placeholder: np.ndarray,
    degrees: np.ndarray,
    codebook: np.ndarray,
    step: np.ndarray,
    golden: Mapping[str, np.ndarray],
    item_titles: Sequence[str | None] | None = None,
    item_features: FeatureMap | None = None,
    parameters: bytes | None = None,
    overwrite: bool = False,
) -> PersonalManifest:
    """Write a new personal bundle and read it back; its history is empty.

    Args:
        folder: where; must not exist unless `overwrite`, and then must be a bundle.
        manifest: the JSON object without `files` and `storage.bundle_bytes`, which are filled in here, as are
            `format`, `version` and `form`.
        program: the bytes of `model.pte`.
        item_ids: raw ids in index order; int64 [I], or texts.
        own_rows: bool [I], items with a row of their own.
        item_placeholder: integers, one for each other item in index order.
        degrees: uint8 [I], a byte each, see `lerg_runtime.bundle._items.degrees_of`.
        codebook: packed integers as `encode` takes them.
        step: float32 [1] or [c].
        golden: arrays for the bundle's check of its own programs.
        item_titles: by index, None or empty for an item without one; None for a bundle without titles.
        item_features: the map from features of items to rows; None for a bundle without.
        parameters: the bytes of `model.ptd`, which a portable bundle has that learns.
        overwrite: replace a bundle that is there.

    Raises:
        InputError: `folder` is in the way.
        BundleError: the parts do not fit each other.
    """
    target = Path(folder)
    if overwrite:
        check_replaceable(target)
    document = {**copy.deepcopy(dict(manifest)), "format": FORMAT, "version": VERSION, "form": "personal"}
    contents = {
        ITEMS_FILE: array_bytes(
            {
                **id_arrays("item", item_ids),
                **put_titles(document, item_titles, len(item_ids)),
                "retained_items": np.packbits(np.asarray(own_rows, dtype=bool)),
                "item_placeholder": smallest(item_placeholder),
                "degrees": np.asarray(degrees, dtype=np.uint8),
            }
        ),
        GOLDEN_FILE: array_bytes(golden),
        PROGRAM_FILE: program,
        **put_features(document, item_features),
        **({} if parameters is None else {PARAMETER_FILE: parameters}),
    }
    nobody = np.empty(0, dtype=np.int32)
    fresh = State(codebook, np.asarray(step, dtype=np.float32).reshape(-1), nobody, nobody)
    return write_files(target, document, contents, fresh, overwrite=overwrite).personal
