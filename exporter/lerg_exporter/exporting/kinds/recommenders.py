"""The base recommenders that a codebook can be pretrained for, as what they change in the trainer's options.

Importing this is cheap. On a device every one of them is fine-tuned by BPR.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FULL_TABLE", "RECOMMENDERS", "default_layers"]

RECOMMENDERS = ("lightgcn", "mf", "xsimgcl")
_LAYERS = 3

# Fields of `lerg_edge.training.options.TrainingOptions` that suit a full table of a recommender, chosen on
# lastfm's validation pairs at d = 64. Without propagation a table overfits sooner: NDCG@20 0.135 with the
# penalty and the rate that suit codes, 0.144 with this penalty, 0.146 with this rate too. For LightGCN see
# `lerg_edge.assigning.product.teacher_options`.
FULL_TABLE: Mapping[str, Mapping[str, Any]] = {
    "mf": {"learning_rate": 0.01, "l2": 1e-2},
    "xsimgcl": {"learning_rate": 0.01, "l2": 1e-3},
}


def default_layers(recommender: str, *, lightgcn: int) -> int:
    """Layers of propagation: none for matrix factorisation, 3 for XSimGCL, else as many as LightGCN has."""
    return {"mf": 0, "xsimgcl": _LAYERS}.get(recommender, lightgcn)
