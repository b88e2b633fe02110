"""Writing a bundle: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime.bundle._arrays import array_bytes, smallest_unsigned
from lerg_runtime.bundle._boundary import open_regular, reading
from lerg_runtime.bundle._checksums import CHECKSUMS_FILE, render_checksums
from lerg_runtime.bundle._csr import InteractionRows, encode_interactions
from lerg_runtime.bundle._features import FEATURES_FILE, FeatureMap, feature_file
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._files import is_leftover, new_folder, write_synced
from lerg_runtime.bundle._id_arrays import id_arrays
from lerg_runtime.bundle._ids import RawId
from lerg_runtime.bundle._manifest import FORMAT, VERSION, Manifest, render_manifest
from lerg_runtime.bundle._packed_program import Cuts, pack_program, reader_of, unpack_program
from lerg_runtime.bundle._personal_manifest import ITEMS_FILE
from lerg_runtime.bundle._programs import PACKED_FILE, PARAMETER_FILE, PROGRAM_FILE
from lerg_runtime.bundle._reader import (
    ENTITIES_FILE,
    GOLDEN_FILE,
    INTERACTIONS_FILE,
    MANIFEST_FILE,
    BundleFolder,
)
from lerg_runtime.bundle._seen_only import Pairs, encode_seen_only
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.bundle._state import STATE_FILE, State, encode_state, state_pieces
from lerg_runtime.bundle._titles import title_arrays
from lerg_runtime.bundle._trust import SIGNATURE_FILE
from lerg_runtime.errors import BundleError, InputError

__all__ = [
    "check_replaceable",
    "copy_bundle",
    "id_arrays",
    "put_features",
    "put_titles",
    "smallest",
    "write_bundle",
    "write_files",
]

_ARRAY_FILES = (ENTITIES_FILE, FEATURES_FILE, GOLDEN_FILE, INTERACTIONS_FILE, ITEMS_FILE)
_NAMES = {
    CHECKSUMS_FILE,
    MANIFEST_FILE,
    PACKED_FILE,
    PARAMETER_FILE,
    PROGRAM_FILE,
    SIGNATURE_FILE,
    STATE_FILE,
    *_ARRAY_FILES,
}
_CHUNK_BYTES = 1 << 18


def write_bundle(
    folder: str | os.PathLike[str],
    *,
    manifest: Mapping[str, Any],
    program: bytes,
    user_ids: np.ndarray | list[RawId],
    item_ids: np.ndarray | list[RawId],
    retained_users: np.ndarray,
    retained_items: np.ndarray,
    user_placeholder: np.ndarray,
    item_placeholder: np.ndarray,
    interactions: Pairs,
    seen_only: Mapping[str, Pairs] | None = None,
    codebook: np.ndarray,
    step: np.ndarray,
    golden: Mapping[str, np.ndarray],
    item_titles: Sequence[str | None] | None = None,
    item_features: FeatureMap | None = None,
    parameters: bytes | None = None,
    cuts: Cuts | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write a new bundle and read it back.

    Args:
        folder: where; must not exist unless `overwrite`, and then must be a bundle.
        manifest: the JSON object without `files` and `storage.bundle_bytes`, which are filled in here, as are
            `format` and `version` when absent.
        program: the bytes of `model.pte`.
        user_ids, item_ids: raw ids in index order; int64 [n], or texts.
        retained_users: bool [U]; retained_items: bool [I].
        user_placeholder: integers, one per pruned user in index order; item_placeholder likewise.
        interactions: users and items, integers [n], sorted by (user, item), unique.
        seen_only: likewise `held_out` and `disliked`: pairs that count as seen and that nothing is learned
            from; none of them in another set.
        codebook: packed integers as `encode` takes them.
        step: float32 [1] or [c].
        golden: arrays for the bundle's check of its own programs.
        item_titles: by index, None or empty for an item without one; None for a bundle without titles.
        item_features: the map from features of items to rows; None for a bundle without.
        parameters: the bytes of `model.ptd`, which the portable lowering has.
        cuts: place and bytes of the program's constants by name, by which it is packed; None leaves it as it
            is.
        overwrite: replace a bundle that is there.

    Returns:
        The manifest as a reader sees it.

    Raises:
        InputError: `folder` is in the way.
        BundleError: the parts do not fit each other.
    """
    target = Path(folder)
    if overwrite:
        check_replaceable(target)
    document = {"format": FORMAT, "version": VERSION, **copy.deepcopy(dict(manifest))}
    shape = ModelShape.parse(_model_fields(document))
    for name, given, wanted in (("user", user_ids, shape.users), ("item", item_ids, shape.items)):
        if len(given) != wanted:
            raise BundleError(f"there are {len(given)} {name} ids and the manifest says {wanted}")
    titles = put_titles(document, item_titles, shape.items)
    users, items = interactions
    sizes = {"user_count": shape.users, "item_count": shape.items}
    pairs = {
        "pairs": encode_interactions(users, items, **sizes),
        **encode_seen_only(seen_only or {}, **sizes),
    }
    contents = {
        ENTITIES_FILE: array_bytes(
            {
                **id_arrays("user", user_ids),
                **id_arrays("item", item_ids),
                **titles,
                "retained_users": np.packbits(np.asarray(retained_users, dtype=bool)),
                "retained_items": np.packbits(np.asarray(retained_items, dtype=bool)),
                "user_placeholder": smallest(user_placeholder),
                "item_placeholder": smallest(item_placeholder),
            }
        ),
        GOLDEN_FILE: array_bytes(golden),
        INTERACTIONS_FILE: array_bytes(pairs, as_they_are=pairs),
        **_program_file(
            program,
            cuts,
            shape,
            ((retained_users, user_placeholder), (retained_items, item_placeholder)),
            interactions,
        ),
        **({} if parameters is None else {PARAMETER_FILE: parameters}),
        **put_features(document, item_features),
    }
    fresh = State(codebook, np.asarray(step, dtype=np.float32).reshape(-1), *_no_pairs())
    return write_files(target, document, contents, fresh, overwrite=overwrite).manifest


