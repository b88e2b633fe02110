"""What `lerg-edge info` tells of a personal bundle."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from lerg_runtime.bundle import BundleFolder
from lerg_runtime.cli._output import print_table
from lerg_runtime.engine._resident import Uncounted
from lerg_runtime.planning._personal import plan_personal
from lerg_runtime.sizes import format_size

__all__ = ["describe_personal", "features_shown", "print_personal"]

_TOLD = ("format", "version", "form", "created_with", "requires", "model", "lowering", "serving", "metrics")


def describe_personal(folder: BundleFolder, *, uncounted: Uncounted) -> dict[str, Any]:
    """The JSON object of `--json`."""
    document, state = folder.personal.document, folder.read_state()
    learned = len(state.exported_step) > 0
    plan = plan_personal(folder.personal, sizes=folder.item_sizes(state), learned=learned)
    files = folder.file_sizes()
    return {
        "bundle": str(folder.path),
        "identity": f"sha256:{folder.digest.hex()}",
        **{name: document[name] for name in _TOLD},
        "features": [asdict(column) for column in folder.personal.features],
        "state": {
            "saves": state.generation,
            "history": len(state.history),
            "learned": learned,
            "added_items": 0 if state.added is None else len(state.added),
        },
        "files": files,
        "bundle_bytes": sum(files.values()),
        "storage": document["storage"],
        "programs": document["methods"],
        "memory": {
            "peak_bytes": plan.peak_bytes,
            "uncounted_bytes": uncounted.resident_bytes,
            "uncounted_most_bytes": uncounted.most_bytes,
            **{
                phase.name: {
                    "total_bytes": phase.total_bytes,
                    "items": {item.name: item.size_bytes for item in phase.items},
                }
                for phase in plan.phases
            },
        },
    }


def features_shown(columns: list[dict[str, Any]]) -> str:
    """The features that a new item can be added by, for people."""
    return ", ".join(f"{column['name']} ({column['kind']})" for column in columns) or "none"


def print_personal(told: dict[str, Any]) -> None:
    """The same for people."""
    model, rule = told["model"], told["serving"]["unknown"]
    shared = model["items"] - model["own_rows"]
    served = ", ".join(
        f"{name.replace('_', ' ')} {value:g}" for name, value in rule.items() if value is not None
    )
    click.echo(f"{told['bundle']}: {told['format']} version {told['version']}, personal")
    print_table(
        [
            ("identity", told["identity"]),
            ("items", f"{model['items']}, {shared} of them share {model['placeholders']} rows"),
            (
                "stored as",
                f"{model['coding']}, {model['codebook_rows']} x {model['dim']}, {model['bits']} bits",
            ),
            ("history", f"{told['state']['history']} items of at most {model['max_history']}"),
            ("served by", served or "one hop"),
            ("item features", features_shown(told["features"])),
            ("items added here", str(told["state"]["added_items"])),
            ("learned from it", "yes" if told["state"]["learned"] else "no"),
            ("saves", str(told["state"]["saves"])),
        ]
    )
    for stage, values in told["metrics"].items():
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        click.echo(f"\nQuality measured at export, {stage.replace('_', ' ')}: {shown}")
    click.echo("\nFiles")
    rows = [(name, format_size(size)) for name, size in told["files"].items()]
    print_table([*rows, ("all", format_size(told["bundle_bytes"]))])
    for name, phase in told["memory"].items():
        if isinstance(phase, dict):
            click.echo(f"\nMemory to {name}: {format_size(phase['total_bytes'])}")
            print_table([(item, format_size(size)) for item, size in phase["items"].items()])
    peak = told["memory"]["peak_bytes"]
    click.echo(f"\nA --memory-budget of {peak} bytes ({format_size(peak)}) is enough.")
    click.echo(
        f"Interpreter and libraries: measured {format_size(told['memory']['uncounted_bytes'])} here; "
        "not counted in the budget."
    )
