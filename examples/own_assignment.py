"""An assignment of one's own: the codes whose centres are nearest in the graph's spectrum.

An assignment is an `AssignmentKind`: a function that gives every entity its codes, and what suits a codebook
for them. Name its file and the record:

    lerg-export run demo -o bundle --assignment examples/own_assignment.py:NEAREST_CENTRES

The function sees the pairs that training sees (`split.train`), and none that validation asks for.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import svds
from sklearn.cluster import KMeans

from lerg_edge.codes.assignment import Assignment
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.training.options import TrainingOptions
from lerg_exporter import AssignmentKind


def nearest_centres(
    split: ValidationSplit,
    training: TrainingOptions,
    *,
    codebook_rows: int,
    codes_per_entity: int,
    anchor_weight: float,
) -> Assignment:
    """Cluster the graph's singular vectors by k-means; an entity's anchor is the nearest centre's code."""
    graph = normalised_bipartite(split.train)
    width = min(16, min(graph.shape) - 1)
    users, strengths, items = svds(graph, k=width, v0=np.ones(min(graph.shape)))
    rows = np.concatenate([users, items.T]) * strengths
    centres = KMeans(codebook_rows, n_init=1, random_state=training.seed).fit(rows)
    nearest = np.argsort(centres.transform(rows), axis=1, kind="stable")[:, :codes_per_entity]
    return Assignment(nearest.astype(np.int32), codebook_rows, anchor_weight)


NEAREST_CENTRES = AssignmentKind(
    assign=nearest_centres, codes_per_entity=2, reads=("codes_per_entity", "anchor_weight")
)
