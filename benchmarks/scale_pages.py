"""What the scale suite measured, as tables in `docs/performance.md` and a plot beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["write_pages"]

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PLOT = DOCS / "performance.md", DOCS / "performance.svg"
_STAGES = (
    "generating",
    "assigning",
    "pretraining",
    "selection",
    "rewiring",
    "placeholders",
    "tracing",
    "evaluating",
    "fine-tuning",
    "writing",
)
_VARIED = {
    "users": lambda point: point["settings"]["users"],
    "interactions": lambda point: point["settings"]["interactions"],
    "d": lambda point: point["settings"]["dim"],
    "m": lambda point: point["retained"],
}
_TITLES = {"users": "users (and items)", "interactions": "interactions", "d": "d", "m": "m"}
_DRAWN = ("assigning", "pretraining", "rewiring", "tracing", "evaluating", "fine-tuning")

_NOTHING = {"cpu_seconds": 0.0}

Points = Mapping[str, Mapping[str, Any]]


def write_pages(
    stored: Mapping[str, Any], *, shapes: Sequence[str], series: Mapping[str, Sequence[str]]
) -> None:
    """Put what has been measured so far into the page's marked blocks, and draw the plot."""
    points: Points = stored["points"]
    blocks = {
        "machine": f"Measured on {stored['machine']}.",
        "shapes": _shapes(points, [name for name in shapes if name in points]),
        "growth": _growth(points, series),
        "exponents": _exponents(points, series),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, block in blocks.items():
        begin, end = f"<!-- {name}: written by benchmarks/scale.py -->", f"<!-- {name}: end -->"
        if begin not in text or end not in text:
            raise SystemExit(f"{PAGE.name} has no block for {name}")
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}\n{block}\n{end}{after}"
    PAGE.write_text(text, encoding="utf-8")
    _draw(points, series)


def _shapes(points: Points, names: Sequence[str]) -> str:
    """A column a set, a row a stage: seconds and peak memory."""
    rows = [["", *names], ["---", *("---:" for _ in names)]]
    found = [points[name] for name in names]
    for title, value in (
        ("users", "users"), ("items", "items"), ("interactions, test pairs included", "interactions"),
    ):  # fmt: skip
        rows.append([title, *(f"{point['settings'][value]:,}" for point in found)])
    for stage in _STAGES:
        rows.append([stage, *(_cell(point["stages"].get(stage)) for point in found)])
    rows += [
        ["**whole**", *(f"**{point['seconds']:,.0f} s, {point['peak_mb']:,.0f} MB**" for point in found)],
        [
            "bundle",
            *(f"{point['bundle_bytes'] / 1e6:.1f} MB, {point['bundle_share']:.1%}" for point in found),
        ],
        ["`Recommender.open`", *(f"{point['device']['open_s']:.2f} s" for point in found)],
        ["first recommendation after it", *(f"{point['device']['first_s']:.2f} s" for point in found)],
        ["peak resident on the device side", *(f"{point['device']['peak_mb']:.0f} MB" for point in found)],
    ]
    return _table(rows)


def _cell(stage: Mapping[str, float] | None) -> str:
    return "" if stage is None else f"{stage['seconds']:,.1f} s, {stage['peak_mb']:,.0f} MB"


def _growth(points: Points, series: Mapping[str, Sequence[str]]) -> str:
    """A row a point, stages in seconds of processor time."""
    stages = [stage for stage in _STAGES if stage != "writing"]
    rows = [["users", "interactions", "d", "m", *stages, "peak MB", "fine-tune plan MB"]]
    rows.append(["---:"] * len(rows[0]))
    for name in dict.fromkeys(name for names in series.values() for name in names if name in points):
        point = points[name]
        settings = point["settings"]
        rows.append(
            [
                f"{settings['users']:,}",
                f"{settings['interactions']:,}",
                str(settings["dim"]),
                f"{point['retained']:,}",
                *(f"{point['stages'].get(stage, _NOTHING)['cpu_seconds']:.1f}" for stage in stages),
                f"{point['peak_mb']:,.0f}",
                f"{point['planned_bytes']['finetune'] / 1e6:.0f}",
            ]
        )
    return _table(rows)


def _exponents(points: Points, series: Mapping[str, Sequence[str]]) -> str:
    """Slopes of the logarithms: 1 is proportional, 0 does not depend."""
    rows = [["grows with", *_DRAWN, "fine-tune plan"], ["---", *("---:" for _ in range(len(_DRAWN) + 1))]]
    for name, keys in series.items():
        found = [points[key] for key in keys if key in points]
        if len(found) < 2:
            continue
        at = np.log([_VARIED[name](point) for point in found])
        cells = []
        for stage in _DRAWN:
            cells.append(_slope(at, [point["stages"][stage]["cpu_seconds"] for point in found]))
        cells.append(_slope(at, [point["planned_bytes"]["finetune"] for point in found]))
        rows.append([_TITLES[name], *cells])
    return _table(rows)


def _slope(at: np.ndarray, values: Sequence[float]) -> str:
    return f"{np.polyfit(at, np.log(np.maximum(values, 1e-3)), 1)[0]:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _draw(points: Points, series: Mapping[str, Sequence[str]]) -> None:
    import matplotlib

    matplotlib.use("svg")
    # Equal figures give equal bytes; letters stay letters and are a tenth of their outlines.
    matplotlib.rcParams.update({"svg.hashsalt": "scale", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(series), figsize=(11, 5), sharey="row", layout="constrained")
    for column, (name, keys) in enumerate(series.items()):
        found = [points[key] for key in keys if key in points]
        at = [_VARIED[name](point) for point in found]
        for stage in _DRAWN:
            seconds = [max(point["stages"][stage]["cpu_seconds"], 1e-2) for point in found]
            axes[0, column].loglog(at, seconds, marker=".", label=stage)
        axes[1, column].loglog(at, [point["peak_mb"] for point in found], marker=".", label="export, peak")
        planned = [point["planned_bytes"]["finetune"] / 1e6 for point in found]
        axes[1, column].loglog(at, planned, marker=".", label="fine-tuning on the device, plan")
        axes[1, column].set_xlabel(_TITLES[name])
        for row in (0, 1):
            axes[row, column].minorticks_off()
            axes[row, column].set_xticks(at, [_short(value) for value in at])
            axes[row, column].grid(alpha=0.3)
    axes[0, 0].set_ylabel("processor seconds")
    axes[1, 0].set_ylabel("MB")
    for row in (0, 1):
        axes[row, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(PLOT, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _short(value: float) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:.3g} k" if value >= 1e3 else f"{value:g}"
