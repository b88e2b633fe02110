"""Ids of rows, from a list of their own: a text with one a line, or a `.npy` array."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lerg_edge.data.interactions import IdMap
from lerg_edge.errors import InputError
from lerg_edge.tables._arrays import NPY_MAGIC, opened, read_npy

__all__ = ["id_map", "read_ids"]


def read_ids(path: Path) -> IdMap:
    """The ids of a file, in its order.

    A text has one id a line; where each of them writes an integer the one usual way, they are integers. A
    `.npy` holds integers or texts.

    Raises:
        InputError: it cannot be read, holds anything else, or an id twice.
    """
    with opened(path, "a list of ids") as stream:
        if stream.read(len(NPY_MAGIC)) != NPY_MAGIC:
            stream.seek(0)
            return id_map(_lines(stream.read(), path), str(path))
    array = read_npy(path)
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise InputError(
            f"{path}: is {array.dtype} of the shape {array.shape}; ids are a list of integers or texts"
        )
    if array.dtype.kind == "U":
        return id_map(array.tolist(), str(path), as_text=False)
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{path}: id {int(array.max())} does not fit 64 bits; write such ids as texts")
    return _unique(array.astype(np.int64), str(path))


def id_map(texts: Iterable[str], what: str, *, as_text: bool = True) -> IdMap:
    """Ids in their order; from a text, integers if every one is an integer.

    Args:
        what: names their source in messages.

    Raises:
        InputError: an id is empty, too long, or there twice.
    """
    given = list(texts)
    try:
        known = IdMap.from_text(given) if as_text else IdMap.from_values(given)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    if known.integral:
        return _unique(np.array([int(text) for text in given], dtype=np.int64), what)
    values = np.empty(len(given), dtype=object)
    values[:] = given
    return _unique(values, what)


def _unique(values: np.ndarray, what: str) -> IdMap:
    first, counts = np.unique(values, return_counts=True)
    if len(first) < len(values):
        raise InputError(
            f"{what}: id {first[np.argmax(counts > 1)]!s} is there twice; each row has an id of its own"
        )
    return IdMap(values)


def _lines(data: bytes, path: Path) -> list[str]:
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number}: is not UTF-8; save the list as UTF-8") from error
        if not found[-1]:
            raise InputError(f"{path}, line {number}: is empty; give an id on each line")
    if not found:
        raise InputError(f"{path}: is empty; give an id on each line")
    return found
