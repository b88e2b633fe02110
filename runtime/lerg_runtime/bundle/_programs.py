"""What a manifest says about the programs, and what the runtime needs them to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lerg_runtime._limits import MAX_PROGRAM_BYTES
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.errors import BundleError

__all__ = [
    "METHODS",
    "STRUCTURE_BYTES",
    "ProgramSpec",
    "Signature",
    "TensorSpec",
    "parse_programs",
    "signatures_of",
]

METHODS = ("encode", "finetune", "recommend")
PROGRAM_FILE = "model.pte"
PACKED_FILE = "program.arrays"
# Lowerings whose programs take bytes where others take booleans or int16, which stock Java has no tensors of.
JAVA_LOWERINGS = ("portable",)
PARAMETER_FILE = "model.ptd"
STRUCTURE_BYTES = 64 * 1024
"""What a method of a few dozen operators takes beside its arenas."""

Signature = tuple[tuple[str, tuple[int, ...]], ...]
"""Dtype and largest shape of each of some tensors."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: its name, dtype and largest shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """One method of a program.

    Attributes:
        method: `finetune`, `encode` or `recommend`.
        file: the file that holds it.
        planned_bytes: sum of `arena_bytes` and `scratch_bytes`.
        arena_bytes: memory planned by ExecuTorch, an arena each.
        scratch_bytes: most that kernels take for themselves at a time.
        structure_bytes: most that ExecuTorch builds when the method is loaded, apart from its arenas.
        operators: names of the operators it calls.
        inputs, outputs: tensors in call order.
    """

    method: str
    file: str
    planned_bytes: int
    arena_bytes: tuple[int, ...]
    scratch_bytes: int
    structure_bytes: int
    operators: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def parse_programs(
    fields: Fields, signatures: Mapping[str, tuple[Signature, Signature]]
) -> tuple[ProgramSpec, ...]:
    """Checked `methods` of a manifest, sorted by method.

    Args:
        fields: the manifest.
        signatures: inputs and outputs of each method that must be there.

    Raises:
        BundleError: a method is absent, repeated or unknown, or its figures do not agree.
    """
    entries = [
        _parse(Fields.of(value, f"{fields.where}.methods[{index}]"), signatures)
        for index, value in enumerate(fields.listed("methods", most=16))
    ]
    methods = tuple(sorted(entry.method for entry in entries))
    wanted = tuple(sorted(signatures))
    if methods != wanted:
        raise BundleError(
            f"{fields.where}.methods must be {', '.join(wanted)}, not {', '.join(methods) or 'none'}"
        )
    return tuple(sorted(entries, key=lambda entry: entry.method))


def _parse(fields: Fields, signatures: Mapping[str, tuple[Signature, Signature]]) -> ProgramSpec:
    spec = ProgramSpec(
        method=fields.text("method", among=tuple(sorted(signatures))),
        file=fields.text("file", among=(PROGRAM_FILE,)),
        planned_bytes=fields.integer("planned_bytes", most=MAX_PROGRAM_BYTES),
        arena_bytes=fields.integers("arena_bytes", most=MAX_PROGRAM_BYTES),
        scratch_bytes=fields.integer("scratch_bytes", most=MAX_PROGRAM_BYTES),
        structure_bytes=(
            fields.integer("structure_bytes", most=MAX_PROGRAM_BYTES)
            if "structure_bytes" in fields
            else STRUCTURE_BYTES
        ),
        operators=fields.texts("operators"),
        inputs=_tensors(fields, "inputs"),
        outputs=_tensors(fields, "outputs"),
    )
    if spec.planned_bytes != sum(spec.arena_bytes) + spec.scratch_bytes:
        raise BundleError(f"{fields.where}.planned_bytes is not the sum of arena_bytes and scratch_bytes")
    for kind, wanted in zip(("inputs", "outputs"), signatures[spec.method], strict=True):
        found = tuple((tensor.dtype, tensor.shape) for tensor in getattr(spec, kind))
        if found != wanted:
            raise BundleError(
                f"{fields.where}.{kind} of {spec.method} do not fit the model: {found}, not {wanted}"
            )
    return spec


def _tensors(fields: Fields, name: str) -> tuple[TensorSpec, ...]:
    tensors = []
    for index, value in enumerate(fields.listed(name, most=16)):
        tensor = Fields.of(value, f"{fields.where}.{name}[{index}]")
        tensors.append(
            TensorSpec(
                tensor.text("name"), tensor.text("dtype"), tensor.integers("shape", most=2**31, count=4)
            )
        )
    return tuple(tensors)


def signatures_of(shape: ModelShape, lowering: str) -> dict[str, tuple[Signature, Signature]]:
    """Inputs and outputs of each method, as (dtype, largest shape).

    Portable programs take bytes where native ones take booleans or int16, which stock Java has no tensors of.
    """
    codes, seen = (shape.packed_dtype, shape.packed_shape), "bool"
    if lowering in JAVA_LOWERINGS:
        seen = "uint8"
        if shape.packed_dtype == "int16":
            codes = ("uint8", (shape.codebook_rows, 2 * shape.dim))
    triples = ("int64", (shape.max_batch,))
    codebook = ("float32", (shape.codebook_rows, shape.dim))
    step = ("float32", (shape.step_count,))
    user_table = ("float32", (shape.user_slots, shape.dim))
    return {
        "finetune": ((triples, triples, triples), (("float32", ()), codebook, step, codebook, step)),
        "encode": ((codes, step), (user_table, *shape.item_arrays)),
        "recommend": (
            (
                ("float32", (shape.max_users, shape.dim)),
                *shape.item_arrays,
                ("int32", (shape.items,)),
                (seen, (shape.max_users, shape.items)),
                ("int64", (shape.max_k,)),
            ),
            (("int64", (shape.max_users, shape.max_k)), ("float32", (shape.max_users, shape.max_k))),
        ),
    }
