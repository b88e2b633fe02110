"""A selector of one's own: keep the entities that reach the most others within two hops.

A selector is a function from a `SelectionProblem` to a `Selection`. Name its file and the
function, and the exporter runs it in place of the default:

    lerg-export run demo -o bundle --set selector=examples/own_selector.py:two_hop_reach

It states how much it wants each entity; `select_by_score` keeps exactly as many as the retention asks for and
holds the side constraints (floors, must-keep lists, the ceiling on edges).
"""

from __future__ import annotations

import numpy as np

from lerg_edge.selection import Selection, SelectionProblem, select_by_score


def two_hop_reach(problem: SelectionProblem) -> Selection:
    """Score each entity by the degrees of its neighbours: paths of two hops that begin at it."""
    matrix = problem.matrix
    user_degrees = np.diff(matrix.indptr).astype(np.float64)
    item_degrees = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float64)
    reach = np.concatenate([matrix @ item_degrees, matrix.T @ user_degrees])
    return select_by_score(problem, reach, method="two-hop reach")
