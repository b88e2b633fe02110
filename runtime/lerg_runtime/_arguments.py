"""Arguments of `Recommender`, checked."""

from __future__ import annotations

import numpy as np

from lerg_runtime._limits import MAX_CANDIDATES
from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.errors import InputError

__all__ = ["batch_size", "candidates", "ranking_length", "whole"]


def batch_size(manifest: Manifest, batch: int | None) -> int:
    """Triples in a step; None for the bundle's default. Raises InputError."""
    largest = manifest.model.max_batch
    if batch is None:
        return manifest.finetune.batch
    if whole(batch, "batch", least=2) > largest:
        raise InputError(f"batch is {batch}; this bundle's program takes up to {largest}")
    return batch


def candidates(manifest: Manifest, negative_candidates: int | None) -> int:
    """Items drawn for a negative; None for the bundle's default. Raises InputError."""
    if negative_candidates is None:
        return manifest.finetune.negative_candidates
    if whole(negative_candidates, "negative_candidates", least=1) > MAX_CANDIDATES:
        raise InputError(f"negative_candidates is {negative_candidates}; it must be at most {MAX_CANDIDATES}")
    return negative_candidates


def ranking_length(k: int | None, *, usual: int, most: int, of: str) -> int:
    """As asked for, else what is usual or as many as there are. Raises InputError where there are fewer."""
    if k is None:
        return min(usual, most)
    if whole(k, "k", least=1) > most:
        raise InputError(f"k is {k} and there are {most} {of}; ask for at most {most}")
    return int(k)


def whole(value: object, name: str, *, least: int) -> int:
    """A whole number of at least so much. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return int(value)
