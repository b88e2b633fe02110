"""The figures of a run: names that a study's file uses, their titles, and where a record holds them.

A record is the JSON object that `lerg_exporter.study._record` makes of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lerg_exporter.programs.choice import PROPAGATIONS
from lerg_runtime.sizes import format_size

__all__ = ["ARRIVAL_COLUMNS", "COLUMNS", "Column", "final_metrics", "shown", "shown_with_spread"]

Record = Mapping[str, Any]
_Read = Callable[[Record], Any]

# How a spread is written; units that are not here are sizes and counts, of which the mean says enough.
_SPREADS = {"score": ".4f", "share": ".1f", "seconds": ".1f", "ms": ".2f", "mean": ".1f", "number": ".2g"}
_MODELS = tuple(each.model for each in PROPAGATIONS.values())
_STAGES = ("finetuned", *_MODELS, "before_pruning")


@dataclass(frozen=True, slots=True)
class Column:
    """One figure.

    Attributes:
        title: for tables and axes.
        unit: score, share, bytes, count, seconds, ms, mean, number or text; says how it is printed.
        of: reads it from a record; None where the run has no such figure.
    """

    title: str
    unit: str
    of: Callable[[Record], Any]


def final_metrics(record: Record) -> Mapping[str, Any]:
    """The metrics of the bundle as it was written; empty without a test set."""
    metrics = record["metrics"]
    return next((metrics[stage] for stage in _STAGES if metrics.get(stage)), {})


def shown(value: Any, unit: str) -> str:
    """A figure as text."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if unit == "bytes":
        return format_size(round(value))
    return {
        "score": f"{value:.4f}",
        "share": f"{100 * value:.1f} %",
        "count": f"{value:,.0f}",
        "seconds": f"{value:.1f} s" if value < 100 else f"{value:.0f} s",
        "ms": f"{value:.2f} ms",
        "mean": f"{value:.1f}",
    }.get(unit) or f"{value:.6g}"


def shown_with_spread(mean: float, spread: float | None, unit: str) -> str:
    """A mean and its spread, in the same unit; a spread too small to see, and one of sizes, is left out."""
    text = shown(mean, unit)
    form = _SPREADS.get(unit)
    if spread is None or form is None:
        return text
    beside = f"{100 * spread if unit == 'share' else spread:{form}}"
    if not float(beside):
        return text
    number, space, symbol = text.partition(" ")
    return f"{number} ± {beside}{space}{symbol}"


def _at(*path: str) -> _Read:
    def read(record: Record) -> Any:
        found: Any = record
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    return read


def _ratio(
    numerator: Callable[[Record], Any], denominator: Callable[[Record], Any]
) -> Callable[[Record], Any]:
    def read(record: Record) -> Any:
        above, below = numerator(record), denominator(record)
        return None if above is None or not below else above / below

    return read


def _metric(stage: str, name: str) -> _Read:
    return _at("metrics", stage, name)


def _shaped(name: str) -> _Read:
    """Of the bundle before fine-tuning, of whichever kind its model is."""

    def read(record: Record) -> Any:
        found = (_metric(model, name)(record) for model in _MODELS)
        return next((value for value in found if value is not None), None)

    return read


def _macs(record: Record) -> Any:
    macs = record["macs"]
    return next((macs[model] for model in _MODELS if model in macs), None)


