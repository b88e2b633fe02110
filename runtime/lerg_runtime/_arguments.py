"""Arguments of `Recommender`, checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerg_runtime._limits import MAX_CANDIDATES
from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.errors import InputError

__all__ = ["batch_size", "candidates", "ranking_length", "ranking_lengths", "whole"]

_MOST_LENGTHS = 16


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


def ranking_lengths(k: int | Sequence[int] | None, *, usual: int, most: int, of: str) -> tuple[int, ...]:
    """One length or several, ascending and each once; see `ranking_length`.

    Raises:
        InputError: there are fewer items, or no lengths or too many.
    """
    if k is None or isinstance(k, (int, np.integer)):
        return (ranking_length(k, usual=usual, most=most, of=of),)
    if not isinstance(k, (Sequence, np.ndarray)) or isinstance(k, (str, bytes)):
        raise InputError(f"k is {k!r}; give a whole number or several, such as (5, 10, 20)")
    if not 1 <= len(k) <= _MOST_LENGTHS:
        raise InputError(f"k has {len(k)} lengths of a ranking; give 1 to {_MOST_LENGTHS}")
    lengths = {whole(length, "k", least=1) for length in k}
    return tuple(sorted(ranking_length(length, usual=usual, most=most, of=of) for length in lengths))


def whole(value: object, name: str, *, least: int) -> int:
    """A whole number of at least so much. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return int(value)
