"""A file is read in a few megabytes, whatever its size, its longest line, and what its gzip unpacks to."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from lerg_runtime import InputError, InteractionsFile

MOST = 8 << 20


def rows(path: Path) -> None:
    path.write_text("user,item\n" + "user7,item9\n" * 150_000, encoding="utf-8")


def a_long_line(path: Path) -> None:
    path.write_text("user7 " + "item9 " * 700_000, encoding="utf-8")


def a_long_field(path: Path) -> None:
    path.write_text("user,item\na," + "x" * (16 << 20), encoding="utf-8")


def an_open_quote(path: Path) -> None:
    path.write_text('user,item\na,"' + "x\n" * (4 << 20), encoding="utf-8")


def zeros(path: Path) -> None:
    path.write_bytes(gzip.compress(b"user,item\n" + bytes(64 << 20)))


def blanks(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\n" * (64 << 20) + b"user,item\na,1\n"))


def wide_ids(path: Path) -> None:
    path.write_text("user,item\n" + f"{'é' * 2000},{'x' * 4000}\n" * 3_000, encoding="utf-8")


FILES: dict[str, tuple[Callable[[Path], None], str, int | None]] = {
    "rows": (rows, "x.csv", 150_000),
    "a long line": (a_long_line, "x.txt", 700_000),
    "wide ids": (wide_ids, "x.csv", 3_000),
    "a long field": (a_long_field, "x.csv", None),
    "an open quote": (an_open_quote, "x.csv", None),
    "a gzip of zeros": (zeros, "x.csv.gz", None),
    "a gzip of blank lines": (blanks, "x.csv.gz", None),
}


@pytest.mark.parametrize("name", FILES)
def test_reading_takes_a_few_megabytes(tmp_path: Path, name: str) -> None:
    write, file, pairs = FILES[name]
    write(tmp_path / file)
    tracemalloc.start()
    try:
        count = 0
        try:
            for chunk in InteractionsFile(tmp_path / file).chunks():
                count += len(chunk.users)
        except InputError:
            assert pairs is None
        else:
            assert count == pairs
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST
