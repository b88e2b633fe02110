"""What several tests compare with, and how they tamper with bundles."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _tiny import TinyModel, tiny_manifest
from scipy import sparse

from lerg_runtime.bundle import BundleFolder, pack
from lerg_runtime.bundle._arrays import array_bytes, read_arrays
from lerg_runtime.bundle._checksums import render_checksums


def by_definition(top: list[list[int]], relevant: list[set[int]], k: int) -> tuple[float, float]:
    """Recall and NDCG at k, averaged over users, one ranking at a time."""
    recalls, gains = [], []
    for row, wanted in zip(top, relevant, strict=True):
        hits = [position for position, item in enumerate(row[:k]) if item in wanted]
        recalls.append(len(hits) / len(wanted))
        ideal = sum(1 / math.log2(position + 2) for position in range(min(k, len(wanted))))
        gains.append(sum(1 / math.log2(position + 2) for position in hits) / ideal)
    return sum(recalls) / len(recalls), sum(gains) / len(gains)


def reseal(folder: Path) -> None:
    """Make sizes, checksums and state fit changed files, as a hostile maker of bundles would."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"] = {name: (folder / name).stat().st_size for name in manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    names = (*manifest["files"], "manifest.json")
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    listing = render_checksums(digests)
    (folder / "SHA256SUMS").write_bytes(listing)
    state = read_arrays((folder / "state.bin").read_bytes()[32:])
    state["bundle"] = np.frombuffer(hashlib.sha256(listing).digest(), np.uint8)
    content = array_bytes(state)
    (folder / "state.bin").write_bytes(hashlib.sha256(content).digest() + content)


def unpack(folder: Path) -> Path:
    """Store the program of a bundle as it is, and give its path."""
    program = folder / "model.pte"
    if not program.exists():
        data = BundleFolder.open(folder).read_program().tobytes()
        program.write_bytes(data)
        (folder / "program.arrays").unlink()
        manifest = json.loads((folder / "manifest.json").read_bytes())
        del manifest["files"]["program.arrays"]
        manifest["files"]["model.pte"] = len(data)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        reseal(folder)
    return program


def parts(model: TinyModel) -> dict[str, Any]:
    """Arguments of `write_bundle` whose program is none."""
    return {
        "manifest": tiny_manifest(model),
        "program": b"program",
        "user_ids": list(range(model.users)),
        "item_ids": list(range(model.items)),
        "retained_users": model.retained_users,
        "retained_items": model.retained_items,
        "user_placeholder": model.user_placeholder,
        "item_placeholder": model.item_placeholder,
        "interactions": model.pairs,
        "codebook": pack(model.codebook, bits=model.bits),
        "step": model.step,
        "golden": {},
    }


def item_rows(model: TinyModel) -> np.ndarray:
    quantised = model.codebook.astype(np.float64) * model.step.astype(np.float64).reshape(-1, 1)
    return np.concatenate([model.item_rows @ quantised, model.item_places])[model.slots("item")]


def history_scores(model: TinyModel, history: Sequence[int]) -> np.ndarray:
    """float64 [I]: the scores of somebody who joins the graph with these items."""
    graph = sparse.csr_matrix(
        np.vstack([model.seen(), np.isin(np.arange(model.items), history)]), dtype=float
    )
    user, items = 1 / np.sqrt(len(set(history))), 1 / np.sqrt(graph.sum(0).A1)
    rows = item_rows(model)
    return (graph[-1] @ sparse.diags(items) @ rows * user)[0] @ rows.T


def metric_of(model: TinyModel, ridge: float) -> np.ndarray:
    """float64 [d, d]: by its closed form, over all items."""
    rows = item_rows(model)
    gram = rows.T @ rows
    scale = np.trace(gram) / model.dim
    metric: np.ndarray = scale * np.linalg.inv(gram + ridge * scale * np.eye(model.dim))
    return metric
