"""A small bundle of generated data, in seconds: for tests, examples and measurements."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from lerg_edge.data.interactions import Dataset, IdMap, Interactions
from lerg_edge.data.splits import cut
from lerg_edge.data.synthetic import generate
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.pipeline import export
from lerg_exporter.programs.choice import LOWERINGS

__all__ = ["build_bundle", "small_dataset"]


def build_bundle(
    folder: str | os.PathLike[str],
    *,
    users: int = 120,
    items: int = 90,
    interactions: int = 1_500,
    text_ids: bool = False,
    bits: int = 8,
    dim: int = 16,
    codebook_rows: int = 32,
    retention: float = 0.7,
    placeholders: int = 12,
    batch: int = 256,
    epochs: int = 3,
    finetune_epochs: int = 0,
    seed: int = 0,
    item_table: str = "float32",
    layer_storage: str = "float32",
    propagation: str = "graph",
    lowering: str = "native",
    pruned_users: str = "history",
) -> Path:
    """Export a bundle of generated interactions; every stage of an export runs, each briefly.

    Args:
        folder: where; must not exist.
        users, items, interactions: of the generated set, a fifth of which is held out for the metrics.
        text_ids: ids are texts such as `user-0001` and not integers from 0.
        bits, dim, codebook_rows, retention, placeholders, batch, epochs: see `ExportOptions`.
        finetune_epochs, seed, item_table, layer_storage, propagation, lowering, pruned_users: likewise.

    Returns:
        `folder`.
    """
    options = ExportOptions(
        bits=bits,
        dim=dim,
        codebook_rows=codebook_rows,
        retention=retention,
        placeholders=placeholders,
        batch=batch,
        max_users=min(8, LOWERINGS[lowering].max_users),
        max_k=32,
        epochs=epochs,
        finetune_epochs=finetune_epochs,
        seed=seed,
        device="cpu",
        item_table=item_table,
        layer_storage=layer_storage,
        propagation=propagation,
        lowering=lowering,
        pruned_users=pruned_users,
    )
    dataset = small_dataset(users, items, interactions, text_ids=text_ids, seed=seed)
    return export(dataset, folder, options).path


def small_dataset(
    users: int, items: int, interactions: int, *, text_ids: bool = False, seed: int = 0
) -> Dataset:
    """Generated interactions in six communities, a fifth held out as test pairs."""
    made = generate(users, items, interactions, communities=min(6, users, items), seed=seed)
    if text_ids:
        made = _with_text_ids(made)
    return cut(made, "ratio", share=0.2, seed=seed)


def _with_text_ids(made: Interactions) -> Interactions:
    names = [
        IdMap.from_values(f"{side}-{number:04d}" for number in range(count))
        for side, count in (("user", made.user_count), ("item", made.item_count))
    ]
    return replace(made, user_ids=names[0], item_ids=names[1])
