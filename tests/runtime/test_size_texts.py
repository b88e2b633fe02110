"""Sizes as people write them."""

from __future__ import annotations

import pytest

from lerg_runtime.errors import InputError
from lerg_runtime.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64MiB", 64 * 1024**2),
        ("2MB", 2_000_000),
        ("1500000", 1_500_000),
        (1_500_000, 1_500_000),
        (" 1.5 kib ", 1536),
        ("0.5GB", 500_000_000),
        ("1TiB", 1024**4),
        ("7 b", 7),
        ("1.9999B", 1),
    ],
)
def test_parse(text: str | int, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "MiB", "64M", "64 XB", "-1", "0", "0.4B", "1e6", "1,5MB", -3, 0, True, 1.5, None]
)
def test_what_is_no_size_is_refused_by_name(text: object) -> None:
    with pytest.raises(InputError, match="memory budget") as caught:
        parse_size(text, name="memory budget")  # type: ignore[arg-type]
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (3 * 1024**4, "3.0 TiB")],
)
def test_format(size: int, expected: str) -> None:
    assert format_size(size) == expected
