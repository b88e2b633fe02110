"""A file as formats look at it before one of them reads it: its first bytes, and what an archive lists."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lerg_edge.tables._arrays import opened, unreadable

__all__ = ["Source"]

_HEAD_BYTES = 1 << 20
_MOST_PICKLE_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Source:
    """A file that is to be recognised by its content.

    Attributes:
        path: where it is.

    Raises:
        InputError: of its properties, where the file cannot be read.
    """

    path: Path

    @cached_property
    def head(self) -> bytes:
        """The first megabyte, or all of a smaller file."""
        with opened(self.path, "a file") as stream:
            return stream.read(_HEAD_BYTES)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Names in a zip archive; empty for any other file."""
        if not self.head.startswith(b"PK\x03\x04"):
            return ()
        with unreadable(self.path, "an archive"), zipfile.ZipFile(self.path) as archive:
            return tuple(archive.namelist())

    @cached_property
    def pickle(self) -> bytes:
        """The pickle in a file of torch, as bytes to look for names in; it is never run. Empty for others."""
        inside = next((name for name in self.members if name.rpartition("/")[2] == "data.pkl"), None)
        if inside is None:
            return self.head if self.is_pickle else b""
        with (
            unreadable(self.path, "a checkpoint"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(inside) as stream,
        ):
            return stream.read(_MOST_PICKLE_BYTES)

    @property
    def is_pickle(self) -> bool:
        """Whether the file itself is one, as files of torch before 1.6 are, and gensim's."""
        return self.head[:1] == b"\x80" and self.head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
