"""`lerg-export embeddings`: what a device computes, as files that other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from lerg_exporter.bundles.embeddings import FORMATS, write_embeddings
from lerg_exporter.cli._options import json_option
from lerg_exporter.cli._output import print_json
from lerg_runtime.cli.bundles import bundle_argument, trust_option

__all__ = ["embeddings"]


@click.command(short_help="The rows that a device ranks by, as .npy or Parquet.")
@bundle_argument
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="A folder that is not there yet, or is empty.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="users.npy and items.npy with user_ids.npy and item_ids.npy beside them, or users.parquet and "
    "items.parquet with the columns id and vector.",
)
@trust_option
@json_option
def embeddings(bundle: Path, output: Path, form: str, trust: str | None, as_json: bool) -> None:
    """Write every row of BUNDLE as its programs compute it, pruned users and items by what serves them.

    The product of a user's row and an item's is the score that the device ranks by. A personal bundle holds
    items alone.

    \b
    lerg-export embeddings bundle -o rows
    lerg-export embeddings bundle -o rows --format parquet
    """
    found = write_embeddings(bundle, output, form=form, trust=trust)
    if as_json:
        print_json(
            {
                "path": str(found.path),
                "files": found.files,
                "users": found.users,
                "items": found.items,
                "dim": found.dim,
            }
        )
        return
    sides = [f"{count:,} {name}" for name, count in (("users", found.users), ("items", found.items)) if count]
    click.echo(
        f"{found.path} holds the rows of {' and '.join(sides)}, {found.dim} float32 each, in "
        f"{', '.join(found.files)}"
    )
