"""Opening a bundle: nothing is used before it is bounded, and nothing is run before it is hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lerg_runtime._limits import MAX_CHECKSUMS_BYTES, MAX_MANIFEST_BYTES
from lerg_runtime.bundle._added import memory_bytes
from lerg_runtime.bundle._arrays import Allocate, ArrayReader
from lerg_runtime.bundle._boundary import (
    FileStamp,
    check_folder,
    read_bounded,
    reading,
)
from lerg_runtime.bundle._checksums import CHECKSUMS_FILE, file_digest, parse_checksums
from lerg_runtime.bundle._csr import CODE_HEADER_BYTES, InteractionRows, code_sizes, decode_interactions
from lerg_runtime.bundle._entities import Entities, read_entities
from lerg_runtime.bundle._features import FEATURES_FILE, FeatureMap, read_features
from lerg_runtime.bundle._hashed import altered, hashed_arrays, read_hashed
from lerg_runtime.bundle._id_arrays import id_bytes, id_reading_bytes
from lerg_runtime.bundle._items import ItemSizes, PersonalItems, item_sizes, read_items
from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.bundle._packed_program import PackedSizes, packed_sizes, reader_of, unpack_program
from lerg_runtime.bundle._personal_manifest import ITEMS_FILE, PersonalManifest, parse_manifest
from lerg_runtime.bundle._programs import PACKED_FILE, PROGRAM_FILE
from lerg_runtime.bundle._seen_only import SEEN_ONLY, SeenOnly, check_disjoint
from lerg_runtime.bundle._state import STATE_FILE, State, StoredState, open_state
from lerg_runtime.bundle._stored_sizes import StoredSizes
from lerg_runtime.bundle._titles import title_bytes, title_reading_bytes
from lerg_runtime.bundle._trust import Trust, check_trust
from lerg_runtime.errors import BundleError, InputError

__all__ = [
    "ENTITIES_FILE",
    "GOLDEN_FILE",
    "INTERACTIONS_FILE",
    "MANIFEST_FILE",
    "BundleFolder",
]

MANIFEST_FILE = "manifest.json"
ENTITIES_FILE = "entities.arrays"
INTERACTIONS_FILE = "interactions.arrays"
GOLDEN_FILE = "golden.arrays"

_MAX_GOLDEN_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """A folder whose manifest was checked and whose files match their SHA-256.

    Attributes:
        path: the folder.
        contents: what it says it is, of either form.
        digest: SHA-256 of `SHA256SUMS`, 32 bytes: the identity of all that does not change.
        digests: SHA-256 of each file that does not change, hexadecimal, by name.
        stamps: of each of these files when it was hashed.
    """

    path: Path
    contents: Manifest | PersonalManifest
    digest: bytes
    digests: Mapping[str, str]
    stamps: Mapping[str, FileStamp]

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, trust: Trust | None = None) -> BundleFolder:
        """Check everything but the state, which `read_state` checks.

        Args:
            path: the folder.
            trust: `sha256:` and the digest of its `SHA256SUMS`, or the path of the Ed25519 public key (PEM)
                whose signature it must have; None takes any bundle that is whole.

        Raises:
            InputError: no such folder, or `trust` is neither a digest nor a key.
            BundleError: not a bundle, damaged, of a newer version, or not the trusted one.
            LergRuntimeError: `trust` is a key and the package `cryptography` is not installed.
        """
        folder = Path(path)
        check_folder(folder)
        with reading(folder):
            listing = read_bounded(folder, CHECKSUMS_FILE, limit=MAX_CHECKSUMS_BYTES)
            if trust is not None:
                check_trust(folder, listing, trust)
            digests = parse_checksums(listing, where=str(folder / CHECKSUMS_FILE))
            if MANIFEST_FILE not in digests:
                raise BundleError(
                    f"{folder / CHECKSUMS_FILE} does not name {MANIFEST_FILE}; copy the bundle again"
                )
            data = read_bounded(folder, MANIFEST_FILE, limit=MAX_MANIFEST_BYTES)
            if digests[MANIFEST_FILE] != hashlib.sha256(data).hexdigest():
                raise altered(folder, MANIFEST_FILE)
            with reading(folder / MANIFEST_FILE):
                manifest = parse_manifest(data, where=str(folder / MANIFEST_FILE))
            if set(digests) != {MANIFEST_FILE, *manifest.files}:
                raise BundleError(
                    f"{folder / CHECKSUMS_FILE} and the manifest name different files; copy it again"
                )
            stamps = {}
            for name, size in manifest.files.items():
                found, stamps[name] = file_digest(folder, name, size=size)
                if found != digests[name]:
                    raise altered(folder, name)
        return cls(folder, manifest, hashlib.sha256(listing).digest(), digests, stamps)

    @property
    def manifest(self) -> Manifest:
        """What a shared bundle is.

        Raises:
            InputError: it is a personal one, which knows no users.
        """
        if isinstance(self.contents, PersonalManifest):
            raise InputError(
                f"{self.path} is a personal bundle, which holds items and no users; this needs one that was "
                "exported without --personal"
            )
        return self.contents

    @property
    def is_personal(self) -> bool:
        """Whether it holds items alone and serves one person from the history that the device keeps."""
        return isinstance(self.contents, PersonalManifest)

    @property
    def personal(self) -> PersonalManifest:
        """What a personal bundle is.

        Raises:
            InputError: it is a shared one, which serves the users that it was made from.
        """
        if isinstance(self.contents, Manifest):
            raise InputError(
                f"{self.path} serves the users that it was made from and keeps no history of one person; "
                "this needs a bundle that was exported with --personal"
            )
        return self.contents

    def check_arrays(self) -> None:
        """Read every array but the golden examples once. Raises BundleError."""
        if isinstance(self.contents, PersonalManifest):
            self.read_items()
        else:
            self.read_entities()
            self.read_seen_only(self.read_interactions())
        if self.contents.features:
            self.read_features()
        self.read_state()

    def file_sizes(self) -> dict[str, int]:
        """Bytes of every file of the bundle as it is now, its changing state included."""
        names = (*self.contents.files, MANIFEST_FILE, CHECKSUMS_FILE, STATE_FILE)
        with reading(self.path):
            return {name: (self.path / name).lstat().st_size for name in sorted(names)}

    def read_program(
        self,
        *,
        entities: Entities | None = None,
        interactions: InteractionRows | None = None,
        allocate: Allocate = np.empty,
    ) -> np.ndarray:
        """The bytes of the program, uint8 [n], of what was hashed in memory, so that no other process can
        change what was checked.

        Args:
            entities, interactions: the bundle's, from which a packed program's graph is made; read here when
                they are None.
            allocate: where the memory comes from.

        Raises:
            BundleError: it is not what `open` has hashed.
        """
        name = PACKED_FILE if PACKED_FILE in self.contents.files else PROGRAM_FILE
        data = read_hashed(
            self.path, name, size=self.contents.files[name], digest=self.digests[name], allocate=allocate
        )
        if name == PACKED_FILE:
            entities = entities or self.read_entities(allocate=allocate)
            data = unpack_program(
                reader_of(data, self.program_path()),
                self.manifest.model,
                interactions=interactions or self.read_interactions(allocate=allocate),
                user_slots=entities.user_slots,
                item_slots=entities.item_slots,
                where=self.program_path(),
                allocate=allocate,
            )
        data.flags.writeable = False
        return data

    def program_path(self) -> str:
        """Path of the programs' file, for messages."""
        return str(self.path / (PACKED_FILE if PACKED_FILE in self.contents.files else PROGRAM_FILE))

    def stored_sizes(self, state: State | None = None) -> StoredSizes:
        """Sizes that a memory plan needs, without reading an array.

        Args:
            state: the bundle's, with the items that were added here; None counts none.

        Raises:
            BundleError: an array file is not what the manifest says.
        """
        shape = self.manifest.model
        with self._arrays(ENTITIES_FILE) as entities:
            sides = (("user", shape.users), ("item", shape.items))
            user_id_bytes, item_id_bytes = (id_bytes(entities, side, count) for side, count in sides)
            of_ids = [id_reading_bytes(entities, side, count) for side, count in sides]
            titled = self.manifest.titled_items
            of_titles = title_bytes(entities, shape.items) if titled else ()
            reading_titles = title_reading_bytes(entities) if titled else 0
        with self._arrays(INTERACTIONS_FILE) as interactions:
            codes = {
                name: self._code_sizes(interactions, name)
                for name in ("pairs", *(f"{name}_pairs" for name in SEEN_ONLY))
                if name in interactions.names or name == "pairs"
            }
        program = self._program_sizes()
        return StoredSizes(
            user_id_bytes,
            item_id_bytes,
            codes["pairs"][0],
            program.program_bytes,
            max(*of_ids, reading_titles, *(taken for _, taken in codes.values()), program.reading_bytes),
            title_bytes=of_titles,
            added_bytes=memory_bytes(None if state is None else state.added),
            **{name: codes[f"{name}_pairs"][0] for name in SEEN_ONLY if f"{name}_pairs" in codes},
        )

    def _program_sizes(self) -> PackedSizes:
        if PACKED_FILE not in self.manifest.files:
            return PackedSizes(self.manifest.files[PROGRAM_FILE], 0)
        with self._arrays(PACKED_FILE) as arrays:
            stored = self.manifest.files[PACKED_FILE]
            return packed_sizes(arrays, self.manifest.model, stored=stored, where=self.program_path())

    def _code_sizes(self, arrays: ArrayReader, name: str) -> tuple[int, int]:
        """Pairs of a set, and what is in memory besides while it is decoded."""
        where = f"{self.path / INTERACTIONS_FILE}: array {name}"
        stored = int(np.prod(arrays.header(name)[1], dtype=object))
        pairs, scratch = code_sizes(arrays.start_of(name, CODE_HEADER_BYTES), stored, where=where)
        return pairs, stored + scratch

    def read_entities(self, *, allocate: Allocate = np.empty) -> Entities:
        """Ids, slots and titles, checked against the manifest.

        Raises:
            BundleError: an array is absent or does not fit.
        """
        with self._arrays(ENTITIES_FILE) as arrays:
            titled = self.manifest.titled_items
            return read_entities(arrays, self.manifest.model, titled=titled, allocate=allocate)

    def read_items(self, *, allocate: Allocate = np.empty) -> PersonalItems:
        """Ids, slots, degrees and titles of the items of a personal bundle.

        Raises:
            InputError: it is a shared one.
            BundleError: an array is absent or does not fit.
        """
        with self._arrays(ITEMS_FILE) as arrays:
            titled = self.personal.titled_items
            return read_items(arrays, self.personal.model, titled=titled, allocate=allocate)

    def read_features(self, *, allocate: Allocate = np.empty) -> FeatureMap:
        """The map from features of items to rows.

        Raises:
            InputError: the bundle has none.
            BundleError: an array is absent or does not fit.
        """
        if not self.contents.features:
            raise InputError(
                f"{self.path} has no map of item features; export it with --item-features, or add the item "
                "with its first users"
            )
        with self._arrays(FEATURES_FILE) as arrays:
            return read_features(
                arrays, self.contents.features, dim=self.contents.model.dim, allocate=allocate
            )

    def item_sizes(self, state: State | None = None) -> ItemSizes:
        """What the items of a personal bundle take, without reading an array; those of a state included."""
        added = memory_bytes(None if state is None else state.added)
        with self._arrays(ITEMS_FILE) as arrays:
            found = item_sizes(arrays, self.personal.model, titled=self.personal.titled_items)
        return found._replace(added_bytes=added)

    def read_interactions(self, *, allocate: Allocate = np.empty) -> InteractionRows:
        """The interactions that the model was trained on, by user.

        Raises:
            BundleError: an array is absent or does not fit.
        """
        with self._arrays(INTERACTIONS_FILE) as arrays:
            return self._read_pairs(arrays, "pairs", allocate)

    def read_seen_only(self, interactions: InteractionRows, *, allocate: Allocate = np.empty) -> SeenOnly:
        """What counts as seen beside the interactions.

        Args:
            interactions: those of `read_interactions`, which must hold none of these pairs.

        Raises:
            BundleError: an array does not fit, or two sets share a pair.
        """
        where = str(self.path / INTERACTIONS_FILE)
        found: dict[str, InteractionRows] = {}
        with self._arrays(INTERACTIONS_FILE) as arrays:
            for name in SEEN_ONLY:
                if f"{name}_pairs" in arrays.names:
                    found[name] = self._read_pairs(arrays, f"{name}_pairs", allocate)
            check_disjoint({"interactions": interactions, **found}, where=where)
        return SeenOnly(**found)

    def _read_pairs(self, arrays: ArrayReader, name: str, allocate: Allocate) -> InteractionRows:
        shape = self.manifest.model
        code = arrays.read(name, dtypes=("uint8",), shape=(None,), allocate=allocate)
        return decode_interactions(
            code,
            user_count=shape.users,
            item_count=shape.items,
            where=f"{self.path / INTERACTIONS_FILE}: array {name}",
            allocate=allocate,
        )

    @contextmanager
    def open_state(self) -> Iterator[StoredState]:
        """The file of what the device has learnt, to be looked at before its arrays are read.

        Raises:
            BundleError: missing, damaged, or of another bundle.
        """
        with open_state(self.path, self.contents.model, digest=self.digest) as stored:
            yield stored

    def read_state(self, *, allocate: Allocate = np.empty) -> State:
        """What the device has learnt.

        Raises:
            BundleError: missing, damaged, or of another bundle.
        """
        with self.open_state() as stored:
            return stored.read(allocate=allocate)

    def read_golden(self) -> dict[str, np.ndarray]:
        """Inputs and sampled outputs of the programs, by name.

        Raises:
            BundleError: damaged or far too large.
        """
        with self._arrays(GOLDEN_FILE) as arrays:
            headers = {name: arrays.header(name) for name in arrays.names}
            sizes = (
                int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
                for dtype, shape in headers.values()
            )
            if sum(sizes) > _MAX_GOLDEN_BYTES:
                raise BundleError(f"{self.path / GOLDEN_FILE} holds more than {_MAX_GOLDEN_BYTES} bytes")
            return {
                name: arrays.read(name, dtypes=(dtype,), shape=shape)
                for name, (dtype, shape) in headers.items()
            }

    @contextmanager
    def _arrays(self, name: str) -> Iterator[ArrayReader]:
        """The arrays of a file, which must be the one that `open` has hashed, and stay so meanwhile."""
        with hashed_arrays(self.path, name, digest=self.digests[name], stamp=self.stamps[name]) as arrays:
            yield arrays
