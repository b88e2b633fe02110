"""The export's reader and the device's, over one table of files and over bytes that nobody thought of."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from _cases import CASES, REFUSED, Case
from hypothesis import given
from hypothesis import strategies as st

import lerg_edge
from lerg_edge.data.readers import read_interactions
from lerg_runtime import InputError, InteractionsFile
from lerg_runtime.reading import _text

Pairs = list[tuple[str, str]]


def exported(path: Path, **options: Any) -> tuple[set[tuple[str, str]], list[int]]:
    """Distinct pairs as texts, and lines of the rows that were skipped."""
    bad: list[int] = []
    options.setdefault("timestamp_column", "")
    read = read_interactions(path, skip_bad_rows=True, on_bad_row=lambda row: bad.append(row.line), **options)
    users, items = read.user_ids.values[read.users], read.item_ids.values[read.items]
    return {(str(user), str(item)) for user, item in zip(users, items, strict=True)}, bad


def on_device(path: Path, **options: Any) -> tuple[Pairs, list[int]]:
    """Pairs in the order of the file, and lines of the rows that were skipped."""
    bad: list[int] = []
    options.pop("timestamp_column", None)

    def on_bad_row(sentence: str) -> None:
        bad.append(int(sentence.removeprefix(f"{path}, line ").split(":")[0]))

    file = InteractionsFile(path, skip_bad_rows=True, on_bad_row=on_bad_row, **options)
    return [(str(user), str(item)) for user, item in file], bad


@pytest.mark.parametrize("name", CASES)
def test_both_read_the_same(tmp_path: Path, name: str) -> None:
    given_case: Case = CASES[name]
    path, options = tmp_path / given_case.name, dict(given_case.options)
    path.write_bytes(given_case.data)
    pairs, bad = on_device(path, **options)
    assert pairs == given_case.pairs
    assert bad == list(given_case.bad)
    assert exported(path, **options) == (set(given_case.pairs), list(given_case.bad))
    if given_case.bad:
        options.pop("timestamp_column", None)
        with pytest.raises(InputError, match=f", line {given_case.bad[0]}: "):
            list(InteractionsFile(path, **options))
        with pytest.raises(lerg_edge.InputError, match=f": line {given_case.bad[0]}: "):
            read_interactions(path, **options)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("skip", [False, True])
def test_both_refuse_the_same(tmp_path: Path, name: str, skip: bool) -> None:
    given_case, reason = REFUSED[name]
    path, options = tmp_path / given_case.name, dict(given_case.options)
    path.write_bytes(given_case.data)
    readers: tuple[tuple[type[Exception], Any], ...] = (
        (lerg_edge.InputError, lambda: read_interactions(path, skip_bad_rows=skip, **options)),
        (InputError, lambda: list(InteractionsFile(path, skip_bad_rows=skip, **options))),
    )
    for error, read in readers:
        with pytest.raises(error) as caught:
            read()
        assert reason in str(caught.value)
        assert given_case.name in str(caught.value)
        assert "\n" not in str(caught.value)


PIECES = [
    b"user",
    b"item",
    b"a",
    b"b",
    b"1",
    b"02",
    b"\xc3\xa9",
    b"\xe9",
    b"\xc2\xa0",
    b"\xe2\x80\x83",
    b"\x85",
    b"\x1c",
]
MARKS = [
    b",",
    b",",
    b"\t",
    b";",
    b"|",
    b"::",
    b" ",
    b'"',
    b'""',
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\x0b",
    b"\xef\xbb\xbf",
]
HEADERS = [
    b"",
    b"",
    b"user,item\n",
    b"item;user\r\n",
    b"user_id:token\titem_id:token\n",
    b'"user"|"item"|x\n',
    b"\xff\xfe",
]


@given(
    header=st.sampled_from(HEADERS),
    pieces=st.lists(st.sampled_from(PIECES + MARKS * 2), max_size=40),
    name=st.sampled_from(["x.csv", "x.tsv", "x.txt", "x.inter", "u.data", "x.dat", "x", "x.base"]),
    packed=st.booleans(),
)
def test_both_make_the_same_of_any_bytes(
    tmp_path: Path, header: bytes, pieces: list[bytes], name: str, packed: bool
) -> None:
    data = header + b"".join(pieces)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if packed else data)

    def outcome(read: Any, errors: type[Exception]) -> Any:
        try:
            pairs, bad = read(path)
        except errors:
            return "refused"
        return set(pairs), bad

    assert outcome(exported, lerg_edge.InputError) == outcome(on_device, InputError)


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_blocks_of_a_file_may_end_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(_text, "_BLOCK", block)
    for name in (
        "utf-16",
        "crlf",
        "lines with CRLF",
        "lines with tabs",
        "quoted line ends",
        "users alone",
        "gzip",
    ):
        given_case = CASES[name]
        path = tmp_path / given_case.name
        path.write_bytes(given_case.data)
        assert on_device(path)[0] == given_case.pairs
