"""implicit: the `.npz` that `save` of its factorisations writes, with `user_factors` and `item_factors`."""

from __future__ import annotations

from lerg_edge.tables._arrays import read_npz
from lerg_edge.tables._source import Source
from lerg_edge.tables.given import GivenTables, as_rows

__all__ = ["NAME", "read", "recognises"]

NAME = "implicit's .npz"
_TABLES = ("user_factors", "item_factors")


def recognises(source: Source) -> bool:
    """Whether the archive holds both tables."""
    return {f"{name}.npy" for name in _TABLES} <= set(source.members)


def read(source: Source) -> GivenTables:
    """Both tables; users and items are numbered as in the matrix that the model was fitted to."""
    users, items = (
        as_rows(array, f"{source.path}: {name}")
        for name, array in zip(_TABLES, read_npz(source.path, _TABLES), strict=True)
    )
    return GivenTables(items, users, form=NAME)
