"""From a file to UTF-8: decompressed, decoded, and never more than a block of it in memory."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import BinaryIO, cast

from lerg_runtime.errors import InputError

__all__ = ["MAX_ROW", "READ_HERE", "byte_blocks", "first_line", "text_lines"]

MAX_ROW = 1 << 18
"""Most bytes of a line of a table, and most characters of a row whose quotes go over several lines."""

_BLOCK = 1 << 14
_GZIP = b"\x1f\x8b"
_KINDS = (
    (b"PAR1", "Parquet"),
    (b"PK", "a zip archive or a spreadsheet"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet"),
    (_GZIP, "gzip in gzip"),
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
READ_HERE = (
    "CSV, TSV, lines of `user item item ...`, .inter, u.data and ratings.dat are read on the device, also "
    "with gzip: convert it"
)


def byte_blocks(path: str | PathLike[str]) -> Iterator[bytes]:
    """The file as UTF-8 without its byte-order mark, some ten thousand bytes at a time.

    Gzip is known by its first bytes, whatever the name. Bytes that are not UTF-8 come as they are.

    Raises:
        InputError: it cannot be opened or read, is compressed badly, or holds something that is no text.
    """
    try:
        with open(path, "rb") as stream:
            packed = stream.peek(2)[:2] == _GZIP
            source = cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
            yield from _utf8(source, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: its compressed data is damaged ({error}); fetch the file again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _utf8(source: BinaryIO, path: str | PathLike[str]) -> Iterator[bytes]:
    block = source.read(max(_BLOCK, 16))
    start = block[:512]
    for magic, kind in _KINDS:
        if start.startswith(magic) and _is_binary(start):
            raise InputError(f"{path} is {kind}; {READ_HERE}")
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
            f"{path} is not the {encoding.upper()} that its first bytes say; convert it to UTF-8"
        ) from None


def _is_binary(start: bytes) -> bool:
    """Whether there are characters that no text has, so that an id may begin as a file's kind does."""
    return any(byte < 32 and byte not in b"\t\n\r" for byte in start) or start[:1] > b"\x7f"


def first_line(blocks: Iterator[bytes]) -> tuple[int, str, bytes]:
    """The first line that is not blank: its number, at most `MAX_ROW` bytes of it, and all read so far."""
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


def text_lines(blocks: Iterable[bytes], *, path: str | PathLike[str]) -> Iterator[str]:
    """Lines with their ends, cut at line feeds alone; bytes that are not UTF-8 come as lone surrogates.

    Raises:
        InputError: a line is longer than `MAX_ROW` bytes.
    """
    rest, number = b"", 0
    for block in blocks:
        data = rest + block
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        # Only what began in an earlier block can be too long.
        if len(rest) > MAX_ROW or data.find(b"\n", 0, cut) > MAX_ROW:
            number += 1 if data.find(b"\n", 0, cut) > MAX_ROW else data.count(b"\n") + 1
            raise InputError(f"{path}, line {number}: it is longer than {MAX_ROW} bytes; is it a table?")
        lines = data[:cut].decode("utf-8", "surrogateescape").split("\n")
        lines.pop()
        number += len(lines)
        for line in lines:
            yield line + "\n"
    if rest:
        yield rest.decode("utf-8", "surrogateescape")
