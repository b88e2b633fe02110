"""The formats of models there are: the modules of `lerg_edge.tables.formats`. A new one is a file there."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol

from lerg_edge.tables import formats
from lerg_edge.tables._source import Source
from lerg_edge.tables.given import GivenTables

__all__ = ["TableFormat", "table_formats"]


class TableFormat(Protocol):
    """What a module of `lerg_edge.tables.formats` has."""

    NAME: str
    """What the format is called, for people."""

    def recognises(self, source: Source) -> bool:
        """Whether a file is of this format, by its content; no other format may say so too."""

    def read(self, source: Source) -> GivenTables:
        """Its tables.

        Raises:
            InputError: the file is damaged, or holds what is never read.
        """


def table_formats() -> tuple[TableFormat, ...]:
    """All of them, by the names of their modules."""
    names = sorted(module.name for module in pkgutil.iter_modules(formats.__path__))
    return tuple(importlib.import_module(f"{formats.__name__}.{name}") for name in names)
