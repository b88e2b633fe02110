"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lerg_runtime.errors import InputError
from lerg_runtime.sizes import parse_size

__all__ = ["Size", "bundle_argument", "json_option"]


class Size(click.ParamType):
    """A size in bytes, such as `64MiB`."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value, name="the size")
        except InputError as error:
            self.fail(str(error), param, ctx)


bundle_argument = click.argument(
    "bundle", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="BUNDLE"
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