def put_titles(
    document: dict[str, Any], titles: Sequence[str | None] | None, items: int
) -> dict[str, np.ndarray]:
    """The arrays of titles, after the manifest has been told of them; none where no item has one.

    Raises:
        BundleError: as many titles as items are not there, or one may not be in a bundle.
    """
    document.pop("titles", None)
    if titles is None:
        return {}
    if len(titles) != items:
        raise BundleError(f"there are {len(titles)} titles and the manifest says {items} items")
    arrays, titled = title_arrays(titles)
    if not titled:
        return {}
    document["titles"] = {"items": titled}
    return arrays


def put_features(document: dict[str, Any], features: FeatureMap | None) -> dict[str, bytes]:
    """The file of the map from item features, after the manifest has been told of it; none without a map."""
    document.pop("features", None)
    if features is None:
        return {}
    document["features"] = {"columns": [asdict(column) for column in features.columns]}
    return {FEATURES_FILE: feature_file(features)}


def write_files(
    target: Path,
    document: dict[str, Any],
    contents: Mapping[str, bytes],
    state: State,
    *,
    overwrite: bool,
) -> BundleFolder:
    """Write the files of a bundle of any form, whole or not at all, and read its arrays back.

    Args:
        document: the manifest without sizes, which are filled in.
        contents: of every file but the manifest, the checksums and the state.
        state: as it is shipped.

    Raises:
        InputError: `target` is in the way.
        BundleError: the parts do not fit each other.
    """
    data = _render(
        document,
        {name: len(content) for name, content in contents.items()},
        len(encode_state(state, digest=bytes(32))),
    )
    digests = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in (*contents.items(), (MANIFEST_FILE, data))
    }
    listing = render_checksums(digests)
    state_bytes = encode_state(state, digest=hashlib.sha256(listing).digest())
    with new_folder(target, overwrite=overwrite) as beside:
        for name, content in (
            *contents.items(),
            (MANIFEST_FILE, data),
            (CHECKSUMS_FILE, listing),
            (STATE_FILE, state_bytes),
        ):
            write_synced(beside / name, content, private=name == STATE_FILE)
        written = BundleFolder.open(beside)
        written.check_arrays()
    return replace(written, path=target)


def check_replaceable(folder: Path) -> None:
    """Refuse to write a bundle over a folder that holds anything but a bundle; what is not there is fine.

    Raises:
        InputError: it lacks a bundle's files, or holds others, which would be lost.
    """
    if not folder.is_dir():
        return
    names = sorted(path.name for path in folder.iterdir() if not is_leftover(path))
    if names and not {MANIFEST_FILE, CHECKSUMS_FILE} <= set(names):
        raise InputError(
            f"cannot replace {folder}: it is not a bundle; name another folder or remove it first"
        )
    others = [name for name in names if name not in _NAMES]
    if others:
        raise InputError(
            f"cannot replace {folder}: {others[0]} in it is no part of a bundle and would be lost; "
            "move it elsewhere or name another folder"
        )


