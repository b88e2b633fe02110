"""`manifest.json` as frozen values, every one checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lerg_runtime._limits import MAX_CANDIDATES, MAX_FILE_BYTES, MAX_PROGRAM_BYTES
from lerg_runtime.bundle._features import FEATURES_FILE, FeatureColumn, parse_features
from lerg_runtime.bundle._fields import Fields, parse_json
from lerg_runtime.bundle._personal_shape import PersonalShape
from lerg_runtime.bundle._programs import (
    PACKED_FILE,
    PARAMETER_FILE,
    PROGRAM_FILE,
    ProgramSpec,
    parse_programs,
    signatures_of,
)
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.bundle._ways import ServingWays
from lerg_runtime.errors import BundleError
from lerg_runtime.reading._columns import ColumnNames

__all__ = [
    "FORMAT",
    "VERSION",
    "FineTuneDefaults",
    "Manifest",
    "check_told",
    "manifest_fields",
    "release_series",
    "render_manifest",
    "titled_items",
]

FORMAT = "lerg-bundle"
VERSION = 2
_OF_SHARED = ("entities.arrays", "golden.arrays", "interactions.arrays", PROGRAM_FILE)
DATA_FILES = {"native": _OF_SHARED, "portable": (*_OF_SHARED, PARAMETER_FILE)}
"""By lowering, the files that the manifest of a shared bundle names."""

_MOST_REPLAY = 1e6
_NO_NAMES = ColumnNames()
_PLAIN = ServingWays()


@dataclass(frozen=True, slots=True)
class FineTuneDefaults:
    """`finetune` of a manifest: what a device uses unless told otherwise.

    Attributes:
        learning_rate: of Adam on the codebook.
        step_learning_rate: of Adam on the step; None scales `learning_rate` by step / mean |codebook|.
        sgd_learning_rate: of SGD without momentum, with it 1 - momentum of that; None means that the caller
            must give one.
        batch: triples a step.
        beta1, beta2, eps: of Adam.
        momentum: of SGD.
        negative_candidates: items drawn for a negative, of which the one that scores highest is taken.
        replay: earlier interactions that an epoch goes over again for each new one; see `replayed`.
    """

    learning_rate: float
    step_learning_rate: float | None
    sgd_learning_rate: float | None
    batch: int
    beta1: float
    beta2: float
    eps: float
    momentum: float
    negative_candidates: int = 1
    replay: float = 4.0

    def replayed(self, new: int, *, batch: int) -> int:
        """Earlier interactions in an epoch over so many new ones, at least a quarter of a batch of these."""
        return round(self.replay * max(new, batch / 4))

    @classmethod
    def parse(cls, fields: Fields, shape: ModelShape | PersonalShape) -> FineTuneDefaults:
        def rate(name: str) -> float | None:
            return fields.number(name, least=0.0, above=True) if name in fields else None

        def number(name: str, default: float, most: float) -> float:
            return fields.number(name, least=0.0, most=most) if name in fields else default

        batch = (
            fields.integer("batch", least=2, most=shape.max_batch) if "batch" in fields else shape.max_batch
        )
        return cls(
            learning_rate=fields.number("learning_rate", least=0.0, above=True),
            step_learning_rate=rate("step_learning_rate"),
            sgd_learning_rate=rate("sgd_learning_rate"),
            batch=batch,
            beta1=number("beta1", 0.9, 1.0),
            beta2=number("beta2", 0.999, 1.0),
            eps=number("eps", 1e-8, 1.0),
            momentum=number("momentum", 0.9, 1.0),
            negative_candidates=fields.integer("negative_candidates", least=1, most=MAX_CANDIDATES)
            if "negative_candidates" in fields
            else 1,
            replay=number("replay", 4.0, _MOST_REPLAY),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle is.

    Attributes:
        model: sizes of the model.
        programs: the methods, sorted by name.
        files: size in bytes of every file but `manifest.json`, `SHA256SUMS` and `state.bin`.
        executorch: release series that the programs need, such as `1.5`.
        finetune: defaults of fine-tuning.
        ways: by what people are ranked.
        columns: names that the export's file gave to users, items and ratings, where it had a header.
        document: the whole JSON object, with what is only for people: metrics, storage, training, versions.
        titled_items: items that have a title; 0 where the bundle has no titles.
        features: of items, that a map makes rows of; none where the bundle has no such map.
    """

    model: ModelShape
    programs: tuple[ProgramSpec, ...]
    files: Mapping[str, int]
    executorch: str
    finetune: FineTuneDefaults
    document: Mapping[str, Any]
    ways: ServingWays = _PLAIN
    columns: ColumnNames = _NO_NAMES
    titled_items: int = 0
    features: tuple[FeatureColumn, ...] = ()

    @classmethod
    def parse(cls, data: bytes, *, where: str = "manifest.json") -> Manifest:
        """Checked manifest from the file's bytes.

        Raises:
            BundleError: not a manifest, of a newer version, or with a value that cannot be.
        """
        return cls.of_fields(manifest_fields(data, where=where), where=where)

    @classmethod
    def of_fields(cls, fields: Fields, *, where: str) -> Manifest:
        """Of an object whose format and version are right.

        Raises:
            BundleError: it has a value that cannot be.
        """
        fields.text("form", among=("shared",))
        lowering = fields.text("lowering", among=tuple(DATA_FILES))
        propagation = fields.text("propagation", among=("graph", "folded"))
        shape = ModelShape.parse(fields.inner("model"))
        if (propagation == "folded") != (shape.entries > 0):
            raise BundleError(f"{where}: model.entries must be there for folded propagation and for no other")
        files = fields.inner("files")
        names = tuple(sorted(DATA_FILES[lowering]))
        if lowering == "native" and PACKED_FILE in files.values and PROGRAM_FILE not in files.values:
            names = tuple(sorted(PACKED_FILE if name == PROGRAM_FILE else name for name in names))
        features = parse_features(fields)
        names = tuple(sorted((*names, FEATURES_FILE))) if features else names
        if tuple(sorted(files.values)) != names:
            raise BundleError(f"{files.where} must name {', '.join(names)} and nothing else")
        check_told(fields)
        # Of a propagation, which a personal bundle has none of.
        fields.table("macs", (int, float), "a number")
        return cls(
            model=shape,
            programs=parse_programs(fields, signatures_of(shape, lowering)),
            files={name: files.integer(name, least=1, most=MAX_FILE_BYTES) for name in names},
            executorch=release_series(fields.inner("requires")),
            finetune=FineTuneDefaults.parse(fields.inner("finetune"), shape),
            document=fields.values,
            ways=ServingWays.parse(fields.inner("serving")) if "serving" in fields else _PLAIN,
            columns=_columns(fields),
            titled_items=titled_items(fields, shape.items),
            features=features,
        )

    def program(self, method: str) -> ProgramSpec:
        """The entry of a method that `parse` has found to be there."""
        return next(spec for spec in self.programs if spec.method == method)


