"""Where each byte of a bundle goes: every file cut into named parts that add up to its size.

Nothing is unpacked and nothing is run, so neither torch nor executorch is needed.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO

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
    if name.endswith(".npz"):
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
    """Each array with the headers of its own, as compressed; then the archive's directory."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        ends = [member.header_offset for member in members[1:]] + [archive.start_dir]
    parts = {
        member.filename.removesuffix(".npy"): end - member.header_offset
        for member, end in zip(members, ends, strict=True)
    }
    return {**parts, "archive directory": len(data) - sum(parts.values())}


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
