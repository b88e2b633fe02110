"""Content hashes of whatever a computation depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any

import numpy as np
from scipy import sparse

_SCHEME = "lerg-fingerprint-1"


def fingerprint(stage: str, **inputs: object) -> str:
    """Hash a stage's name and all that its result depends on; 64 hexadecimal digits.

    Numbers, strings, None, arrays, scipy matrices, dataclasses, mappings and sequences of these are hashed by
    type and content, functions of a module by their names. The name of an argument counts, the order of
    arguments does not.

    Raises:
        TypeError: a value of any other kind, which has no content to hash.
    """
    digest = hashlib.sha256()
    _feed(digest, [_SCHEME, stage, inputs])
    return digest.hexdigest()


def _feed(digest: Any, value: object) -> None:
    """Hash a value with its kind and length in front, so that no two different values read the same."""
    if isinstance(value, np.generic):
        # Before the plain types: a float64 is a float to Python, but prints otherwise.
        _feed(digest, value.item())
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        text = value if isinstance(value, bytes) else repr(value).encode()
        _tagged(digest, type(value).__name__, text)
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        _tagged(digest, "objects", repr(value.shape).encode())
        _feed(digest, value.tolist())
    elif isinstance(value, np.ndarray):
        _tagged(digest, f"array {value.dtype.str} {value.shape}", value.tobytes())
    elif sparse.issparse(value):
        matrix = sparse.csr_matrix(value).sorted_indices()
        indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
        _tagged(digest, "sparse", repr(matrix.shape).encode())
        _feed(digest, [indptr, indices, matrix.data])
    elif is_dataclass(value) and not isinstance(value, type):
        content = {field.name: getattr(value, field.name) for field in fields(value)}
        _tagged(digest, "dataclass", type(value).__qualname__.encode())
        _feed(digest, content)
    elif isinstance(value, FunctionType) and "<" not in value.__qualname__:  # a lambda has no name of its own
        _tagged(digest, "function", f"{value.__module__}.{value.__qualname__}".encode())
    elif isinstance(value, Mapping):
        _tagged(digest, "mapping", str(len(value)).encode())
        for key in sorted(value, key=repr):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        _tagged(digest, "sequence", str(len(value)).encode())
        for part in value:
            _feed(digest, part)
    else:
        raise TypeError(f"a {type(value).__name__} has no content to fingerprint")


def _tagged(digest: Any, kind: str, content: bytes) -> None:
    digest.update(f"{kind}:{len(content)}:".encode())
    digest.update(content)
