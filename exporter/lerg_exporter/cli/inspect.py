"""`lerg-export inspect`: where each byte of a bundle goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lerg_exporter.cli._options import bundle_argument, json_option
from lerg_exporter.cli._output import print_json, print_table
from lerg_exporter.inspection import inspect_bundle
from lerg_exporter.summary import accuracy_rows, cost_rows, part_rows, program_rows, size_rows

__all__ = ["inspect"]


@click.command(short_help="Sizes, programs, operators, planned memory, versions, metrics.")
@bundle_argument
@json_option
def inspect(bundle: Path, as_json: bool) -> None:
    """Show what BUNDLE is made of, after checking every file's SHA-256.

    \b
    lerg-export inspect bundle
    lerg-export inspect bundle --json
    """
    found = inspect_bundle(bundle)
    if as_json:
        print_json(found)
        return
    click.echo(_headline(found) + "\n")
    print_table(part_rows(found["parts"]))
    items = found["storage"]["items"]
    print_table([("embedding storage", "bytes"), *((name, f"{size:,}") for name, size in items.items())])
    print_table(size_rows(found["storage"]))
    print_table(program_rows(found["programs"]))
    for program in found["programs"]:
        click.echo(f"operators of {program['method']}: {', '.join(program['operators'])}\n")
    print_table(accuracy_rows(found))
    print_table(cost_rows(found["macs"]))
    versions = {name: value for name, value in found["versions"].items() if name != "requires"}
    click.echo(
        f"format {found['format']['version']}, made with "
        + ", ".join(f"{name} {value}" for name, value in versions.items())
        + f"; needs executorch {found['versions']['requires']['executorch']}"
    )


def _rows(model: dict[str, Any]) -> str:
    """What makes up an entity's row."""
    return f"{model['entries']} codes a row" if "entries" in model else f"{model['edges']:,} edges"


def _headline(found: dict[str, Any]) -> str:
    model, state = found["model"], found["state"]
    return (
        f"{model['users']:,} users ({model['retained_users']:,} retained), {model['items']:,} items "
        f"({model['retained_items']:,} retained), {_rows(model)}; {model['codes']:,} codes of "
        f"{model['dim']} x {model['bits']} bits; {found['propagation']} propagation, {found['lowering']} "
        f"lowering, {model.get('item_table', 'float32')} item table, "
        f"{model.get('layer_storage', 'float32')} layers; saved {state['generation']} times, "
        f"{state['local_interactions']:,} local interactions"
    )
