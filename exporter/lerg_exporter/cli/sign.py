"""`lerg-export sign` and `lerg-export keygen`: who made a bundle, so that a device can tell."""

from __future__ import annotations

from pathlib import Path

import click

from lerg_exporter.cli._options import json_option
from lerg_exporter.cli._output import print_json
from lerg_runtime.cli.bundles import bundle_argument, trust_option

__all__ = ["keygen", "sign"]


@click.command(short_help="Sign a bundle with a private key.")
@bundle_argument
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Ed25519 private key, PEM; `lerg-export keygen` makes one.",
)
@trust_option
@json_option
def sign(bundle: Path, key: Path, trust: str | None, as_json: bool) -> None:
    """Check BUNDLE and write its signature, SHA256SUMS.sig, which --trust asks for.

    Only what never changes is signed; what a device learns later is not, and leaves the signature valid.

    \b
    lerg-export keygen -o maker.key
    lerg-export sign bundle --key maker.key
    lerg-edge recommend bundle --user alice --trust maker.key.pub
    """
    from lerg_exporter.bundles.signing import sign_bundle

    signature = sign_bundle(bundle, key, trust=trust)
    if as_json:
        print_json({"bundle": str(bundle), "signature": str(signature)})
        return
    click.echo(f"{bundle} is signed; the signature is {signature}")


@click.command(short_help="Make a pair of keys to sign with.")
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Of the private key; the public one is FILE.pub.",
)
@json_option
def keygen(output: Path, as_json: bool) -> None:
    """Make an Ed25519 key to sign bundles with, and the public key that devices check signatures by.

    The private key is not encrypted and readable by you alone: keep it off devices.

    \b
    lerg-export keygen -o maker.key
    """
    from lerg_exporter.bundles.signing import make_keys

    private, public = make_keys(output)
    if as_json:
        print_json({"private": str(private), "public": str(public)})
        return
    click.echo(f"private key {private}, to sign with; public key {public}, for --trust on devices")
