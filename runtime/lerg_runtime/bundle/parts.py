"""The parts of a bundle one by one: for whoever measures, estimates or signs one without writing it anew.

Files are opened and replaced by the rules of `docs/bundle-format.md`: plain files only, whole or not at all.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from lerg_runtime._limits import MAX_CHECKSUMS_BYTES
from lerg_runtime.bundle._arrays import ArrayReader, array_bytes, array_ranges, text_reading_bytes
from lerg_runtime.bundle._boundary import open_regular, read_bounded, reading
from lerg_runtime.bundle._checksums import CHECKSUMS_FILE
from lerg_runtime.bundle._csr import CODE_HEADER_BYTES, code_sizes, encode_interactions
from lerg_runtime.bundle._features import feature_file
from lerg_runtime.bundle._files import named_in_errors, replace_file, write_synced
from lerg_runtime.bundle._id_arrays import id_arrays, id_reading_bytes
from lerg_runtime.bundle._packed_program import piece_sizes
from lerg_runtime.bundle._programs import PACKED_FILE, PROGRAM_FILE
from lerg_runtime.bundle._seen_only import encode_seen_only
from lerg_runtime.bundle._titles import title_arrays, title_bytes, title_reading_bytes
from lerg_runtime.bundle._trust import SIGNATURE_FILE

__all__ = [
    "CHECKSUMS_FILE",
    "MAX_CHECKSUMS_BYTES",
    "PACKED_FILE",
    "PROGRAM_FILE",
    "SIGNATURE_FILE",
    "array_bytes",
    "array_ranges",
    "encode_interactions",
    "encode_seen_only",
    "feature_file",
    "id_arrays",
    "named_in_errors",
    "open_regular",
    "piece_sizes",
    "read_bounded",
    "reading",
    "reading_bytes",
    "replace_file",
    "text_reading_bytes",
    "title_arrays",
    "title_sizes",
    "write_synced",
]


def reading_bytes(entities: bytes, codes: Mapping[str, np.ndarray], *, users: int, items: int) -> int:
    """Most that is in memory besides while ids and titles of an array file, or codes of pairs, are read."""
    arrays = ArrayReader(io.BytesIO(entities), "the ids")
    of_ids = (id_reading_bytes(arrays, side, count) for side, count in (("user", users), ("item", items)))
    of_codes = (
        len(code) + code_sizes(code[:CODE_HEADER_BYTES], len(code), where=name)[1]
        for name, code in codes.items()
    )
    return max(*of_ids, title_reading_bytes(arrays), *of_codes)


def title_sizes(entities: bytes, items: int) -> tuple[int, ...]:
    """Bytes of each array in memory of the titles of an array file."""
    return title_bytes(ArrayReader(io.BytesIO(entities), "the titles"), items)
