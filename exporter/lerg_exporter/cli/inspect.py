"""`lerg-export inspect`: where each byte of a bundle goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lerg_edge.errors import InputError
from lerg_exporter.bundles.card import model_card
from lerg_exporter.bundles.inspection import inspect_bundle
from lerg_exporter.bundles.summary import Rows, accuracy_rows, cost_rows, part_rows, program_rows, size_rows
from lerg_exporter.cli._options import json_option
from lerg_exporter.cli._output import print_json, print_table
from lerg_runtime.bundle.parts import reading
from lerg_runtime.cli.bundles import bundle_argument, trust_option

__all__ = ["inspect"]


@click.command(short_help="Sizes, programs, operators, planned memory, versions, metrics.")
@bundle_argument
@click.option("--card", is_flag=True, help="Print a model card, as Markdown.")
@trust_option
@json_option
def inspect(bundle: Path, card: bool, trust: str | None, as_json: bool) -> None:
    """Show what BUNDLE is made of, after checking every file's SHA-256.

    \b
    lerg-export inspect bundle
    lerg-export inspect bundle --json
    lerg-export inspect bundle --card > README.md
    """
    if card and as_json:
        raise InputError("--card prints Markdown and --json an object; give one of them")
    found = inspect_bundle(bundle, trust=trust)
    if as_json:
        print_json(found)
        return
    if card:
        with reading(bundle / "manifest.json", problem="lacks what a card tells", remedy="use --json"):
            text = model_card(found, name=bundle.resolve().name)
        click.echo(text, nl=False)
        return
    # What is told for people alone may be absent, and then there is nothing to show.
    with reading(bundle / "manifest.json", problem="lacks what is shown here", remedy="use --json"):
        items = found["storage"]["items"]
        sizes: Rows = [("embedding storage", "bytes"), *((name, f"{size:,}") for name, size in items.items())]
        before = [
            part_rows(found["parts"]),
            sizes,
            size_rows(found["storage"]),
            program_rows(found["programs"]),
        ]
        after = [accuracy_rows(found), *([cost_rows(found["macs"])] if "macs" in found else [])]
    click.echo(_headline(found) + "\n")
    for table in before:
        print_table(table)
    for program in found["programs"]:
        click.echo(f"operators of {program['method']}: {', '.join(program['operators'])}\n")
    for table in after:
        print_table(table)
    versions = {name: value for name, value in found["versions"].items() if name != "requires"}
    click.echo(
        f"format {found['format']['version']}, made with "
        + ", ".join(f"{name} {value}" for name, value in versions.items())
        + f"; needs executorch {found['versions']['requires']['executorch']}; {found['identity']}"
    )


def _rows(model: dict[str, Any]) -> str:
    """What makes up an entity's row."""
    return f"{model['entries']} codes a row" if "entries" in model else f"{model['edges']:,} edges"


def _headline(found: dict[str, Any]) -> str:
    model, state = found["model"], found["state"]
    if found["form"] == "personal":
        return (
            f"personal, no user; {model['items']:,} items ({model['own_rows']:,} with a row of their own), "
            f"by {model['coding']}, {model['codebook_rows']:,} codes of {model['dim']} x {model['bits']} "
            f"bits; {found['lowering']} lowering; saved {state['generation']} times, {state['history']:,} "
            f"items of history, at most {model['max_history']:,}"
        )
    return (
        f"{model['users']:,} users ({model['retained_users']:,} retained), {model['items']:,} items "
        f"({model['retained_items']:,} retained), {_rows(model)}; {model['codebook_rows']:,} codes of "
        f"{model['dim']} x {model['bits']} bits; {found['propagation']} propagation, {found['lowering']} "
        f"lowering, {model.get('item_table', 'float32')} item table, "
        f"{model.get('layer_storage', 'float32')} layers; saved {state['generation']} times, "
        f"{state['local_interactions']:,} local interactions"
    )
