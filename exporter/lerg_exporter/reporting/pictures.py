"""Bars and curves of a report, as SVG that stands in the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lerg_exporter.drawing import COLOURS, MARKS, STYLE
from lerg_exporter.reporting.markup import Markup, tag

__all__ = ["Curve", "colour", "curve", "span", "stacked"]

_INCHES = (4.2, 2.7)
# Black would stand out among areas, and grey stands for the rest.
_FILLS = (*COLOURS[:6], "#7B5EA7", "#9AA310")


def colour(number: int) -> str:
    """The colour of the nth thing in a picture; after the last one they begin anew."""
    return _FILLS[number % len(_FILLS)]


def stacked(parts: Sequence[tuple[str, float, str]], *, most: float, label: str) -> Markup:
    """A bar of parts side by side.

    Args:
        parts: each what it is, its size and its colour.
        most: the size that takes the whole width.
        label: what the bar says, for those who do not see it.
    """
    scale, left, shapes = 100.0 / max(most, 1e-12), 0.0, []
    for name, size, fill in parts:
        width = size * scale
        shapes.append(tag("rect", tag("title", name), x=_n(left), y=0, width=_n(width), height=10, fill=fill))
        left += width
    return _picture(shapes, label)


def span(value: float, bounds: Sequence[float] | None, *, most: float, label: str) -> Markup:
    """A bar up to a value, and over its end the interval around it."""
    scale = 100.0 / max(most, 1e-12)
    shapes = [tag("rect", x=0, y=2, width=_n(value * scale), height=6, fill=colour(0))]
    if bounds is not None:
        low, high = (bound * scale for bound in bounds)
        shapes += [
            tag("rect", x=_n(low), y=4.2, width=_n(high - low), height=1.6, class_="whisker"),
            *(
                tag("rect", x=_n(end - 0.25), y=2, width=0.5, height=6, class_="whisker")
                for end in (low, high)
            ),
        ]
    return _picture(shapes, label)


def _picture(shapes: Sequence[Markup], label: str) -> Markup:
    return tag(
        "svg", *shapes, class_="bar", viewBox="0 0 100 10", preserveAspectRatio="none", role="img",
        aria_label=label,
    )  # fmt: skip


def _n(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Curve:
    """What is drawn by epoch.

    Attributes:
        title: above it.
        axis: what the values are.
        first: the epoch of the first value.
        values: one an epoch.
        kept: the epoch that was kept; None to mark none.
    """

    title: str
    axis: str
    first: int
    values: tuple[float, ...]
    kept: int | None


def curve(drawn: Curve) -> Markup:
    """A curve by epoch; the same values give the same text."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    salt = {**STYLE, "svg.hashsalt": f"lerg-report {drawn.title}", "font.size": 10, "axes.titlesize": 11}
    with matplotlib.rc_context(salt):
        figure = Figure(figsize=_INCHES, layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.subplots()
        epochs = range(drawn.first, drawn.first + len(drawn.values))
        axes.plot(epochs, drawn.values, color=COLOURS[0], marker=MARKS[0], markersize=3.5, linewidth=1.5)
        if drawn.kept is not None:
            at = drawn.values[drawn.kept - drawn.first]
            axes.plot(
                [drawn.kept], [at], color=COLOURS[1], marker=MARKS[2], markersize=8, linestyle="none",
                label=f"kept: epoch {drawn.kept}",
            )  # fmt: skip
            axes.legend(frameon=False)
        axes.set(title=drawn.title, xlabel="epoch", ylabel=drawn.axis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        content = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(content, format="svg", metadata=nothing)
    return _standing_in_a_page(content.getvalue(), f"{drawn.title}: {drawn.axis} by epoch")


def _standing_in_a_page(svg: str, label: str) -> Markup:
    """matplotlib's picture as an element: no prolog, no size, no names that nothing uses."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.S)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)  # the page's own
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r'^<svg ([^>]*?)width="[^"]*" ', r"<svg \1", svg)
    svg = re.sub(r'^<svg ([^>]*?)height="[^"]*" ', r"<svg \1", svg)
    opening = tag("svg", class_="curve", role="img", aria_label=label).removesuffix("></svg>")
    return Markup(svg.replace("<svg", opening, 1))
