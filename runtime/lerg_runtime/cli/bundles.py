"""How every command is told which bundle, and whose it must be; `lerg-export` takes them likewise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lerg_runtime.bundle._boundary import check_folder
from lerg_runtime.errors import InputError

__all__ = ["bundle_argument", "other_bundle", "trust_option"]


class _BundlePath(click.Path):
    """A folder; what is neither a folder nor a file is a damaged bundle and not a wrong word."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            check_folder(Path(value))
        except InputError as error:
            if Path(value).is_file() or not Path(value).exists():
                return super().convert(value, param, ctx)  # which says so in click's words
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


bundle_argument = click.argument("bundle", type=_BundlePath(), metavar="BUNDLE")


def other_bundle(name: str, help_text: str) -> Any:
    """An option that names another bundle."""
    return click.option(name, type=_BundlePath(), metavar="OTHER", help=help_text)


trust_option = click.option(
    "--trust",
    metavar="KEY",
    help="Open BUNDLE only if it is signed by this Ed25519 public key (a PEM file), "
    "or if its SHA256SUMS has this digest: sha256:HEX.",
)
