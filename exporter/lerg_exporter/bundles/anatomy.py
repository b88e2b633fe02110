"""Where each byte of a bundle goes: every file cut into named parts that add up to its size.

Nothing is unpacked and nothing is run, so neither torch nor executorch is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from lerg_runtime.bundle.parts import PACKED_FILE, array_ranges, piece_sizes

__all__ = ["bundle_parts"]

_STATE_DIGEST_BYTES = 32
# ExecuTorch's extended header: behind the root offset and the identifier a magic, its own length, the bytes
# of the program's flatbuffer (this header included), and where and how long the segments are.
_PTE_HEADER = struct.Struct("<8x4sIQQQ")
_PTE_MAGIC = b"eh00"


def bundle_parts(files: Mapping[str, bytes], *, constants: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Bytes of each part of each file, by file and part; the parts of a file add up to it exactly.

    Args:
        files: content by name.
        constants: bytes of the tensors in `model.pte`, from the manifest; may be empty.
    """
    return {name: _parts(name, data, constants) for name, data in files.items()}


def _parts(name: str, data: bytes, constants: Mapping[str, int]) -> dict[str, int]:
    if name == PACKED_FILE:
        found = _packed_parts(data, constants)
    elif name.endswith(".arrays"):
        found = _array_parts(data)
    elif name == "state.bin":
        found = {"own SHA-256": _STATE_DIGEST_BYTES, **_array_parts(data[_STATE_DIGEST_BYTES:])}
    elif name.endswith(".pte"):
        found = _program_parts(data, constants)
    elif name.endswith(".ptd"):
        found = {"float32 codebook and step": len(data)}
    elif name.endswith(".json"):
        found = _manifest_parts(data)
    else:
        found = {line.split(b"  ")[-1].decode(): len(line) + 1 for line in data.splitlines()}
    rest = len(data) - sum(found.values())
    return {**found, "the rest": rest} if rest else found


def _array_parts(data: bytes) -> dict[str, int]:
    """Each array as it is stored; then the file's directory and what alignment takes."""
    parts = array_ranges(data)
    return {**parts, "directory and alignment": len(data) - sum(parts.values())}


def _packed_parts(data: bytes, constants: Mapping[str, int]) -> dict[str, int]:
    """Constants by name as they are stored, then what is around them; the graph takes its changes alone."""
    stored, sizes = array_ranges(data), piece_sizes(data)
    names: dict[int, list[str]] = {}
    for name, bytes_there in constants.items():
        names.setdefault(bytes_there, []).append(name)
    parts: dict[str, int] = {}
    for name, taken in stored.items():
        size = sizes.get(name)
        if name == "p00":
            told = "instructions and tensor descriptions"
        elif size is not None:
            told = (names.get(size) or ["small constants and alignment"]).pop()
        else:
            told = "changed edges" if name == "changed" else "places"
        parts[told] = parts.get(told, 0) + taken
    return {**parts, "directory and alignment": len(data) - sum(parts.values())}


def _program_parts(data: bytes, constants: Mapping[str, int]) -> dict[str, int]:
    """Constants by name, then instructions and descriptions of tensors, then what alignment takes."""
    if len(data) < _PTE_HEADER.size:
        return {}
    magic, _, described, _, segments = _PTE_HEADER.unpack_from(data)
    if magic != _PTE_MAGIC or described + segments > len(data):
        return {}
    parts = {"instructions and tensor descriptions": described}
    named = sum(constants.values())
    # The manifest says what the constants are; what cannot be is not believed.
    if not constants or min(constants.values()) < 0 or named > segments:
        return {**parts, "constants and alignment": len(data) - described}
    return {**constants, **parts, "alignment": len(data) - described - named}


def _manifest_parts(data: bytes) -> dict[str, int]:
    """By key: with an indent of one blank, a line of the object itself begins with one blank and a quote."""
    parts: dict[str, int] = {}
    key: str | None = None
    for line in data.splitlines(keepends=True):
        if line.startswith(b' "'):
            key = line.split(b'"')[1].decode()
        part = "braces" if key is None or line.startswith(b"}") else key
        parts[part] = parts.get(part, 0) + len(line)
    return parts
