"""`lerg-edge info`: what a bundle is, and what opening and fine-tuning it will need in memory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lerg_runtime.bundle import BundleFolder, State
from lerg_runtime.bundle._stored_sizes import StoredSizes
from lerg_runtime.cli._options import json_option
from lerg_runtime.cli._output import print_json, print_table
from lerg_runtime.cli._personal_info import describe_personal, features_shown, print_personal
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.engine._resident import Uncounted, measure_uncounted
from lerg_runtime.engine._threads import choose_threads
from lerg_runtime.planning._phases import MemoryPlan, Workload
from lerg_runtime.planning._plan import plan_memory
from lerg_runtime.sizes import format_size

__all__ = ["info"]


@click.command(short_help="What a bundle is and the memory it needs.")
@bundle_argument
@trust_option
@json_option
def info(bundle: Path, trust: str | None, as_json: bool) -> None:
    """Check BUNDLE and tell what it is and what opening and fine-tuning it will need in memory.

    \b
    lerg-edge info bundle
    lerg-edge info bundle --json
    """
    uncounted = measure_uncounted()
    folder = BundleFolder.open(bundle, trust=trust)
    if folder.is_personal:
        told = describe_personal(folder, uncounted=uncounted)
        print_json(told) if as_json else print_personal(told)
        return
    state = folder.read_state()
    workload = Workload.usual(folder.manifest)
    sizes = folder.stored_sizes(state)
    plan = plan_memory(
        folder.manifest,
        sizes,
        local=len(state.users),
        disliked=len(state.disliked_users),
        remainder=len(state.remainder) > 0,
        workload=workload,
    )
    description = _describe(folder, state, plan, sizes=sizes, uncounted=uncounted)
    if as_json:
        print_json(description)
    else:
        _print(description)


def _describe(
    folder: BundleFolder, state: State, plan: MemoryPlan, *, sizes: StoredSizes, uncounted: Uncounted
) -> dict[str, Any]:
    document = folder.manifest.document
    files = folder.file_sizes()
    return {
        "bundle": str(folder.path),
        "identity": f"sha256:{folder.digest.hex()}",
        **{name: document[name] for name in ("format", "version", "created_with", "requires", "model")},
        "lowering": document["lowering"],
        "propagation": document["propagation"],
        "interactions": sizes.pairs,
        "seen_only": {"held_out": sizes.held_out, "disliked": sizes.disliked},
        "state": {
            "saves": state.generation,
            "local_interactions": len(state.users),
            "local_disliked": len(state.disliked_users),
            "remainder_bytes": int(state.remainder.nbytes),
            "added_items": 0 if state.added is None else len(state.added),
        },
        "features": [asdict(column) for column in folder.manifest.features],
        "serving": asdict(folder.manifest.ways),
        "metrics": document["metrics"],
        "files": files,
        "bundle_bytes": sum(files.values()),
        "storage": document["storage"],
        "programs": document["methods"],
        "finetune": document["finetune"],
        "threads": {"count": choose_threads(), "lane_bytes": plan.lane_bytes},
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


def _codebook(model: dict[str, Any]) -> str:
    stored = f"{model['codebook_rows']} x {model['dim']}, {model['bits']} bits"
    composed = "codes_per_entity" in model and "anchor_weight" not in model
    return f"{stored}, rows of {model['codes_per_entity']} blocks" if composed else stored


def _propagation(name: str, model: dict[str, Any]) -> str:
    stored = f"{model['entries']} entries a row" if "entries" in model else f"{model['edges']} edges"
    return f"{name}, {model['layers']} layers, {stored}"


def _rule(rule: dict[str, Any]) -> str:
    parts = [f"{name.replace('_', '-')} {value:g}" for name, value in rule.items() if value is not None]
    return ", ".join(parts) or "one hop"


def _print(description: dict[str, Any]) -> None:
    model = description["model"]
    click.echo(f"{description['bundle']}: {description['format']} version {description['version']}")
    print_table(
        [
            ("identity", description["identity"]),
            ("users", f"{model['users']}, {model['retained_users']} retained"),
            ("items", f"{model['items']}, {model['retained_items']} retained"),
            (
                "interactions",
                f"{description['interactions']} + {description['state']['local_interactions']} local",
            ),
            (
                "seen beside them",
                "{held_out} held out, {disliked} + {here} local rated low".format(
                    **description["seen_only"], here=description["state"]["local_disliked"]
                ),
            ),
            ("codebook", _codebook(model)),
            ("propagation", _propagation(description["propagation"], model)),
            ("item table", model.get("item_table", "float32")),
            ("layers", model.get("layer_storage", "float32")),
            ("pruned users", f"by their {description['serving']['pruned_users']}"),
            ("retained users", f"by their {description['serving']['retained_users']}"),
            ("unknown people", f"by their history, {_rule(description['serving']['unknown'])}"),
            ("item features", features_shown(description["features"])),
            ("items added here", str(description["state"]["added_items"])),
            ("saves", str(description["state"]["saves"])),
            ("remainders of rounding", format_size(description["state"]["remainder_bytes"])),
        ]
    )
    if description["metrics"]:
        click.echo("\nQuality measured at export")
        for stage, values in description["metrics"].items():
            shown = ", ".join(
                f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
                for name, value in values.items()
            )
            click.echo(f"  {stage.replace('_', ' ')}: {shown}")
    click.echo("\nFiles")
    rows = [(name, format_size(size)) for name, size in description["files"].items()]
    print_table([*rows, ("all", format_size(description["bundle_bytes"]))])
    memory = description["memory"]
    for name, phase in memory.items():
        if not isinstance(phase, dict):
            continue
        click.echo(f"\nMemory to {name}: {format_size(phase['total_bytes'])}")
        print_table([(item, format_size(size)) for item, size in phase["items"].items()])
    peak = memory["peak_bytes"]
    click.echo(f"\nA --memory-budget of {peak} bytes ({format_size(peak)}) is enough.")
    most = memory["uncounted_most_bytes"]
    more = "" if most is None else f", at most {format_size(most)} once all of the libraries is in memory"
    click.echo(
        f"Interpreter and libraries: measured {format_size(memory['uncounted_bytes'])} here{more}; "
        "not counted in the budget."
    )
    threads = description["threads"]
    click.echo(
        f"Threads: {threads['count']}; each but the first that asks at the same time takes "
        f"{format_size(threads['lane_bytes'])} more, and waits where that does not fit."
    )
