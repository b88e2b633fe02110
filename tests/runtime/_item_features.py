"""A map from item features to rows, for bundles that tests have written without one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from _oracles import reseal

from lerg_runtime.bundle import FeatureColumn, FeatureMap
from lerg_runtime.bundle._features import FEATURES_FILE, feature_file

GENRES = ("Crime", "Drama", "Sci-Fi", "七人")
COLUMNS = (
    FeatureColumn("genres", "category", len(GENRES)),
    FeatureColumn("year", "number", 1),
    FeatureColumn("text", "vector", 3),
    FeatureColumn("studio", "category", 2),
)
VALUES = (GENRES, ("A", "B"))


def feature_map(dim: int, *, seed: int = 0) -> FeatureMap:
    """Two categories, a number and a vector, with weights of the size of rows."""
    rng = np.random.default_rng(seed)
    places = sum(column.size for column in COLUMNS)
    return FeatureMap(
        COLUMNS,
        VALUES,
        means=np.array([1990, 0.1, 0.2, 0.3], dtype=np.float32),
        deviations=np.array([10, 2, 2, 2], dtype=np.float32),
        weights=rng.integers(-127, 128, size=(places, dim)).astype(np.int8),
        scales=rng.uniform(0.001, 0.01, size=places).astype(np.float32),
        offset=rng.normal(scale=0.1, size=dim).astype(np.float32),
    )


def expected_row(found: FeatureMap, vector: list[float]) -> np.ndarray:
    """The row of an encoded vector by dense algebra, float64 [d]."""
    weights = found.weights.astype(np.float64) * found.scales[:, None]
    row: np.ndarray = np.array(vector) @ weights + found.offset
    return row


def give_features(folder: Path, found: FeatureMap) -> Path:
    """Put a map into a bundle, as an exporter would have."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    manifest["features"] = {"columns": [asdict(column) for column in found.columns]}
    manifest["files"][FEATURES_FILE] = 0
    (folder / FEATURES_FILE).write_bytes(feature_file(found))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    reseal(folder)
    return folder
