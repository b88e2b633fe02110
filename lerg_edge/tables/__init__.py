"""Tables of embeddings that were trained elsewhere: reading them, whatever library wrote them."""

from __future__ import annotations

from lerg_edge.tables.given import GivenTables
from lerg_edge.tables.reading import read_model, read_tables

__all__ = ["GivenTables", "read_model", "read_tables"]
