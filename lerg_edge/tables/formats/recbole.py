"""RecBole: the weights of a general recommender. Row 0 of each table stands for padding and for nobody."""

from __future__ import annotations

import numpy as np

from lerg_edge.data.interactions import IdMap
from lerg_edge.errors import InputError
from lerg_edge.tables._checkpoints import has_parameters, read_parameters
from lerg_edge.tables._source import Source
from lerg_edge.tables.given import GivenTables

__all__ = ["NAME", "read", "recognises"]

NAME = "RecBole's checkpoint"
_TABLES = ("user_embedding.weight", "item_embedding.weight")


def recognises(source: Source) -> bool:
    """Whether it is a file of torch with both tables."""
    return has_parameters(source, _TABLES)


def read(source: Source) -> GivenTables:
    """Both tables without row 0, numbered from 1.

    BPR's rows are final and LightGCN's are still to be propagated; a file does not say which model it is of.

    Raises:
        InputError: a table has no row beside that of padding.
    """
    users, items = read_parameters(source, _TABLES)
    if min(len(users), len(items)) < 2:
        raise InputError(f"{source.path}: there is no row beside that of padding; give a trained model")
    ids = [IdMap(np.arange(1, len(rows), dtype=np.int64)) for rows in (users, items)]
    return GivenTables(items[1:], users[1:], ids[1], ids[0], layers=None, form=NAME)
