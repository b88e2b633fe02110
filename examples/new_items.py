"""Items that nobody has touched: an export that maps features to rows, and a device that adds two items.

python examples/new_items.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from lerg_edge import read_dataset
from lerg_exporter import ExportOptions, export
from lerg_runtime import Recommender

# The demo's own features; a file such as movies.csv with the columns item, genres and year does as well.
dataset = read_dataset("demo", item_features="demo")
bundle = Path(sys.argv[1]) / "bundle"
report = export(dataset, bundle, ExportOptions(dim=32, epochs=8, finetune_epochs=0))
tried = report.manifest.document["training"]["features"]
best = max(tried["ndcg@20"].values())
print(f"hidden items are ranked with an NDCG@20 of {best:.2f}; by chance it is {tried['chance']:.2f}")

with Recommender.open(bundle, memory_budget="64MiB") as rec:
    liked, _ = rec.recommend("user-0001", k=1)
    genres = dataset.features.columns[0].texts[rec.item_ids.index(liked[0])] if dataset.features else ()
    rec.add_item("brand-new", features={"genres": list(genres) or ["genre-01"], "year": 2024})
    rec.add_item("hot", users=["user-0001", "user-0002", "user-0003"])
    rec.save()

with Recommender.open(bundle) as rec:
    print("added:", ", ".join(map(str, rec.added_items)))
    print("like brand-new:", ", ".join(map(str, rec.similar_items("brand-new", k=3)[0])))
    place = rec.recommend("user-0001", k=len(rec.item_ids))[0].tolist().index("brand-new") + 1
    print(f"brand-new is number {place} of {len(rec.item_ids)} for user-0001")
