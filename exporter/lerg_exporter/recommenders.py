"""The base recommenders that a codebook can be pretrained for, as what they change in the trainer's options.

Importing this is cheap. On a device every one of them is fine-tuned by BPR.
"""

from __future__ import annotations

__all__ = ["RECOMMENDERS", "default_layers"]

RECOMMENDERS = ("lightgcn", "mf")
_LAYERS = 3


def default_layers(recommender: str) -> int:
    """Layers of propagation: 3, and none for matrix factorisation."""
    return 0 if recommender == "mf" else _LAYERS