def manifest_fields(data: bytes, *, where: str) -> Fields:
    """The object of a manifest, of whatever form.

    Raises:
        BundleError: not a manifest, or of a newer version.
    """
    fields = Fields.of(parse_json(data, where=where), where)
    if fields.values.get("format") != FORMAT:
        raise BundleError(f"{where} is not the manifest of a bundle: its format is not {FORMAT!r}")
    version = fields.integer("version", least=1, most=2**31)
    if version < VERSION:
        raise BundleError(
            f"{where} has format version {version}, which this package no longer reads; make the "
            "bundle again from its data with lerg-export run"
        )
    if version > VERSION:
        raise BundleError(
            f"{where} has format version {version} and this package reads {VERSION}; upgrade lerg-edge"
        )
    return fields


def render_manifest(document: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest: sorted keys, UTF-8, no NaN; equal objects give equal bytes."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def check_told(fields: Fields) -> None:
    """What is only for people has the form in which they are shown it."""
    fields.table("created_with", (str,), "a text")
    fields.inner("training")
    metrics = fields.inner("metrics")
    for stage in metrics.values:
        told = metrics.inner(stage)
        for name, value in told.values.items():
            figure = name in ("recall@20", "ndcg@20", "users")
            if type(value) not in ((int, float) if figure else (int, float, str, bool, type(None))):
                expected = "a number" if figure else "a number or a text"
                raise BundleError(f"{told.where}.{name[:64]} must be {expected}")
    if "intervals" in fields:
        _check_intervals(fields.inner("intervals"))
    storage = fields.inner("storage")
    storage.integer("bundle_bytes", most=MAX_PROGRAM_BYTES)
    for name in ("embedding_bytes", "baseline_bytes", "reference_dim"):
        if name in storage:
            storage.integer(name, most=MAX_PROGRAM_BYTES)
    for name in ("items", "constants"):
        if name in storage:
            storage.table(name, (int,), "a number of bytes")


def _check_intervals(intervals: Fields) -> None:
    for stage in intervals.values:
        spans = intervals.inner(stage)
        for name, bounds in spans.values.items():
            if not (type(bounds) is list and len(bounds) == 2 and {*map(type, bounds)} <= {int, float}):
                raise BundleError(f"{spans.where}.{name[:64]} must be a list of two numbers")


def titled_items(fields: Fields, items: int) -> int:
    """How many of the items have a title, by the object `titles`; 0 without it. Raises BundleError."""
    return fields.inner("titles").integer("items", least=1, most=items) if "titles" in fields else 0


def _columns(fields: Fields) -> ColumnNames:
    data = fields.inner("data") if "data" in fields else None
    if data is None or "columns" not in data:
        return _NO_NAMES
    columns = data.inner("columns")
    named = {role: name for role, name in columns.values.items() if name is not None}
    texts = Fields(named, columns.where)
    return ColumnNames(
        **{role: texts.text(role) for role in ("user", "item", "rating", "timestamp") if role in texts}
    )


def release_series(fields: Fields) -> str:
    """`executorch` of the object `requires`, such as `1.5`. Raises BundleError."""
    text = fields.text("executorch")
    parts = text.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise BundleError(f"{fields.where}.executorch must be a release series such as '1.5', not {text!r}")
    return text
