"""Folded against graph propagation: NDCG@20 and bytes at several k, through exported programs.

    python -m benchmarks.folded_accuracy FOLDER --work-dir DIR [--entries 8 --entries 16 ...]

FOLDER holds train.txt and test.txt. It trains, so it is run by hand; the work folder keeps the pretrained
model, which all rows share. Test accuracy is for the report: nothing is chosen by it. The last rows fold
without sparse approximation: the k largest entries of P, and a codebook trained on them from the start.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lerg_edge.data.interactions import Dataset
from lerg_edge.data.readers import read_dataset
from lerg_edge.folding.matrix import largest_entries
from lerg_edge.folding.training import train_codebook
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.training.pretraining import assign, validation_cut
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.pipeline import export
from lerg_exporter.exporting.stages import training_options

__all__ = ["main"]


def main() -> None:
    """Export every variant and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--entries", type=int, action="append", help="default: 4, 8, 16, 32, 64 and 128")
    parser.add_argument("--largest", type=int, action="append", metavar="K", help="of P, for comparison")
    parser.add_argument("--codes", type=int)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--retention", type=float, default=0.7)
    parser.add_argument("--finetune-epochs", type=int, help="default: that of an export")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    given = parser.parse_args()
    dataset = read_dataset(given.data)
    # What the page was measured with; the defaults of an export may change.
    options = ExportOptions(
        assignment="metis",
        selector="bip",
        pruned_users="placeholder",
        bits=given.bits,
        codebook_rows=given.codebook_rows,
        retention=given.retention,
        finetune_epochs=given.finetune_epochs,
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for entries in (0, *(given.entries or (4, 8, 16, 32, 64, 128))):
            chosen = replace(options, propagation="folded", entries=entries) if entries else options
            began = time.perf_counter()
            report = export(dataset, Path(folder) / str(entries), chosen, work_dir=given.work_dir)
            rows.append({**_row(report.manifest.document), "seconds": round(time.perf_counter() - began)})
            print(_line(rows[-1], rows[0]), flush=True)
        folded_codes = rows[-1]["codebook_rows"]
        for entries in given.largest or ():
            ndcg = _largest(dataset, replace(options, entries=entries), codebook_rows=folded_codes)
            rows.append({"propagation": "largest entries of P", "entries": entries, "ndcg": ndcg})
            share = 100 * ndcg / rows[0]["ndcg"]
            print(
                f"largest entries of P, k = {entries}: NDCG@20 {ndcg:.4f} ({share:.1f} %), nobody pruned",
                flush=True,
            )
    if given.output:
        given.output.write_text(json.dumps(rows, indent=1) + "\n")


def _largest(dataset: Dataset, options: ExportOptions, *, codebook_rows: int) -> float:
    """Truncated P trained in that form, nobody pruned; the test's rows come from the full graph's P."""
    training, train, test = (
        training_options(options, pairs=dataset.train.pair_count),
        dataset.train,
        dataset.test,
    )
    if test is None:
        raise SystemExit("there is no test set")
    matrix = train.matrix()
    assignment = assign(train, training, codebook_rows=codebook_rows)
    fit, full = (
        largest_entries(graph, assignment, layers=options.layers, entries=options.entries)
        for graph in (validation_cut(matrix, training).train, matrix)
    )
    table = full.compose(train_codebook(train, fit, training).quantised())
    users = train.user_count
    return evaluate_embeddings(table[:users], table[users:], matrix, test.matrix()).ndcg


def _row(document: dict[str, Any]) -> dict[str, Any]:
    """What is compared, from a manifest."""
    model, storage = document["model"], document["storage"]
    items, metrics = storage["items"], document["metrics"]
    shaped = "folded" if "entries" in model else "rewired"
    retained = model["retained_users"] + model["retained_items"]
    index = 1 if model["retained_items"] <= 1 << 8 else 2 if model["retained_items"] <= 1 << 16 else 4
    graph = 4 * (model["retained_users"] + 1) + index * model.get("edges", 0) if shaped == "rewired" else 0
    planned = {program["method"]: program["planned_bytes"] for program in document["methods"]}
    return {
        "propagation": document["propagation"],
        "entries": model.get("entries", 0),
        "codebook_rows": model["codebook_rows"],
        "retained": retained,
        "ndcg_before_pruning": metrics["before_pruning"]["ndcg@20"],
        "ndcg_untuned": metrics[shaped]["ndcg@20"],
        "ndcg": metrics.get("finetuned", metrics[shaped])["ndcg@20"],
        "squared_error": document["training"].get("folding", {}).get("squared_error"),
        "row_bytes": items["assignment"] + items["assignment_weights"] + graph,
        "codebook_bytes": items["codebook"],
        "bundle_bytes": storage["bundle_bytes"],
        "finetune_bytes": planned["finetune"],
        "encode_bytes": planned["encode"],
    }


def _line(row: dict[str, Any], graph: dict[str, Any]) -> str:
    name = f"folded, k = {row['entries']}" if row["entries"] else "graph"
    return (
        f"{name:16} {row['codes']:6} codes  NDCG@20 {row['ndcg_untuned']:.4f}, tuned {row['ndcg']:.4f} "
        f"({100 * row['ndcg'] / graph['ndcg']:.1f} %)  rows or graph {row['row_bytes']:9,} bytes "
        f"({100 * row['row_bytes'] / graph['row_bytes']:.0f} %)  bundle {row['bundle_bytes']:9,}  "
        f"finetune {row['finetune_bytes'] / 1e6:.1f} MB  {row['seconds']} s"
    )


if __name__ == "__main__":
    main()
