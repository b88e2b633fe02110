"""What makes the model of each propagation: a new propagation is one entry here, and its file."""

from __future__ import annotations

from collections.abc import Callable

from lerg_exporter.exporting.folding import Folding
from lerg_exporter.exporting.rewiring import Rewiring
from lerg_exporter.exporting.shaping import Given, Shaping

__all__ = ["SHAPINGS"]

SHAPINGS: dict[str, Callable[[Given], Shaping]] = {"graph": Rewiring, "folded": Folding}
