"""Ids and pairs as callers give them: lists, arrays, tables with named columns.

Nothing here imports a table library: whatever has named columns is read by their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any

import numpy as np

from lerg_runtime.errors import InputError
from lerg_runtime.reading._columns import ColumnNames, find_columns, shown

__all__ = ["id_list", "pair_blocks"]

_BLOCK_PAIRS = 1 << 13
_FORMS = "give (user, item) tuples, an array [n, 2], or a table with columns user and item"

Block = tuple[Sequence[Any], Sequence[Any]]


def id_list(ids: object, *, what: str, ordered: bool = True) -> tuple[Sequence[Any] | np.ndarray, bool]:
    """Raw ids as a sequence, and whether one id stood alone.

    What cannot be an id, such as 1.0, stands alone like any other and is unknown wherever it is looked up.

    Raises:
        InputError: a set where order matters, a table, or an array of another than one dimension.
    """
    if isinstance(ids, np.ndarray) and ids.ndim == 0:
        return [ids.item()], True
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        return [ids], True
    unordered = ordered and isinstance(ids, (set, frozenset))
    if unordered or _names(ids) is not None:
        raise InputError(f"the {what} are a {type(ids).__name__}; give one id, or a list of them in order")
    if getattr(ids, "ndim", 1) != 1:
        raise InputError(f"the {what} have {getattr(ids, 'ndim', '?')} dimensions; give a list of ids")
    return (ids if isinstance(ids, np.ndarray) else list(ids)), False


def pair_blocks(pairs: object, *, usual: ColumnNames) -> Iterator[Block]:
    """Users and items of some thousand pairs at a time.

    Args:
        pairs: an iterable of pairs, an array [n, 2], or anything with named columns: a pandas or polars
            frame, an Arrow table, a structured array, a mapping of columns.
        usual: names of columns to prefer.

    Raises:
        InputError: it is none of these, or one of the pairs is none.
    """
    if isinstance(pairs, (str, bytes, os.PathLike)):
        raise InputError(f"interactions are (user, item) pairs; for a file pass InteractionsFile({pairs!r})")
    if hasattr(pairs, "collect") and hasattr(pairs, "collect_schema"):
        raise InputError(f"the interactions are a {type(pairs).__name__}; collect() it first")
    names = _names(pairs)
    if names is not None:
        yield from _of_table(pairs, names, usual=usual)
    elif isinstance(pairs, np.ndarray) or (hasattr(pairs, "__array__") and hasattr(pairs, "shape")):
        yield from _of_array(pairs)
    elif hasattr(pairs, "tocoo"):
        raise InputError(
            "a sparse matrix has positions and not ids; give (user, item) pairs of the ids that you exported"
        )
    elif not isinstance(pairs, Iterable):
        raise InputError(f"interactions are (user, item) pairs, not {type(pairs).__name__}; {_FORMS}")
    else:
        yield from _of_iterable(pairs)


def _names(table: object) -> list[Any] | None:
    """The names of a table's columns; None for what is no table."""
    if isinstance(table, Mapping):
        return list(table)
    if isinstance(table, np.ndarray):
        return None if table.dtype.names is None else list(table.dtype.names)
    for attribute in ("column_names", "columns"):
        found = getattr(table, attribute, None)
        if found is not None and hasattr(table, "__getitem__") and not callable(found):
            return list(found)
    return None


def _of_table(table: Any, names: list[Any], *, usual: ColumnNames) -> Iterator[Block]:
    kind = f"the interactions, a {type(table).__name__}"
    header = [name if isinstance(name, str) else repr(name) for name in names]
    columns = find_columns(header, given=ColumnNames(), usual=usual, rating=False, where=kind)
    if isinstance(columns, str):
        raise InputError(f"{kind}: {columns}; name its columns user and item, or give (user, item) pairs")
    try:
        users, items = (_values(table[names[at]], kind) for at in (columns.user, columns.item))
    except InputError:
        raise
    except Exception as error:  # whatever the table's library raises
        raise InputError(f"{kind} cannot be read by column ({type(error).__name__}); {_FORMS}") from None
    if len(users) != len(items):
        raise InputError(f"{kind} has {len(users)} users and {len(items)} items; give one of each a pair")
    for start in range(0, len(users), _BLOCK_PAIRS):
        yield users[start : start + _BLOCK_PAIRS], items[start : start + _BLOCK_PAIRS]


def _values(column: Any, kind: str) -> Sequence[Any]:
    if isinstance(column, (str, bytes, Mapping, Set)):
        raise InputError(f"{kind} holds a {type(column).__name__} where a column of ids should be; {_FORMS}")
    if isinstance(column, (list, tuple)):
        return column
    for method in ("to_list", "to_pylist", "tolist"):
        if hasattr(column, method):
            values = getattr(column, method)()
            break
    else:
        values = list(column)
    if not isinstance(values, list) or getattr(column, "ndim", 1) != 1:
        raise InputError(f"{kind} has a column that is no flat list of ids; {_FORMS}")
    return values


def _of_array(given: Any) -> Iterator[Block]:
    array = np.asarray(given)
    if array.size == 0:
        return
    if array.ndim == 1 and array.dtype == object:
        yield from _of_iterable(array.tolist())
        return
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(
            f"interactions are an array of shape {list(array.shape)}; it must be [n, 2]: user, item"
        )
    if array.dtype.kind not in "iuUO":
        raise InputError(f"interactions are an array of {array.dtype}; ids are integers or texts")
    for start in range(0, len(array), _BLOCK_PAIRS):
        block = array[start : start + _BLOCK_PAIRS]
        yield block[:, 0].tolist(), block[:, 1].tolist()


def _of_iterable(pairs: Iterable[Any]) -> Iterator[Block]:
    if isinstance(pairs, tuple) and len(pairs) == 2 and all(isinstance(part, list) for part in pairs):
        raise InputError(
            "interactions are a tuple of two lists, which may be columns or pairs; give zip(users, items) or "
            "a list of (user, item) tuples"
        )
    iterator, position = iter(pairs), 0
    while block := list(islice(iterator, _BLOCK_PAIRS)):
        for pair in block:
            position += 1
            if not isinstance(pair, (tuple, list, np.void)):
                raise InputError(f"interaction {position} is {_shown(pair)}; {_FORMS}")
            parts = len(tuple(pair.tolist() if isinstance(pair, np.void) else pair))
            if parts != 2:
                raise InputError(
                    f"interaction {position} is {_shown(pair)}, of {parts} parts; give two, the user and the "
                    "item: ratings are not read here"
                )
        yield [pair[0] for pair in block], [pair[1] for pair in block]


def _shown(pair: object) -> str:
    text = shown(str(pair))
    return text if isinstance(pair, str) else f"{text}, a {type(pair).__name__}"
