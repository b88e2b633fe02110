"""Bounds that a reader holds a bundle to before it uses any size that the bundle states."""

from __future__ import annotations

__all__ = [
    "MAX_ADDED_ITEMS",
    "MAX_CANDIDATES",
    "MAX_CHECKSUMS_BYTES",
    "MAX_CODES",
    "MAX_DIM",
    "MAX_ENTITIES",
    "MAX_FEATURES",
    "MAX_FEATURE_BYTES",
    "MAX_FEATURE_COLUMNS",
    "MAX_FILE_BYTES",
    "MAX_FIRST_USERS",
    "MAX_HISTORY",
    "MAX_ID_BYTES",
    "MAX_LAYERS",
    "MAX_LOCAL_INTERACTIONS",
    "MAX_MANIFEST_BYTES",
    "MAX_PAIRS",
    "MAX_PROGRAM_BYTES",
    "MAX_TITLE_BYTES",
]

MAX_CHECKSUMS_BYTES = 64 * 1024
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_ENTITIES = 2**31 - 1  # users and items together; indices are int32
MAX_PAIRS = 2**31 - 1  # interactions; positions are int32
MAX_LOCAL_INTERACTIONS = 2**22  # added by fine-tuning on one device
MAX_HISTORY = 2**16  # items of the history that a device keeps
MAX_CODES = 2**24
MAX_DIM = 4096
MAX_LAYERS = 64
MAX_ID_BYTES = 4096  # one id, UTF-8
MAX_TITLE_BYTES = 1024  # one title, UTF-8
MAX_ADDED_ITEMS = 1000  # on one device
MAX_FIRST_USERS = 2**16  # of all items added on one device
MAX_FEATURES = 2048  # places of an item's encoded features
MAX_FEATURE_COLUMNS = 64
MAX_FEATURE_BYTES = 256  # a column's name or a category's value, UTF-8
MAX_CANDIDATES = 1024  # items drawn for one negative
MAX_FILE_BYTES = 2**31 - 1  # one file; a program is read whole
MAX_PROGRAM_BYTES = 2**40  # any one memory figure of a program
