"""The figures of a report: a panel for each data set, as PNG and SVG.

matplotlib is imported when one is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lerg_exporter.drawing import COLOURS, MARKS, STYLE
from lerg_exporter.study._columns import ARRIVAL_COLUMNS, COLUMNS
from lerg_exporter.study._spec import Plot, Study
from lerg_exporter.study._table import Row, Spread, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["draw", "drawable", "title_of"]

Point = tuple[Any, Spread]
Lines = dict[str, list[Point]]

_PANEL_INCHES = (4.4, 3.4)
_LEGEND_INCHES = 1.9


def title_of(column: str) -> str:
    """What a column is called on an axis or in a table's head."""
    found = COLUMNS.get(column) or ARRIVAL_COLUMNS.get(column)
    return found.title if found else column.replace("_", " ")


def drawable(plot: Plot, study: Study, rows: Sequence[Row]) -> bool:
    """Whether there is anything to draw."""
    return any(lines for _, lines in _panels(plot, study, rows))


def draw(plot: Plot, study: Study, rows: Sequence[Row]) -> dict[str, bytes]:
    """The figure, by file name; the same rows give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = [(data, lines) for data, lines in _panels(plot, study, rows) if lines]
    names = list(dict.fromkeys(name for _, lines in panels for name in lines))
    width = _PANEL_INCHES[0] * len(panels) + (_LEGEND_INCHES if len(names) > 1 else 0.0)
    files = {}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, _PANEL_INCHES[1]), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for each, (data, lines) in zip(axes, panels, strict=True):
            _panel(each, plot, lines, names)
            each.set_title(data)
        _label(figure, axes, plot, names)
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            content = io.BytesIO()
            figure.savefig(content, format=suffix, dpi=150, metadata=metadata)
            files[f"{plot.name}.{suffix}"] = content.getvalue()
    return files


def _panels(plot: Plot, study: Study, rows: Sequence[Row]) -> list[tuple[str, Lines]]:
    """For each data set the points of each series, in the study's order."""
    panels: dict[str, Lines] = {}
    for row, figures in grouped(study, rows):
        lines = panels.setdefault(row["data"], {})
        if any(row.get(column) not in wanted for column, wanted in plot.where.items()):
            continue
        x = figures[plot.x].mean if plot.x in figures else row.get(plot.x)
        y = figures.get(plot.y)
        if y is None and _is_number(row.get(plot.y)):
            y = Spread(float(row[plot.y]), None)
        if x is None or y is None:
            continue
        name = "" if plot.series is None else _text(row.get(plot.series))
        lines.setdefault(name, []).append((x, y))
    return list(panels.items())


def _panel(axes: Axes, plot: Plot, lines: Lines, names: Sequence[str]) -> None:
    numeric = plot.kind != "bar" and all(_is_number(x) for points in lines.values() for x, _ in points)
    places = list(dict.fromkeys(x for points in lines.values() for x, _ in points))
    for name, points in lines.items():
        number = names.index(name)
        colour = COLOURS[number % len(COLOURS)]
        ordered = sorted(points, key=lambda point: point[0]) if numeric else points
        at = [x if numeric else float(places.index(x)) for x, _ in ordered]
        means = [_scaled(y.mean, plot.y) for _, y in ordered]
        errors = [_scaled(y.spread or 0.0, plot.y) for _, y in ordered]
        shown = errors if any(errors) else None
        if numeric:
            at = [_scaled(x, plot.x) for x in at]
        if plot.kind == "bar":
            breadth = 0.8 / len(names)
            at = [x + (number - (len(names) - 1) / 2) * breadth for x in at]
            axes.grid(visible=False, axis="x")
            axes.bar(at, means, breadth, yerr=shown, color=colour, label=name)
        else:
            line = "-" if plot.kind == "line" else "none"
            mark = MARKS[number % len(MARKS)]
            axes.errorbar(
                at, means, yerr=shown, color=colour, marker=mark, markersize=4.5, linestyle=line,
                linewidth=1.4, capsize=2, label=name,
            )  # fmt: skip
    if not numeric:
        slanted = sum(len(_text(x)) for x in places) > 36
        axes.set_xticks(
            range(len(places)), [_text(x) for x in places], rotation=30 if slanted else 0,
            ha="right" if slanted else "center",
        )  # fmt: skip
    if "x" in plot.log and numeric:
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis)
    if "y" in plot.log:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)


def _plain_ticks(axis: Axis) -> None:
    """Numbers as people write them at 1, 2, 5, 10 and so on: powers of ten would overlap within a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _label(figure: Figure, axes: Sequence[Axes], plot: Plot, names: Sequence[str]) -> None:
    for each in axes:
        each.set_xlabel(_axis(plot.x))
    axes[0].set_ylabel(_axis(plot.y))
    if plot.title:
        figure.suptitle(plot.title)
    if len(names) < 2:
        return
    found: dict[str, Any] = {}
    for each in axes:
        for handle, name in zip(*each.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    figure.legend(
        [found[name] for name in names], list(names), loc="outside right upper", frameon=False,
        title=title_of(plot.series or ""),
    )  # fmt: skip


def _unit(column: str) -> str:
    found = COLUMNS.get(column) or ARRIVAL_COLUMNS.get(column)
    return found.unit if found else ""


def _scaled(value: float, column: str) -> float:
    """Shares in percent, bytes in MiB."""
    return value * {"share": 100.0, "bytes": 1.0 / (1 << 20)}.get(_unit(column), 1.0)


def _axis(column: str) -> str:
    suffix = {"share": ", %", "bytes": ", MiB", "seconds": ", s", "ms": ", ms"}.get(_unit(column), "")
    return title_of(column) + suffix


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
