"""From a file to UTF-8: decompressed, decoded, cut into lines. The device has the same in its own package."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lerg_edge.errors import InputError

__all__ = ["GZIP", "MAX_ROW", "WIDE_MARKS", "byte_blocks", "first_line", "text_lines"]

MAX_ROW = 1 << 18
"""Most bytes of a line of a table, and most characters of a row whose quotes go over several lines."""

GZIP = b"\x1f\x8b"
_BLOCK = 1 << 20
_KINDS = (
    (b"PAR1", "Parquet"),
    (b"PK", "a zip archive or a spreadsheet"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet"),
    (GZIP, "gzip in gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"ARROW1", "Arrow"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x93NUMPY", "a numpy array"),
)
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDE_MARKS = tuple(mark for mark, _ in _ENCODINGS)


def byte_blocks(path: Path) -> Iterator[bytes]:
    """The file as UTF-8 without its byte-order mark, block by block; gzip is known by its first bytes.

    Raises:
        InputError: the file cannot be opened or read, its compressed data is damaged, or it is no text.
    """
    try:
        with path.open("rb") as stream:
            packed = stream.peek(2)[:2] == GZIP
            source = cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
            yield from _utf8(source, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the compressed data is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error


def _utf8(source: BinaryIO, path: Path) -> Iterator[bytes]:
    block = source.read(_BLOCK)
    start = block[:512]
    for magic, kind in _KINDS:
        if start.startswith(magic) and _is_binary(start):
            raise InputError(f"{path}: is {kind}, whatever its name; give a text file, or .parquet")
    encoding = next((name for mark, name in _ENCODINGS if start.startswith(mark)), None)
    if encoding is None:
        block = block.removeprefix(codecs.BOM_UTF8)
        while block:
            yield block
            block = source.read(_BLOCK)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while block:
            yield decoder.decode(block).encode()
            block = source.read(_BLOCK)
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError:
        raise InputError(
            f"{path}: is not the {encoding.upper()} that its first bytes say; convert it"
        ) from None


def _is_binary(start: bytes) -> bool:
    """Whether there are characters that no text has, so that an id may begin as a file's kind does."""
    return any(byte < 32 and byte not in b"\t\n\r" for byte in start) or start[:1] > b"\x7f"


def first_line(blocks: Iterator[bytes]) -> tuple[int, str, bytes]:
    """The first line that is not blank: its number, at most ``MAX_ROW`` bytes of it, and all read so far."""
    data = b""
    for block in blocks:
        data += block
        rest = data.lstrip(b" \t\r\n")
        if b"\n" in rest or len(data) > 2 * MAX_ROW:
            break
    rest = data.lstrip(b" \t\r\n")
    start = data.rfind(b"\n", 0, len(data) - len(rest)) + 1
    line = data[start:].split(b"\n", 1)[0][:MAX_ROW]
    return data.count(b"\n", 0, start) + 1, line.decode("utf-8", "surrogateescape").removesuffix("\r"), data


def text_lines(blocks: Iterable[bytes], *, path: Path) -> Iterator[str]:
    """Lines with their ends, cut at line feeds alone; bytes that are not UTF-8 come as lone surrogates.

    Raises:
        InputError: a line is longer than ``MAX_ROW`` bytes.
    """
    rest, number = b"", 0
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            number += 1
            if len(line) > MAX_ROW:
                raise _too_long(path, number)
            yield line.decode("utf-8", "surrogateescape") + "\n"
        if len(rest) > MAX_ROW:
            raise _too_long(path, number + 1)
    if rest:
        yield rest.decode("utf-8", "surrogateescape")


def _too_long(path: Path, line: int) -> InputError:
    return InputError(f"{path}: line {line}: it is longer than {MAX_ROW} bytes; is it a table?")