def copy_bundle(
    source: BundleFolder,
    target: str | os.PathLike[str],
    state: State,
    *,
    on_saved: Callable[[], object] = lambda: None,
) -> None:
    """A new bundle with the files of `source`, a signature among them, and another state; whole or not.

    Args:
        on_saved: called when it is in place, before a signal can come between.

    Raises:
        InputError: `target` is in the way.
        BundleError: a file of `source` has changed since it was opened.
        OSError: it cannot be written; names `target`.
        UnsyncedError: it is in place, but might not outlast a power cut.
    """
    with new_folder(Path(target), on_replaced=on_saved) as beside:
        for name in (*source.contents.files, MANIFEST_FILE, CHECKSUMS_FILE):
            _copy(source.path, beside, name)
        if (source.path / SIGNATURE_FILE).is_file() and not (source.path / SIGNATURE_FILE).is_symlink():
            _copy(source.path, beside, SIGNATURE_FILE)
        write_synced(beside / STATE_FILE, state_pieces(state, digest=source.digest), private=True)
        if BundleFolder.open(beside).digest != source.digest:
            raise BundleError(f"{source.path} has changed since it was opened; open it again")


def _copy(source: Path, target: Path, name: str) -> None:
    """Copy a plain file and have it on the disk; an error in writing names where it was written to."""
    handle, _ = open_regular(source, name)
    with os.fdopen(handle, "rb", buffering=0) as stream, open(target / name, "xb", buffering=0) as copy:
        while True:
            with reading(source / name):
                chunk = stream.read(_CHUNK_BYTES)
            if not chunk:
                break
            rest = memoryview(chunk)
            while rest:
                rest = rest[copy.write(rest) :]
        os.fsync(copy.fileno())


def _render(document: dict[str, Any], files: dict[str, int], state_bytes: int) -> bytes:
    """The manifest's bytes, with sizes that count the manifest itself."""
    document["files"] = files
    storage = document.setdefault("storage", {})
    listing = render_checksums(dict.fromkeys((*files, MANIFEST_FILE), "0" * 64))
    others = sum(files.values()) + len(listing) + state_bytes
    storage["bundle_bytes"] = 0
    # Its own length depends on the digits of the figure in it: a second round settles that.
    while True:
        data = render_manifest(document)
        if storage["bundle_bytes"] == others + len(data):
            return data
        storage["bundle_bytes"] = others + len(data)


def _program_file(
    program: bytes,
    cuts: Cuts | None,
    shape: ModelShape,
    sides: tuple[tuple[np.ndarray, np.ndarray], ...],
    pairs: Pairs,
) -> dict[str, bytes]:
    """The program as it is, or packed where its constants are known."""
    if cuts is None:
        return {PROGRAM_FILE: program}
    slots = [_slots_of(retained, placeholder) for retained, placeholder in sides]
    users, items = (np.asarray(part, dtype=np.int32) for part in pairs)
    stored = InteractionRows.of_sorted(users, items, user_count=shape.users, item_count=shape.items)
    packed = pack_program(program, cuts, shape, interactions=stored, user_slots=slots[0], item_slots=slots[1])
    again = unpack_program(
        reader_of(np.frombuffer(packed, dtype=np.uint8), PACKED_FILE),
        shape,
        interactions=stored,
        user_slots=slots[0],
        item_slots=slots[1],
        where=PACKED_FILE,
    )
    if again.tobytes() != program:
        raise BundleError("the program does not come back from its pieces; report this as a bug")
    return {PACKED_FILE: packed}


def _slots_of(retained: np.ndarray, placeholder: np.ndarray) -> np.ndarray:
    """The slot of each entity of a side, int32 [n]."""
    kept = np.asarray(retained, dtype=bool)
    if len(placeholder) != len(kept) - int(kept.sum()):
        raise BundleError(
            f"{len(placeholder)} placeholders are given for {len(kept) - int(kept.sum())} pruned"
        )
    slots = np.empty(len(kept), dtype=np.int32)
    slots[kept] = np.arange(int(kept.sum()), dtype=np.int32)
    slots[~kept] = np.asarray(placeholder, dtype=np.int32) + int(kept.sum())
    return slots


def _model_fields(document: dict[str, Any]) -> Any:
    return Fields.of(document, MANIFEST_FILE).inner("model")


def smallest(values: np.ndarray) -> np.ndarray:
    """Indices in the smallest unsigned type. Raises BundleError for a negative one."""
    array = np.asarray(values)
    if array.size and int(array.min()) < 0:
        raise BundleError("a placeholder index is negative")
    return array.astype(smallest_unsigned(int(array.max(initial=0))))


def _no_pairs() -> tuple[np.ndarray, np.ndarray]:
    return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
