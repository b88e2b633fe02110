"""What the tests of studies share: a small file, data for it, and a record as a run leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.small_bundle import small_dataset

__all__ = ["STUDY", "record", "write_data", "write_study"]

STUDY = """
name = "small"
title = "A small study"
about = "Does retention matter?"
data = ["tiny"]

[base]
assignment = "metis"
bits = 8
dim = 8
codebook_rows = 24
placeholders = 8
batch = 128
epochs = 2
finetune_epochs = 0
device = "cpu"

[grid]
retention = [0.7, 0.4]

[quick]
data = ["tiny"]
[quick.grid]
retention = [0.7]

[[plot]]
name = "ndcg"
x = "retention"
y = "ndcg@20"
"""


def write_study(folder: Path, text: str = STUDY) -> Path:
    """A study's file in `folder`."""
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def write_data(folder: Path, name: str = "tiny") -> Path:
    """`folder/data` with a generated set of that name: 80 users and 60 items with train.txt and test.txt."""
    dataset = small_dataset(80, 60, 900)
    assert dataset.test is not None
    place = folder / "data" / name
    place.mkdir(parents=True)
    for file, pairs in (("train.txt", dataset.train), ("test.txt", dataset.test)):
        matrix = pairs.matrix()
        lines = [" ".join(map(str, [user, *matrix[user].indices])) for user in range(matrix.shape[0])]
        (place / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "data"


def record(options: ExportOptions, *, ndcg: float = 0.2) -> dict[str, Any]:
    """A record as `record_of` makes it, with an accuracy of one's own."""
    from dataclasses import asdict

    score = {"ndcg@20": ndcg, "recall@20": 1.5 * ndcg, "users": 70}
    return {
        "data": {
            "name": "tiny",
            "users": 80,
            "items": 60,
            "pairs": 720,
            "test_pairs": 180,
            "density": 0.15,
        },
        "options": asdict(options),
        "plan": {
            "codebook_rows": options.codebook_rows or 24,
            "retention": options.retention or 0.7,
            "placeholders": 8,
            "batch": 128,
            "negative_candidates": 1,
            "memory_bytes": 1,
            "storage_bytes": 1,
            "entries": 0,
        },
        "metrics": {"before_pruning": {**score, "ndcg@20": ndcg + 0.01}, "rewired": score},
        "validation": {"pretraining": 0.15, "finetuning": None},
        "pretraining": {"epochs": 2, "best_epoch": 2, "trained_now": 0, "epoch_s": None},
        "serving": {"pruned_users": "placeholder"},
        "model": {"edges": 360, "retained_users": 50, "retained_items": 40},
        "storage": {"embedding_bytes": 1024, "baseline_bytes": 71680, "bundle_bytes": 35840},
        "programs": {"finetune": 4096, "encode": 2048, "recommend": 1024},
        "plan_bytes": {"open": 1, "encode": 2, "recommend": 3, "finetune": 4, "peak": 4},
        "macs": {"full": 1000, "rewired": 500},
        "training": {
            "selection": {"value": 5.0, "relaxation_value": 5.0, "rounded_value": 5.0, "gap": 0.0},
            "rewiring": {"removed": 400, "added": 40, "isolated": 0},
        },
        "trainable_pairs": 300,
        "device": {
            "latency_ms": {"finetune": 2.0, "encode": 1.0, "recommend": 0.5},
            "peak_rss_bytes": 5_000_000,
            "baseline_rss_bytes": 4_000_000,
        },
        "seconds": {"all": 3.0},
        "machine": {"architecture": "abc64", "instruction_set": "wide", "cores": 2, "torch": "9.9"},
    }
