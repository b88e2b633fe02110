"""The tables that an export ends with and `inspect` shows, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lerg_exporter.programs.choice import PROPAGATIONS
from lerg_runtime.sizes import format_size

__all__ = [
    "STAGES",
    "Rows",
    "accuracy_rows",
    "cost_rows",
    "data_sentences",
    "part_rows",
    "program_rows",
    "size_rows",
]

Rows = list[Sequence[str]]

STAGES = (
    ("given", "tables as given"),
    ("compressed", "compressed, through the programs"),
    ("given_on_known", "tables as given, pairs they may know"),
    ("compressed_on_known", "compressed, pairs the tables may know"),
    ("before_pruning", "before pruning"),
    *((each.model, f"after {each.verb}") for each in PROPAGATIONS.values()),
    ("placeholders_only", "  pruned users by placeholder"),
    ("with_history", "  pruned users by history"),
    ("finetuned", "after fine-tuning"),
    ("held_out_people", "people held out of training"),
)
"""What is measured in an export: the name in a manifest, and how to call it."""


def accuracy_rows(manifest: Mapping[str, Any]) -> Rows:
    """NDCG@20 and Recall@20 by stage; empty when nothing was measured."""
    rows = [
        (title, f"{metrics['ndcg@20']:.4f}", f"{metrics['recall@20']:.4f}")
        for name, title in STAGES
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


def part_rows(parts: Mapping[str, Mapping[str, int]]) -> Rows:
    """Every file, the largest first, with its parts; parts below a thousandth of the bundle as one row."""
    total = sum(sum(named.values()) for named in parts.values())
    rows: Rows = [("file and part", "bytes", "of bundle")]
    for file, named in sorted(parts.items(), key=lambda entry: (-sum(entry[1].values()), entry[0])):
        rows.append(_part_row(file, sum(named.values()), total))
        large = {part: size for part, size in named.items() if 1000 * size >= total}
        for part, size in sorted(large.items(), key=lambda entry: (-entry[1], entry[0])):
            rows.append(_part_row(f"  {part}", size, total))
        if len(named) > len(large) > 0:
            small = sum(named.values()) - sum(large.values())
            rows.append(_part_row(f"  {len(named) - len(large)} smaller parts", small, total))
    return [*rows, _part_row("all files", total, total)]


def _part_row(title: str, size: int, total: int) -> Sequence[str]:
    return title, f"{size:,}", f"{100 * size / max(1, total):.2f} %"


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
    full = macs["full"]
    rows = [
        (title, f"{macs[name]:,}", f"{100 * macs[name] / full:.1f} %" if full else "-")
        for name, title in (
            ("full", "full graph"),
            *((each.model, each.model) for each in PROPAGATIONS.values()),
        )
        if name in macs
    ]
    return [("one propagation", "MACs", "of full graph"), *rows]


_CUTS = {
    "given": "the given test set",
    "ratio": "a share of {share:g} of each user's pairs, drawn with seed {seed}",
    "last": "the latest pair of each user",
    "time": "the latest pairs of all, a share of {share:g} at most",
}


_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def data_sentences(data: Mapping[str, Any]) -> list[str]:
    """How the data was split, what counts as seen beside it, and what the shipped model learned from."""
    split, said = data["split"], _read_as(data)
    if split["kind"] == "none":
        said.append(f"Split none: nothing is measured ({split['reason']}).")
    else:
        how = _CUTS[split["kind"]].format(**split)
        said.append(
            f"Split {split['kind']}: {how} ({split['reason']}); {split['test_pairs']:,} test pairs of "
            f"{split['test_users']:,} users, {split['train_pairs']:,} training pairs."
        )
    if split.get("pairs_in_both"):
        said.append(f"{split['pairs_in_both']:,} test pairs are in the data too and are not measured.")
    if split.get("tied_users"):
        said.append(
            f"{split['tied_users']:,} users have several pairs of their latest time; the {split['ties_by']} "
            "decided which is the last."
        )
    if split.get("kept_users"):
        said.append(
            f"{split['kept_users']:,} users have later pairs only and keep the earliest for training."
        )
    if data["rating_threshold"] is not None:
        said.append(
            f"{data['below_threshold']:,} rows are rated below {data['rating_threshold']:g}: "
            f"{data['disliked_pairs']:,} pairs count as seen, and nothing is learned from them."
        )
    if "titles" in data:
        said.append(
            f"{data['titles']['items']:,} items have a title; the file has {data['titles']['unknown']:,} of "
            "items that are not in the data."
        )
    if "features" in data:
        told = data["features"]
        columns = ", ".join(f"{name} ({kind})" for name, kind in told["columns"].items())
        said.append(
            f"{told['items']:,} items have features: {columns}; the file has {told['unknown']:,} items that "
            "are not in the data."
        )
    if data["trained_on"] == "everything":
        measured = "" if split["kind"] == "none" else "; the accuracy is of the model before that"
        said.append(f"The model that ships was trained again on everything{measured}.")
    return said


def _read_as(data: Mapping[str, Any]) -> list[str]:
    """What the file was taken for and which columns were read; nothing of what comes from no file."""
    if data["form"] is None:
        return []
    rated = ("rating",) if data["rating_threshold"] is not None else ()
    roles = [role for role in ("user", "item", *rated, "timestamp") if data["columns"][role] is not None]
    columns = ", ".join(f"{role} from {data['columns'][role]!r}" for role in roles)
    times = f"; timestamps in {_UNITS[data['timestamp_unit']]}" if data["timestamp_unit"] else ""
    return [f"Read as {data['form']}{': ' if columns else ''}{columns}{times}."]
