"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from lerg_edge.errors import LergError
from lerg_runtime.errors import InputError
from lerg_runtime.sizes import parse_size

__all__ = ["Size", "json_option", "options_named"]

# What options are called where they end up, if not as their own names say.
_ELSEWHERE = {"user_floor": "min_users", "item_floor": "min_items", "edge_ceiling": "edge_budget"}
_ARGUMENT = re.compile(r"""(?<![\w./'"-])\w+_\w+(?![\w/'"-]|\.\w)""")  # not a part of a path


class Size(click.ParamType):
    """A size in bytes, such as `64MiB`."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value, name="the size")
        except InputError as error:
            self.fail(str(error), param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


@contextmanager
def options_named(parameters: Iterable[click.Parameter]) -> Iterator[None]:
    """Let errors name a command's options, `--user-column`, where the library names arguments."""
    options = {each.name: each.opts[0] for each in parameters if isinstance(each, click.Option)}
    options |= {name: options[own] for name, own in _ELSEWHERE.items()}
    try:
        yield
    except LergError as error:
        raise type(error)(_ARGUMENT.sub(lambda found: options.get(found[0], found[0]), str(error))) from error
