"""The two ways in: a table for each side, or a model as another library saved it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data.interactions import IdMap
from lerg_edge.errors import InputError
from lerg_edge.tables._arrays import NPY_MAGIC, read_npy, unreadable
from lerg_edge.tables._source import Source
from lerg_edge.tables.given import GivenTables, as_rows
from lerg_edge.tables.ids import id_map, read_ids
from lerg_edge.tables.registry import table_formats

__all__ = ["read_model", "read_tables"]

_PARQUET_MAGIC = b"PAR1"
_PADDING = "[PAD]"

_Path = str | os.PathLike[str]


def read_tables(
    items: _Path,
    users: _Path | None = None,
    *,
    item_ids: _Path | None = None,
    user_ids: _Path | None = None,
) -> GivenTables:
    """Tables from a file each: `.npy` with a row an entity, or Parquet with the columns `id` and `vector`.

    Args:
        items, users: the files; None for no users.
        item_ids, user_ids: files of ids, see :func:`lerg_edge.tables.ids.read_ids`; None for those that a
            Parquet file has, else the numbers of the rows.

    Raises:
        InputError: a file that cannot be used; names it.
    """
    item_rows, item_map = _table(Path(items))
    user_rows, user_map = (None, None) if users is None else _table(Path(users))
    tables = GivenTables(item_rows, user_rows, item_map, user_map, form="a table for each side")
    return _named(tables, user_ids, item_ids)


def read_model(path: _Path, *, item_ids: _Path | None = None, user_ids: _Path | None = None) -> GivenTables:
    """A model as another library saved it, told by its content.

    Args:
        path: the file.
        item_ids, user_ids: files of ids, see :func:`read_tables`. RecBole's tables begin with a row for
            padding: its list of tokens may begin with `[PAD]` or leave that out.

    Raises:
        InputError: the file cannot be read, is of no known format, or holds what is never unpickled.
    """
    source = Source(Path(path))
    known = table_formats()
    fitting = [each for each in known if each.recognises(source)]
    if len(fitting) != 1:
        raise _unknown(source, [each.NAME for each in known])
    return _named(fitting[0].read(source), user_ids, item_ids)


def _unknown(source: Source, known: list[str]) -> InputError:
    path, listed = source.path, f"{', '.join(known[:-1])} and {known[-1]}"
    if source.pickle and source.members:
        return InputError(
            f"{path}: is a file of torch without the tables of a known model; known are {listed}"
        )
    if source.is_pickle:
        return InputError(
            f"{path}: is a pickle, which may run anything and is never opened; gensim writes its vectors as "
            "text by save_word2vec_format"
        )
    if source.head.startswith((NPY_MAGIC, _PARQUET_MAGIC)):
        return InputError.naming("{}: is a single table; give it by {users} or {items}", path)
    return InputError.naming(
        "{}: is of no known format; known are {}, and a table for each side by {users} and {items}",
        path,
        listed,
    )


def _table(path: Path) -> tuple[NDArray[np.float32], IdMap | None]:
    head = Source(path).head
    if head.startswith(NPY_MAGIC):
        return as_rows(read_npy(path), str(path)), None
    if head.startswith(_PARQUET_MAGIC):
        return _parquet(path)
    raise InputError.naming(
        "{}: is neither .npy nor Parquet; write it by np.save, or give another library's file by {model}",
        path,
    )


def _parquet(path: Path) -> tuple[NDArray[np.float32], IdMap]:
    """A file with a column of ids and one of vectors of one length."""
    import polars as pl

    with unreadable(path, "a Parquet file"):
        frame = pl.read_parquet(path.read_bytes())
        if not {"id", "vector"} <= set(frame.columns):
            raise InputError(
                f"{path}: its columns are {', '.join(frame.columns)}; there must be id and vector"
            )
        ids, vectors = frame["id"], frame["vector"]
        if ids.null_count() or vectors.null_count():
            raise InputError(f"{path}: an id or a vector is missing; write it again")
        if isinstance(vectors.dtype, pl.List):
            lengths = vectors.list.len().unique().to_list()
            if len(lengths) != 1:
                raise InputError(f"{path}: vectors have several lengths; they must be of one model")
            vectors = vectors.cast(pl.Array(vectors.dtype.inner, lengths[0]))
        if not (ids.dtype.is_integer() or ids.dtype == pl.String):
            raise InputError(f"{path}: ids are {ids.dtype}; they must be integers or texts")
        rows = as_rows(vectors.to_numpy(), str(path))
    if ids.dtype == pl.String:
        return rows, id_map(ids.to_list(), str(path), as_text=False)
    return rows, id_map(map(str, ids.to_list()), str(path))


def _named(tables: GivenTables, users: _Path | None, items: _Path | None) -> GivenTables:
    """Tables with ids from files of their own."""
    if users is not None and tables.users is None:
        raise InputError.naming("there are no rows of users; leave {user_ids} out")
    return tables.with_ids(
        users=None if users is None or tables.users is None else _ids(users, len(tables.users)),
        items=None if items is None else _ids(items, len(tables.items)),
    )


def _ids(path: _Path, rows: int) -> IdMap:
    found = read_ids(Path(path))
    if len(found) == rows + 1 and not found.integral and found.values[0] == _PADDING:
        return id_map(found.values[1:].tolist(), str(path))  # RecBole's list of tokens
    if len(found) != rows:
        raise InputError(
            f"{path}: has {len(found):,} ids, and the model {rows:,} rows; give one for each, in their order"
        )
    return found
