"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

from lerg_runtime.errors import InputError

__all__ = ["format_size", "parse_size"]

_UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(?P<unit>[a-zA-Z]*)")


def parse_size(size: str | int, *, name: str = "size") -> int:
    """Bytes of `64MiB`, `2MB` (decimal), `1500000` or an int; fractions of a byte are dropped.

    >>> parse_size("64MiB"), parse_size("2MB"), parse_size(1500000)
    (67108864, 2000000, 1500000)

    Args:
        size: the size; units are B, KB, MB, GB, TB and KiB, MiB, GiB, TiB, in any case.
        name: what the size is of, for the message.

    Raises:
        InputError: not a size, or less than one byte.
    """
    if isinstance(size, bool) or not isinstance(size, (int, str)):
        raise InputError(f"{name} is {size!r}; give a number of bytes or a text such as '64MiB'")
    if isinstance(size, int):
        count = size
    else:
        match = _SIZE.fullmatch(size.strip())
        unit = _UNITS.get(match["unit"].lower()) if match else None
        if match is None or unit is None:
            raise InputError(f"{name} is {size!r}; write it as 64MiB, 2MB or 1500000")
        count = int(Decimal(match["number"]) * unit)
    if count < 1:
        raise InputError(f"{name} is {size!r}; it must be at least one byte")
    return count


def format_size(size_bytes: int) -> str:
    """A size for people.

    >>> format_size(812), format_size(1 << 16), format_size(3 << 19)
    ('812 B', '64.0 KiB', '1.5 MiB')
    """
    if abs(size_bytes) < 1024:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if abs(size) < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"
