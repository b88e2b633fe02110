"""HTML put together from elements, in which every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

__all__ = ["Markup", "joined", "plain", "tag"]

_EMPTY = frozenset({"meta", "rect"})
_LONGEST = 500  # characters of a text that somebody else has written


class Markup(str):
    """Text that is HTML already. Only `tag`, `joined` and what draws a picture make any."""

    __slots__ = ()


def plain(text: object) -> str:
    """A text of somebody else on one line: no control characters, none that turns the line around."""
    shown = str(text)[:_LONGEST]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)


def joined(parts: Iterable[str]) -> Markup:
    """Parts one after the other; a part that is no markup is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """An element. An attribute's `_` becomes `-`, and one at its end is left out, as in `class_`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    if name in _EMPTY and not children:
        return Markup(f"<{name}{given}>" if name == "meta" else f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")
