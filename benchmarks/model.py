"""A model to time: gowalla's graph where it is there, else a generated one of its size; random weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lerg_edge import Interactions, read_dataset
from lerg_edge.data.synthetic import generate
from lerg_edge.pruning.placeholders import build_placeholders
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_edge.pruning.rewiring import rewire
from lerg_edge.selection import SelectionProblem, select


def gowalla_or_generated() -> tuple[str, Interactions]:
    """Gowalla's training pairs from `LERG_DATA` or ../shared/data, else generated ones of the same size."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LERG_DATA", beside)) / "gowalla"
    if (folder / "train.txt").exists():
        return "gowalla", read_dataset(folder).train
    print(f"no gowalla in {folder}: a generated graph of its size is used")
    return "generated", generate(29_858, 40_981, 810_128, communities=200, seed=0)


def random_model(
    interactions: Interactions, *, dim: int, codebook_rows: int, retention: float
) -> RewiredModel:
    """Random codes and weights over the graph that degree selection and rewiring leave."""
    random = np.random.default_rng(0)
    entities = interactions.user_count + interactions.item_count
    embeddings = random.standard_normal((entities, dim), dtype=np.float32)
    matrix = interactions.matrix()
    problem = SelectionProblem.at_retention(matrix, embeddings, retention=retention)
    retained = select(problem, selector="degree").retained
    return RewiredModel(
        user_count=interactions.user_count,
        item_count=interactions.item_count,
        assignment=random.integers(0, codebook_rows, (entities, 2)).astype(np.int32),
        anchor_weight=0.9,
        codebook_rows=codebook_rows,
        codebook=0.1 * random.standard_normal((codebook_rows, dim), dtype=np.float32),
        step=np.full(1, 0.005, np.float32),
        bits=8,
        layers=3,
        retained=retained,
        graph=rewire(matrix, retained, embeddings).matrix,
        placeholders=build_placeholders(
            embeddings, retained, user_count=interactions.user_count, count=500, bits=8
        ),
    )
