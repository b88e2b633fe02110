"""Interactions beside given tables: what is measured on where nothing is trained. Importing this is cheap."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from lerg_edge.data.interactions import Dataset, SplitReport
from lerg_exporter.exporting.reading import ReadingOptions

__all__ = ["pairs_to_measure_on", "split_of_given"]


def split_of_given(source: str, reading: ReadingOptions) -> str:
    """How interactions are split: what is cut out of them now, the tables have been trained on already.

    So a test set is one that is given, beside the source or by name; others must be asked for.
    """
    if reading.split != "auto":
        return reading.split
    folder = Path(source)
    beside = os.path.isdir(folder) and any((folder / name).exists() for name in ("test.txt", "test.txt.gz"))
    return "given" if beside or reading.test is not None else "none"


def pairs_to_measure_on(test: Dataset) -> Dataset:
    """Test pairs alone: nobody has seen anything, and nothing can be chosen by what they have touched."""
    pairs = test.train
    nothing = pairs.subset(np.zeros(pairs.pair_count, bool))
    split = SplitReport(kind="given", reason="a test set alone is there")
    return replace(test, train=nothing, test=pairs, split=split)
