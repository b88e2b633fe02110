"""LightGCN-PyTorch: the state dict that it saves. Its rows are those of layer 0, before propagation."""

from __future__ import annotations

from lerg_edge.tables._checkpoints import has_parameters, read_parameters
from lerg_edge.tables._source import Source
from lerg_edge.tables.given import GivenTables

__all__ = ["NAME", "read", "recognises"]

NAME = "LightGCN-PyTorch's checkpoint"
_TABLES = ("embedding_user.weight", "embedding_item.weight")


def recognises(source: Source) -> bool:
    """Whether it is a file of torch with both tables."""
    return has_parameters(source, _TABLES)


def read(source: Source) -> GivenTables:
    """Both tables; the checkpoint does not say how many layers propagate them."""
    users, items = read_parameters(source, _TABLES)
    return GivenTables(items, users, layers=None, form=NAME)
