"""The map from features of items to the rows of a bundle, as a device takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Dataset
from lerg_edge.features.encoding import Encoding
from lerg_edge.features.mapping import FeatureMap as FittedMap
from lerg_edge.features.mapping import choose_map
from lerg_exporter.exporting.progress import Progress
from lerg_runtime import Recommender
from lerg_runtime.bundle import FeatureColumn, FeatureMap
from lerg_runtime.bundle.parts import feature_file

__all__ = ["MappedFeatures", "map_features", "most_feature_bytes"]

_PLACE_BYTES = 12  # scale, mean and deviation
_TEXT_BYTES = 2  # the length of a value
_OVERHEAD_BYTES = 2_048  # of the file, and what the manifest says of the columns


@dataclass(frozen=True, slots=True, eq=False)
class MappedFeatures:
    """What became of the features of a data set.

    Attributes:
        found: the map; None where hidden items were ranked no better than by chance.
        described: what was tried, for the manifest.
    """

    found: FeatureMap | None
    described: dict[str, Any]

    @property
    def stored_bytes(self) -> int:
        """Bytes of the map in a bundle, what the manifest says of its columns included."""
        return 0 if self.found is None else len(feature_file(self.found)) + _OVERHEAD_BYTES


def map_features(dataset: Dataset, bundle: Path, *, seed: int, tell: Progress) -> MappedFeatures | None:
    """Fit a map to the rows that a bundle ranks by; None for a data set without features.

    Args:
        dataset: what the bundle was made from, in its order.
        bundle: its folder, without a map.
        seed: of what is drawn while the map is chosen.

    Raises:
        InputError: the features cannot be encoded.
    """
    if dataset.features is None:
        return None
    tell.stage("mapping features of items")
    with Recommender.open(bundle) as recommender:
        rows = recommender.item_embeddings()
    found, trial = choose_map(dataset.features, rows, dataset.train.matrix(), seed=seed)
    described = trial.described()
    if found is None:
        chance = f"; by chance it is {trial.chance[0]:.4f}" if trial.scores else ""
        best = f" (NDCG@20 {max(trial.scores.values()):.4f}{chance})" if trial.scores else ""
        tell.note(
            f"the features of {trial.items:,} items do not tell what hidden items are like{best}: the bundle "
            "has no map of them"
        )
        return MappedFeatures(None, described)
    tell.note(
        f"features: NDCG@20 {trial.scores[found.penalty]:.4f} of hidden items, "
        f"by chance {trial.chance[0]:.4f}"
    )
    described |= {"places": found.encoding.size, "gain": round(found.gain, 6)}
    return MappedFeatures(_as_stored(found), described)


def most_feature_bytes(dataset: Dataset, *, dim: int) -> int:
    """Upper bound of what a map of a data set's features takes in a bundle; 0 without features.

    Raises:
        InputError: the features cannot be encoded.
    """
    if dataset.features is None:
        return 0
    encoding = Encoding.of(dataset.features)
    texts = sum(len(value.encode()) + _TEXT_BYTES for column in encoding.columns for value in column.values)
    return encoding.size * (dim + _PLACE_BYTES) + texts + 4 * dim + _OVERHEAD_BYTES


def _as_stored(fitted: FittedMap) -> FeatureMap:
    columns = fitted.encoding.columns
    nothing = np.empty(0, dtype=np.float32)
    numeric = [column for column in columns if column.means is not None]
    return FeatureMap(
        tuple(FeatureColumn(column.name, column.kind, column.size) for column in columns),
        tuple(column.values for column in columns if column.means is None),
        np.concatenate([nothing, *(column.means for column in numeric if column.means is not None)]),
        np.concatenate(
            [nothing, *(column.deviations for column in numeric if column.deviations is not None)]
        ),
        fitted.weights,
        fitted.scales,
        fitted.offset,
    )
