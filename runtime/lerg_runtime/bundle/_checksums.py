"""`SHA256SUMS`: the text that `sha256sum` prints, one line a file, sorted by name.

The text is canonical: rendering what was parsed gives the same bytes, so its own SHA-256 names a bundle.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from lerg_runtime.bundle._boundary import FileStamp, open_regular, reading, stamp_of
from lerg_runtime.errors import BundleError

__all__ = ["CHECKSUMS_FILE", "file_digest", "parse_checksums", "render_checksums"]

CHECKSUMS_FILE = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})")
_CHUNK_BYTES = 1 << 18


def render_checksums(digests: Mapping[str, str]) -> bytes:
    """The file's bytes for hexadecimal digests by file name."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def parse_checksums(data: bytes, *, where: str) -> dict[str, str]:
    """Digests by file name; every name is a plain one, without a folder.

    Raises:
        BundleError: a line is not `<64 hexadecimal digits>  <name>`, or the text is not canonical.
    """
    digests: dict[str, str] = {}
    for number, line in enumerate(data.decode("ascii", errors="replace").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BundleError(f"{where}, line {number}: expected a SHA-256, two spaces and a file name")
        digests[match[2]] = match[1]
    if render_checksums(digests) != data:
        raise BundleError(f"{where} is not sorted by name with one line a file")
    return digests


def file_digest(folder: Path, name: str, *, size: int) -> tuple[str, FileStamp]:
    """SHA-256 of a file that must be `size` bytes long, as hexadecimal digits, and what it was taken of.

    Raises:
        BundleError: missing, not a plain file, or of another size.
    """
    handle, found = open_regular(folder, name)
    with os.fdopen(handle, "rb", buffering=0) as stream, reading(folder / name):
        stamp = stamp_of(stream.fileno())
        if found != size:
            raise BundleError(
                f"{folder / name} has {found} bytes and the manifest says {size}; copy the bundle again"
            )
        digest = hashlib.sha256()
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest(), stamp
