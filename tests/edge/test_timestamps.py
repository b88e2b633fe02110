"""Timestamps: every way to write them, and the unit they come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.data.interactions import Interactions
from lerg_edge.data.readers import read_interactions
from lerg_edge.errors import InputError


def read(path: Path, texts: list[str], column: str = "timestamp") -> Interactions:
    """Items 0, 1, ... of one user at these times."""
    rows = "".join(f'u,{item},"{text}"\n' for item, text in enumerate(texts))
    path.write_text(f"user,item,{column}\n{rows}", encoding="utf-8")
    return read_interactions(path)


NUMBERS: dict[str, tuple[list[str], list[int], str]] = {
    "seconds": (["881250949", "0", "-5"], [881250949, 0, -5], "s"),
    "floats of seconds": (["8.8e8", "881250949.0", " 1e0 "], [880000000, 881250949, 1], "s"),
    "fractions of seconds": (
        ["881250949.25", "881250949", "-0.5"],
        [881250949250000, 881250949000000, -500000],
        "us",
    ),
    "years": (["2019", "2021"], [2019, 2021], "s"),
    "milliseconds": (["1700000000123", "5"], [1700000000123, 5], "ms"),
    "fractions of milliseconds": (["1700000000123.5"], [1700000000123500], "us"),
    "microseconds": (["1700000000123456"], [1700000000123456], "us"),
    "nanoseconds": (
        ["1700000000123456789", "1700000000123456788"],
        [1700000000123456789, 1700000000123456788],
        "ns",
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_in_the_unit_that_their_size_tells(tmp_path: Path, name: str) -> None:
    texts, times, unit = NUMBERS[name]
    found = read(tmp_path / "x.csv", texts)
    assert found.timestamps is not None
    assert (found.timestamps.tolist(), found.report.timestamp_unit) == (times, unit)


DATES = {
    "2020-01-02": datetime(2020, 1, 2, tzinfo=UTC),
    "2020-01-02T03:04": datetime(2020, 1, 2, 3, 4, tzinfo=UTC),
    "2020-01-02 03:04:05": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
    " 2020-01-02t03:04:05z ": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
    "2020-01-02T03:04:05.5Z": datetime(2020, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
    "2020-01-02T03:04:05,123456789": datetime(2020, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC),
    "2020-01-02T03:04:05+02:00": datetime(2020, 1, 2, 1, 4, 5, tzinfo=UTC),
    "2020-01-02 03:04:05 -0530": datetime(2020, 1, 2, 8, 34, 5, tzinfo=UTC),
    "2020-01-02T03:04-05": datetime(2020, 1, 2, 8, 4, tzinfo=UTC),
    "1969-12-31": datetime(1969, 12, 31, tzinfo=UTC),
    "2020-02-29T23:59:59": datetime(2020, 2, 29, 23, 59, 59, tzinfo=UTC),
}


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize("column", ["timestamp", "date", "Date Time"])
def test_iso_dates_are_microseconds(tmp_path: Path, column: str) -> None:
    found = read(tmp_path / "x.csv", list(DATES), column)
    assert found.timestamps is not None
    assert found.timestamps.tolist() == [micros(moment) for moment in DATES.values()]
    assert found.report.timestamp_unit == "us"
    assert found.report.columns["timestamp"] == column


@given(
    st.datetimes(min_value=datetime(1600, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from("T "),
    st.sampled_from(["auto", "minutes", "seconds", "milliseconds", "microseconds"]),
)
def test_what_python_writes_is_read(
    tmp_path: Path, moment: datetime, ahead: int, mark: str, spec: str
) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=ahead)))
    text = aware.isoformat(mark, timespec=spec)
    found = read(tmp_path / "x.csv", [text])
    assert found.timestamps is not None
    assert found.timestamps.tolist() == [micros(datetime.fromisoformat(text))]


BAD = [
    "",
    "soon",
    "31.05.2024",
    "05/31/2024",
    "2020-13-01",
    "2021-02-29",
    "2020-01-02T24:00",
    "2020-01-02T03:60",
]
BAD += [
    "2020-01-02T03:04:05+25:00",
    "20200102T030405",
    "2020-W01-1",
    "1,234",
    "1_0",
    "nan",
    "\u0663",
    "1e300",
]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("before", ["5", "2020-01-01"])
def test_what_is_no_time_is_named_with_the_way_out(tmp_path: Path, text: str, before: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / "x.csv", [before, text])
    said = str(caught.value)
    assert "x.csv: line 3: the timestamp " in said
    assert 'or leave the column out with timestamp_column=""' in said
    assert len(read_interactions(tmp_path / "x.csv", timestamp_column="").users) == 2


@pytest.mark.parametrize(
    ("texts", "reason"),
    [(["5", "2020-01-01"], "a finite number as those"), (["2020-01-01", "5"], "a date as those")],
)
def test_a_column_holds_numbers_or_dates(tmp_path: Path, texts: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=f"line 3: the timestamp .* is not {reason} before it"):
        read(tmp_path / "x.csv", texts)


def test_parquet_may_hold_dates_as_text(tmp_path: Path) -> None:
    pl.DataFrame({"user": [1, 1], "item": [1, 2], "date": ["2020-01-02", "2020-01-01T12:00Z"]}).write_parquet(
        tmp_path / "x.parquet"
    )
    found = read_interactions(tmp_path / "x.parquet")
    assert found.timestamps is not None
    assert int(found.timestamps[0] - found.timestamps[1]) == 12 * 3600 * 10**6