def _finetune_epoch(record: Record) -> Any:
    step = _at("device", "latency_ms", "finetune")(record)
    return None if step is None else step * -(-record["trainable_pairs"] // record["plan"]["batch"]) / 1e3


_baseline = _at("storage", "baseline_bytes")
_selection = ("training", "selection")

COLUMNS: Mapping[str, Column] = {
    "ndcg@20": Column("NDCG@20", "score", lambda record: final_metrics(record).get("ndcg@20")),
    "recall@20": Column("Recall@20", "score", lambda record: final_metrics(record).get("recall@20")),
    "ndcg_before_pruning": Column("NDCG@20 before pruning", "score", _metric("before_pruning", "ndcg@20")),
    "recall_before_pruning": Column(
        "Recall@20 before pruning", "score", _metric("before_pruning", "recall@20")
    ),
    "ndcg_before_finetuning": Column("NDCG@20 before fine-tuning", "score", _shaped("ndcg@20")),
    "recall_before_finetuning": Column("Recall@20 before fine-tuning", "score", _shaped("recall@20")),
    "ndcg_placeholders_only": Column(
        "NDCG@20, pruned by placeholder", "score", _metric("placeholders_only", "ndcg@20")
    ),
    "ndcg_with_history": Column("NDCG@20, pruned by history", "score", _metric("with_history", "ndcg@20")),
    "ndcg_finetuned": Column("NDCG@20 fine-tuned", "score", _metric("finetuned", "ndcg@20")),
    "validation_ndcg": Column("validation NDCG@20, pretraining", "score", _at("validation", "pretraining")),
    "validation_ndcg_finetuned": Column(
        "validation NDCG@20, fine-tuned", "score", _at("validation", "finetuning")
    ),
    "embedding_bytes": Column("embedding storage", "bytes", _at("storage", "embedding_bytes")),
    "embedding_share": Column(
        "embedding storage, of full table", "share", _ratio(_at("storage", "embedding_bytes"), _baseline)
    ),
    "bundle_bytes": Column("bundle", "bytes", _at("storage", "bundle_bytes")),
    "bundle_share": Column(
        "bundle, of full table", "share", _ratio(_at("storage", "bundle_bytes"), _baseline)
    ),
    "finetune_bytes": Column("planned memory of finetune", "bytes", _at("programs", "finetune")),
    "encode_bytes": Column("planned memory of encode", "bytes", _at("programs", "encode")),
    "recommend_bytes": Column("planned memory of recommend", "bytes", _at("programs", "recommend")),
    "plan_bytes": Column("memory plan, peak", "bytes", _at("plan_bytes", "peak")),
    "recommend_plan_bytes": Column("memory plan, recommending", "bytes", _at("plan_bytes", "recommend")),
    "finetune_plan_bytes": Column("memory plan, fine-tuning", "bytes", _at("plan_bytes", "finetune")),
    "rss_bytes": Column(
        "resident memory of the device process, peak", "bytes", _at("device", "peak_rss_bytes")
    ),
    "macs": Column("MACs of a propagation", "count", _macs),
    "macs_full": Column("MACs on the full graph", "count", _at("macs", "full")),
    "macs_share": Column("MACs, of full graph", "share", _ratio(_macs, _at("macs", "full"))),
    "edges": Column("edges kept", "count", _at("model", "edges")),
    "edges_share": Column("edges kept, of all", "share", _ratio(_at("model", "edges"), _at("data", "pairs"))),
    "edges_added": Column("edges added by rewiring", "count", _at("training", "rewiring", "added")),
    "kept_users": Column("users kept", "count", _at("model", "retained_users")),
    "kept_items": Column("items kept", "count", _at("model", "retained_items")),
    "isolated": Column("retained without an edge", "count", _at("training", "rewiring", "isolated")),
    "users": Column("users", "count", _at("data", "users")),
    "items": Column("items", "count", _at("data", "items")),
    "pairs": Column("training pairs", "count", _at("data", "pairs")),
    "density": Column("density", "number", _at("data", "density")),
    "selected_by": Column("selected by", "text", _at(*_selection, "method")),
    "selection_value": Column("value of the selection", "number", _at(*_selection, "value")),
    "relaxation_value": Column("value of the relaxation", "number", _at(*_selection, "relaxation_value")),
    "rounded_value": Column("value once rounded", "number", _at(*_selection, "rounded_value")),
    "rounded_count": Column("entities once rounded", "count", _at(*_selection, "rounded_count")),
    "fractional": Column("fractional in the relaxation", "count", _at(*_selection, "fractional")),
    "gap": Column("gap to the relaxation", "number", _at(*_selection, "gap")),
    "degree_sum": Column("sum of degrees kept", "count", _at(*_selection, "degree_sum")),
    "pretraining_epochs": Column("epochs of pretraining", "count", _at("pretraining", "epochs")),
    "best_epoch": Column("best epoch of pretraining", "count", _at("pretraining", "best_epoch")),
    "epoch_s": Column("epoch of pretraining", "seconds", _at("pretraining", "epoch_s")),
    "finetune_epoch_s": Column("epoch of fine-tuning, its steps alone", "seconds", _finetune_epoch),
    "finetune_ms": Column("fine-tuning step", "ms", _at("device", "latency_ms", "finetune")),
    "encode_ms": Column("encoding", "ms", _at("device", "latency_ms", "encode")),
    "recommend_ms": Column("recommending for one user", "ms", _at("device", "latency_ms", "recommend")),
    "seconds": Column("time of the run", "seconds", _at("seconds", "all")),
}

ARRIVAL_COLUMNS: Mapping[str, Column] = {
    "way": Column("way", "text", lambda record: None),
    "step": Column("step", "count", lambda record: None),
    "history_share": Column("part of the history", "share", lambda record: None),
    "history": Column("pairs known, mean", "mean", lambda record: None),
    "arrivals": Column("arrivals", "count", lambda record: None),
}
"""What the rows of the arrivals' protocol have beside these; see `lerg_exporter.study._table`."""
