"""The manifest of a personal bundle, and which form a manifest is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lerg_runtime._limits import MAX_FILE_BYTES
from lerg_runtime.bundle._features import FEATURES_FILE, FeatureColumn, parse_features
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._manifest import (
    DATA_FILES,
    FineTuneDefaults,
    Manifest,
    check_told,
    manifest_fields,
    release_series,
    titled_items,
)
from lerg_runtime.bundle._personal_shape import PersonalShape
from lerg_runtime.bundle._programs import (
    JAVA_LOWERINGS,
    PARAMETER_FILE,
    PROGRAM_FILE,
    ProgramSpec,
    Signature,
    parse_programs,
)
from lerg_runtime.errors import BundleError

__all__ = ["FORMS", "ITEMS_FILE", "PersonalManifest", "parse_manifest", "personal_signatures"]

FORMS = ("shared", "personal")
"""What a bundle holds: users and what they touched, or items alone."""
ITEMS_FILE = "items.arrays"
_FILES = ("golden.arrays", ITEMS_FILE, PROGRAM_FILE)


@dataclass(frozen=True, slots=True)
class PersonalManifest:
    """What a personal bundle is.

    Attributes:
        model: sizes.
        programs: `encode` and `recommend`, and `finetune` where there is one.
        files: size in bytes of every file but `manifest.json`, `SHA256SUMS` and `state.bin`.
        executorch: release series that the programs need, such as `1.5`.
        document: the whole JSON object, with what is only for people.
        titled_items: items that have a title; 0 where the bundle has no titles.
        features: of items, that a map makes rows of; none where the bundle has no such map.
        finetune: defaults of fine-tuning; None where there is no program for it.
    """

    model: PersonalShape
    programs: tuple[ProgramSpec, ...]
    files: Mapping[str, int]
    executorch: str
    document: Mapping[str, Any]
    titled_items: int = 0
    features: tuple[FeatureColumn, ...] = ()
    finetune: FineTuneDefaults | None = None

    @classmethod
    def of_fields(cls, fields: Fields, *, where: str) -> PersonalManifest:
        """Of an object whose format and version are right.

        Raises:
            BundleError: it has a value that cannot be.
        """
        lowering = fields.text("lowering", among=tuple(DATA_FILES))
        shape = PersonalShape.parse(fields.inner("model"), fields.inner("serving"))
        files, features = fields.inner("files"), parse_features(fields)
        learns = shape.max_batch and lowering in JAVA_LOWERINGS
        more = (*((FEATURES_FILE,) if features else ()), *((PARAMETER_FILE,) if learns else ()))
        names = tuple(sorted((*_FILES, *more)))
        if tuple(sorted(files.values)) != names:
            raise BundleError(f"{files.where} must name {', '.join(names)} and nothing else")
        check_told(fields)
        return cls(
            model=shape,
            programs=parse_programs(fields, personal_signatures(shape, lowering)),
            files={name: files.integer(name, least=1, most=MAX_FILE_BYTES) for name in names},
            executorch=release_series(fields.inner("requires")),
            document=fields.values,
            titled_items=titled_items(fields, shape.items),
            features=features,
            finetune=FineTuneDefaults.parse(fields.inner("finetune"), shape) if shape.max_batch else None,
        )

    def program(self, method: str) -> ProgramSpec:
        """The entry of a method that has been found to be there."""
        return next(spec for spec in self.programs if spec.method == method)


def parse_manifest(data: bytes, *, where: str) -> Manifest | PersonalManifest:
    """Checked manifest of either form, from the file's bytes.

    Raises:
        BundleError: not a manifest, of a newer version, or with a value that cannot be.
    """
    fields = manifest_fields(data, where=where)
    form = fields.text("form", among=FORMS)
    kind = {"shared": Manifest, "personal": PersonalManifest}[form]
    found: Manifest | PersonalManifest = kind.of_fields(fields, where=where)  # type: ignore[attr-defined]
    return found


def personal_signatures(shape: PersonalShape, lowering: str) -> dict[str, tuple[Signature, Signature]]:
    """Inputs and outputs of each method, as (dtype, largest shape)."""
    codes, seen = (shape.packed_dtype, shape.packed_shape), "bool"
    if lowering in JAVA_LOWERINGS:
        seen = "uint8"
        if shape.packed_dtype == "int16":
            codes = ("uint8", (shape.codebook_rows, 2 * shape.dim))
    table = ("float32", (shape.slots, shape.dim))
    metric = ("float32", (shape.dim, shape.dim))
    found: dict[str, tuple[Signature, Signature]] = {
        "encode": ((codes, ("float32", (shape.step_count,))), (table, metric)),
        "recommend": (
            (
                table,
                metric,
                ("int32", (shape.items,)),
                ("int64", (shape.max_history,)),
                ("float32", (shape.max_history,)),
                (seen, (1, shape.items)),
                ("int64", (shape.max_k,)),
            ),
            (("int64", (1, shape.max_k)), ("float32", (1, shape.max_k))),
        ),
    }
    if shape.max_batch:
        few = ("int64", (shape.max_batch,))
        history = ("int64", (shape.max_history,))
        weights = ("float32", (shape.max_batch, shape.max_history))
        learned = (("float32", (shape.codebook_rows, shape.dim)), ("float32", (shape.step_count,)))
        found["finetune"] = (
            (few, few, history, weights, metric),
            (("float32", ()), *learned, *learned),
        )
    return found
