"""The parts of a study's file that say what its report shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lerg_exporter.study._columns import ARRIVAL_COLUMNS, COLUMNS
from lerg_exporter.study._fields import FIELDS
from lerg_exporter.study._problems import Problems
from lerg_exporter.study._spec import Plot

__all__ = ["read_columns", "read_plots"]

_KINDS = ("line", "bar", "scatter")
_PLOT = ("name", "title", "kind", "x", "y", "series", "log", "where")
_NAMING = ("data", "variant", "seed")
_USUAL = ("ndcg@20", "recall@20", "embedding_bytes", "embedding_share", "bundle_bytes", "finetune_bytes")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def read_columns(document: Mapping[str, Any], *, arrivals: bool, problems: Problems) -> tuple[str, ...]:
    """`[report]` columns, or the usual ones."""
    table = document.get("report", {})
    if not isinstance(table, dict):
        problems.add("", f"report is {table!r}; it must be a table, written as [report]")
        return _USUAL
    problems.unknown_keys("[report]", table, ("columns",))
    columns = table.get("columns", list(_USUAL))
    if not isinstance(columns, list) or not columns:
        problems.add("[report]", f"columns is {columns!r}; it must be a list of columns")
        return _USUAL
    known = _figures(arrivals)
    for column in columns:
        if column not in known:
            problems.add("[report]", f"there is no column {column!r}; choose of {', '.join(known)}")
    return tuple(columns)


def read_plots(document: Mapping[str, Any], *, arrivals: bool, problems: Problems) -> tuple[Plot, ...]:
    """Every `[[plot]]`; what is wrong is noted."""
    tables = document.get("plot", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.add("", "plot is not a list of tables; write [[plot]] above each")
        return ()
    names = [table.get("name") for table in tables]
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or names.count(name) > 1:
            problems.add(
                "[[plot]]",
                f"name is {name!r}; each plot needs one of its own of small letters, digits and hyphens",
            )
    return tuple(_plot(table, arrivals, problems) for table in tables)


def _plot(table: Mapping[str, Any], arrivals: bool, problems: Problems) -> Plot:
    place = f"[[plot]] {table.get('name')!r}"
    problems.unknown_keys(place, table, _PLOT)
    known = (*_NAMING, *FIELDS, *_figures(arrivals))
    for axis in ("x", "y", "series"):
        column = table.get(axis)
        if column not in known and not (axis == "series" and column is None):
            problems.add(place, f"{axis} is {column!r}; choose one of {', '.join(known)}")
    kind, log = table.get("kind", _KINDS[0]), table.get("log", [])
    if kind not in _KINDS:
        problems.add(place, f"kind is {kind!r}; choose one of {', '.join(_KINDS)}")
    if not isinstance(log, list) or not set(map(str, log)) <= {"x", "y"}:
        problems.add(place, f'log is {log!r}; it must be a list of "x" and "y"')
        log = []
    title = table.get("title", "")
    if not isinstance(title, str):
        problems.add(place, f"title is {title!r}; it must be a text")
    return Plot(
        str(table.get("name")),
        str(title),
        str(kind),
        str(table.get("x")),
        str(table.get("y")),
        table.get("series"),
        tuple(log),
        _where(table, known, problems, place=place),
    )


def _where(
    table: Mapping[str, Any], known: tuple[str, ...], problems: Problems, *, place: str
) -> dict[str, tuple[Any, ...]]:
    """What rows must have: a value, or one of several."""
    where = table.get("where", {})
    if not isinstance(where, dict) or not where.keys() <= set(known):
        problems.add(place, f"where is {where!r}; it must be a table of columns and the values to draw")
        return {}
    return {column: tuple(value) if isinstance(value, list) else (value,) for column, value in where.items()}


def _figures(arrivals: bool) -> tuple[str, ...]:
    return (*COLUMNS, *(ARRIVAL_COLUMNS if arrivals else ()))
