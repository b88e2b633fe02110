"""The parts of a bundle one by one: for whoever measures, estimates or signs one without writing it anew.

Files are opened and replaced by the rules of `docs/bundle-format.md`: plain files only, whole or not at all.
"""

from __future__ import annotations

from lerg_runtime._limits import MAX_CHECKSUMS_BYTES
from lerg_runtime.bundle._boundary import open_regular, read_bounded, reading
from lerg_runtime.bundle._csr import encode_interactions
from lerg_runtime.bundle._files import named_in_errors, replace_file, write_synced
from lerg_runtime.bundle._npz import npz_bytes
from lerg_runtime.bundle._programs import PROGRAM_FILE
from lerg_runtime.bundle._reader import CHECKSUMS_FILE
from lerg_runtime.bundle._seen_only import encode_seen_only
from lerg_runtime.bundle._trust import SIGNATURE_FILE
from lerg_runtime.bundle._writer import id_arrays

__all__ = [
    "CHECKSUMS_FILE",
    "MAX_CHECKSUMS_BYTES",
    "PROGRAM_FILE",
    "SIGNATURE_FILE",
    "encode_interactions",
    "encode_seen_only",
    "id_arrays",
    "named_in_errors",
    "npz_bytes",
    "open_regular",
    "read_bounded",
    "reading",
    "replace_file",
    "write_synced",
]
