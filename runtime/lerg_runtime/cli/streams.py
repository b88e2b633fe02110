"""The streams that commands print to."""

from __future__ import annotations

import io
import sys
from contextlib import suppress

__all__ = ["speak_utf8"]


def speak_utf8() -> None:
    """Write UTF-8 in every locale, and the bytes of a path that are not UTF-8 as they are."""
    for stream in (sys.stdout, sys.stderr):
        # A stream that is closed below Python has nothing to be told.
        with suppress(OSError):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="surrogateescape")
