"""The tables that an export ends with and `inspect` shows, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lerg_runtime.sizes import format_size

__all__ = ["Rows", "accuracy_rows", "cost_rows", "program_rows", "size_rows"]

Rows = list[Sequence[str]]

_STAGES = (
    ("before_pruning", "before pruning"),
    ("rewired", "after rewiring"),
    ("finetuned", "after fine-tuning"),
)


def accuracy_rows(manifest: Mapping[str, Any]) -> Rows:
    """NDCG@20 and Recall@20 by stage; empty when nothing was measured."""
    rows = [
        (title, f"{metrics['ndcg@20']:.4f}", f"{metrics['recall@20']:.4f}")
        for name, title in _STAGES
        if (metrics := manifest["metrics"].get(name))
    ]
    return [("accuracy", "NDCG@20", "Recall@20"), *rows] if rows else []


def size_rows(storage: Mapping[str, Any]) -> Rows:
    """Embedding storage and bundle against the full table."""
    baseline = storage["baseline_bytes"]
    entries = (
        (f"full table, {storage['reference_dim']} float32", baseline),
        ("embedding storage", storage["embedding_bytes"]),
        ("bundle, all files", storage["bundle_bytes"]),
    )
    rows = [(title, f"{size:,}", f"{100 * size / baseline:.2f} %") for title, size in entries]
    return [("size", "bytes", "of full table"), *rows]


def program_rows(programs: Sequence[Mapping[str, Any]]) -> Rows:
    """Planned memory of each program: what ExecuTorch plans, and what its kernels take."""
    rows = [
        (
            program["method"],
            format_size(program["planned_bytes"]),
            format_size(sum(program["arena_bytes"])),
            format_size(program["scratch_bytes"]),
        )
        for program in programs
    ]
    return [("program", "planned", "arena", "scratch"), *rows]


def cost_rows(macs: Mapping[str, int]) -> Rows:
    """Multiply-accumulates of one propagation, before and after."""
    full, rewired = macs["full"], macs["rewired"]
    share = f"{100 * rewired / full:.1f} %" if full else "-"
    return [
        ("one propagation", "MACs", "of full graph"),
        ("full graph", f"{full:,}", "100.0 %"),
        ("rewired graph", f"{rewired:,}", share),
    ]
