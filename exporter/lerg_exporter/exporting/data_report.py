"""What an export says of its data: what was read, how it was split, and what counts as seen."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Dataset, Interactions

__all__ = ["described_data", "seen_beside"]

_ROLES = ("user", "item", "rating", "timestamp")
_LONGEST_NAME = 256


def seen_beside(dataset: Dataset) -> dict[str, Interactions]:
    """What counts as seen beside the training pairs, by the names that a bundle has for it."""
    sets = {"held_out": dataset.held_out, "disliked": dataset.disliked}
    return {name: pairs for name, pairs in sets.items() if pairs is not None and pairs.pair_count}


def _short(name: str | None) -> str | None:
    """A column's name if a manifest can hold it."""
    return name if name is not None and len(name) <= _LONGEST_NAME else None


def described_data(dataset: Dataset, *, refitted: bool = False) -> dict[str, Any]:
    """What was read, how it was split, and what the shipped model was trained on.

    All is for people but `columns`, by which a device finds its way in files of the same make.

    Args:
        dataset: as it was split, before pairs that were held out are put back.
        refitted: the shipped model was trained on everything.
    """
    report = dataset.train.report
    described: dict[str, Any] = {
        "form": report.form,
        "columns": {role: _short(report.columns.get(role)) for role in _ROLES},
        "timestamp_unit": report.timestamp_unit,
        "rows_read": report.rows_read,
        "duplicates_merged": report.duplicates_merged,
        "bad_rows_skipped": report.bad_rows_skipped,
        "rating_threshold": dataset.rating_threshold,
        "below_threshold": report.below_threshold,
        "disliked_pairs": dataset.disliked.pair_count if dataset.disliked else 0,
        "trained_on": "everything" if refitted else "train",
        "split": {"kind": "none", "reason": "there is no test set"},
    }
    if dataset.split is not None:
        found = asdict(dataset.split)
        described["split"] = {name: value for name, value in found.items() if value is not None}
    elif dataset.test is not None:
        described["split"] = {"kind": "given", "reason": "there is a test set"}
    if dataset.test is not None:
        described["split"] |= {
            "test_pairs": dataset.test.pair_count,
            "test_users": len(np.unique(dataset.test.users)),
            "pairs_in_both": dataset.pairs_in_both,
        }
    if dataset.titles is not None:
        described["titles"] = {"items": dataset.titles.titled, "unknown": dataset.titles.unknown}
    if dataset.features is not None:
        features = dataset.features
        described["features"] = {
            "items": int(features.known.sum()),
            "unknown": features.unknown,
            "columns": {column.name: column.kind for column in features.columns},
        }
    described["split"]["train_pairs"] = dataset.train.pair_count
    if refitted and dataset.test is not None:
        described["metrics_of"] = "the model that was trained on the training pairs of the split alone"
    return described
