"""Runs as rows, of arrivals one for each step and way of serving them, and means over seeds and folds."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lerg_exporter.study._columns import ARRIVAL_COLUMNS, COLUMNS
from lerg_exporter.study._fields import OPTION_NAMES, SAME_AS_RETENTION, SHARES
from lerg_exporter.study._runs import Run
from lerg_exporter.study._spec import Study

__all__ = ["Row", "Spread", "csv_text", "grouped", "rows_of"]

Row = dict[str, Any]

_WAYS = {
    "from_history": "from history",
    "cosines": "item cosines",
    "ease": "EASE",
    "als": "ALS, folded in",
    "popularity": "most touched",
    "trained": "trained with them",
}
_BY_HISTORY = ("from_history", "cosines", "ease", "als")
_CHOSEN = ("codebook_rows", "retention", "placeholders", "batch")


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds and folds.

    Attributes:
        mean: of the runs; spread: their sample standard deviation, None of a single run.
    """

    mean: float
    spread: float | None


def rows_of(study: Study, run: Run, record: Mapping[str, Any]) -> list[Row]:
    """The rows of a run: what was asked for, what was chosen where that left it open, and every figure."""
    values = run.cell.values
    row: Row = {"data": run.cell.data, "variant": run.cell.variant, "seed": run.seed, "fold": run.fold}
    row |= {name: record["options"][name] for name in OPTION_NAMES}
    row |= {name: record["plan"][name] for name in _CHOSEN}
    row["pruned_users"] = record["serving"]["pruned_users"]
    row |= {
        name: row["retention"] if values.get(name) == SAME_AS_RETENTION else values.get(name)
        for name in SHARES
    }
    row |= {name: column.of(record) for name, column in COLUMNS.items()}
    row["fingerprint"] = run.fingerprint
    if study.arrivals is None:
        return [row]
    arrivals = record["arrivals"]
    return [
        {
            **row,
            "way": title,
            "step": number,
            "history_share": step["history_share"],
            "history": _known_by(way, step, arrivals["steps"][-1]),
            "arrivals": arrivals["users"],
            **(arrivals["trained"] if way == "trained" else step[way]),
        }
        for way, title in _WAYS.items()
        for number, step in enumerate(arrivals["steps"], start=1)
        if way == "trained" or way in step
    ]


def _known_by(way: str, step: Mapping[str, Any], last: Mapping[str, Any]) -> float | None:
    """Mean number of pairs by which arrivals are ranked for; None where that is none."""
    known = step if way in _BY_HISTORY else last if way == "trained" else {}
    found: float | None = known.get("history")
    return found


def grouped(study: Study, rows: Sequence[Row]) -> list[tuple[Row, dict[str, Spread]]]:
    """Rows that differ by seed and fold alone as one: a row of them, and each figure over all of them."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_hashable(row[key]) for key in ("data", *study.keys)), []).append(row)
    found = []
    for members in groups.values():
        figures = {}
        for name in (*COLUMNS, *ARRIVAL_COLUMNS):
            numbers = [row[name] for row in members if isinstance(row.get(name), int | float)]
            if numbers:
                spread = statistics.stdev(numbers) if len(numbers) > 1 else None
                figures[name] = Spread(statistics.fmean(numbers), spread)
        found.append((members[0], figures))
    return found


def csv_text(study: Study, rows: Sequence[Row]) -> str:
    """The rows as CSV: names first, then figures, then every option."""
    extra = tuple(ARRIVAL_COLUMNS) if study.arrivals else ()
    fold = () if study.folds is None else ("fold",)
    names = dict.fromkeys(
        (
            "data",
            "variant",
            "seed",
            *fold,
            *study.axes,
            *extra,
            *COLUMNS,
            *OPTION_NAMES,
            *SHARES,
            "fingerprint",
        )
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(_cell(row.get(name)) for name in names)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Nothing for None; lists as JSON; numbers with all their digits."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
