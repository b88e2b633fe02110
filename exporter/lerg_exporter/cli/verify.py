"""`lerg-export verify`: is a bundle whole, and do its programs answer right on this machine?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lerg_exporter.bundles.verification import verify_bundle
from lerg_exporter.cli._options import json_option
from lerg_exporter.cli._output import print_json
from lerg_runtime.cli.bundles import bundle_argument, trust_option

__all__ = ["verify"]


@click.command(short_help="Hashes, schema, and every program on its golden inputs.")
@bundle_argument
@trust_option
@json_option
def verify(bundle: Path, trust: str | None, as_json: bool) -> None:
    """Check BUNDLE: every hash, every array, and each program against the answers stored beside it.

    \b
    lerg-export verify bundle
    """
    found = verify_bundle(bundle, trust=trust)
    if as_json:
        print_json({"ok": True, **asdict(found)})
        return
    click.echo(f"{len(found.files)} files match their SHA-256, {sum(found.files.values()):,} bytes")
    click.echo(
        f"{found.users:,} users, {found.items:,} items and {found.interactions:,} interactions are readable"
    )
    click.echo(f"{', '.join(found.programs)} answer their golden inputs")
