"""A file from some position on, as a file of its own."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["FileFrom"]


class FileFrom(io.RawIOBase):
    """Reads `stream` as if it began at `start`."""

    def __init__(self, stream: io.FileIO, start: int) -> None:
        super().__init__()
        self._stream, self._start = stream, start
        stream.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._stream.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            offset += self._start
        return self._stream.seek(offset, whence) - self._start

    def tell(self) -> int:
        return self._stream.tell() - self._start
