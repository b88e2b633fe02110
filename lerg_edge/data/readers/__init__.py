"""Reading interactions: a folder, one file in any of the known forms, or the built-in demo."""

from __future__ import annotations

from lerg_edge.data.interactions import Dataset
from lerg_edge.data.readers._api import read_dataset, read_interactions
from lerg_edge.data.readers._features import read_features
from lerg_edge.data.readers._rows import BadRow
from lerg_edge.data.readers._titles import read_titles

__all__ = ["BadRow", "Dataset", "read_dataset", "read_features", "read_interactions", "read_titles"]
