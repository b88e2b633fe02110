"""The device reads timestamps as an export does, where it has to know which row came last."""

from __future__ import annotations

import polars as pl
import pytest

from lerg_edge.data.readers._times import TimeColumn
from lerg_runtime.reading._rows import BadRow
from lerg_runtime.reading._times import Moments

NUMBERS = [
    *(
        "881250949",
        " 7 ",
        "-3",
        "+5",
        "0.5",
        "-0.25",
        ".5",
        "8.8e8",
        "1e3",
        "881250949.000001",
        "1717156800123",
    ),
    *(
        "1717156800123456789",
        "9223372036854775807",
        "9223372036854775808",
        "1e30",
        "nan",
        "inf",
        "",
        "\u00a0",
    ),
    *("1,000", "12:00", "2024-05-31", "soon", "0x10", "1_000", "\u0661"),
]
DATES = [
    *(
        "2024-05-31",
        "2024-05-31T12:00",
        "2024-05-31 12:00:30.25",
        "2024-05-31t12:00:30,1234567z",
        "1969-12-31",
    ),
    *(
        "2024-05-31T12:00:00Z",
        "2024-05-31T12:00:00+02:00",
        "2024-05-31T12:00:00-0530",
        "2024-05-31T12:00 +02",
    ),
    *("2024-02-30", "2024-05-31T24:00", "2024-05-31T12:60", "2024-05-31T12:00:60", "2024-05-31T12:00:61"),
    *(
        "31.05.2024",
        "05/31/2024",
        "2024-5-31",
        "2024-05-31T12",
        "2024-05-31T12:00:00+24:00",
        "881250949",
        "",
        "0001-01-01",
    ),
]


@pytest.mark.parametrize("texts", [NUMBERS, DATES], ids=["numbers", "dates"])
def test_both_readers_make_the_same_of_a_timestamp(texts: list[str]) -> None:
    column, moments = TimeColumn(), Moments()
    for text in texts:
        whole, part = column.read(pl.Series([text]))
        expected = None if whole[0] is None else (whole[0], part[0])
        try:
            found = moments.read(text)
        except BadRow:
            assert expected is None, text
            continue
        if column.kind == "date":  # the device counts from another day
            assert expected is not None, text
            found = (found[0] - 719163 * 86_400_000_000, found[1])
        assert found == expected, text
