"""Bytes by part and memory by phase: bars, and the figures in tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lerg_exporter.bundles.summary import program_rows, size_rows
from lerg_exporter.reporting.found import Found
from lerg_exporter.reporting.markup import Markup, tag
from lerg_exporter.reporting.pictures import colour, stacked
from lerg_exporter.reporting.sections import table
from lerg_runtime.sizes import format_size

__all__ = ["bytes_by_part", "memory_by_phase"]

_DOING = {"open": "open", "encode": "encode", "recommend": "recommend", "finetune": "fine-tune"}
_SMALL = 0.01  # of the bundle: smaller parts are shown as one
_OTHERS = "#C9CED6"


def bytes_by_part(found: Found) -> list[Markup]:
    """Every file as a bar of its parts, the largest first."""
    parts = found.bundle["parts"]
    total = sum(sum(named.values()) for named in parts.values())
    files = sorted(parts.items(), key=lambda entry: (-sum(entry[1].values()), entry[0]))
    most = max(sum(named.values()) for named in parts.values())
    shown = [_file(name, named, total=total, most=most) for name, named in files]
    head, *rows = size_rows(found.bundle["storage"])
    return [
        table(head, rows),
        tag("p", f"{total:,} bytes in {len(parts)} files. Bars have one scale; a coloured piece is a part."),
        tag("div", *shown, class_="files"),
    ]


def _file(name: str, named: Mapping[str, int], *, total: int, most: int) -> Markup:
    size = sum(named.values())
    large = sorted(
        ((part, count) for part, count in named.items() if count >= _SMALL * total),
        key=lambda entry: (-entry[1], entry[0]),
    )
    pieces = [(part, count, colour(at)) for at, (part, count) in enumerate(large)]
    rest = size - sum(count for _, count in large)
    if rest and len(named) == len(large) + 1:
        pieces += [(part, count, _OTHERS) for part, count in named.items() if part not in dict(large)]
    elif rest:
        pieces.append((f"{len(named) - len(large)} smaller parts" if large else "small parts", rest, _OTHERS))
    said = f"{size:,} bytes, {100 * size / total:.1f} %"
    bar = stacked(
        [(f"{part}: {count:,} bytes", count, fill) for part, count, fill in pieces],
        most=most,
        label=f"{name}: {said}",
    )
    return tag(
        "div",
        tag("div", tag("b", name), tag("span", said), class_="line"),
        bar,
        _legend((f"{part} {count:,}", fill) for part, count, fill in pieces),
    )


def memory_by_phase(found: Found) -> list[Markup]:
    """What each phase takes on a device, item by item, and what its program is planned to."""
    phases = found.plan.phases
    names = list(dict.fromkeys(item.name for phase in phases for item in phase.items))
    sizes = {phase.name: {item.name: item.size_bytes for item in phase.items} for phase in phases}
    most = found.plan.peak_bytes
    # What never matters is not told apart: the others have a colour each, the same in every bar.
    told = [name for name in names if max(each.get(name, 0) for each in sizes.values()) >= 0.02 * most]
    fills = {name: colour(at) for at, name in enumerate(told)}
    bars = []
    for phase in phases:
        pieces = [(item.name, item.size_bytes, fills.get(item.name, _OTHERS)) for item in phase.items]
        pieces.sort(key=lambda piece: names.index(piece[0]) if piece[0] in fills else len(names))
        said = format_size(phase.total_bytes)
        bar = stacked(
            [(f"{name}: {format_size(size)}", size, fill) for name, size, fill in pieces],
            most=most,
            label=f"{phase.name}: {said}",
        )
        line = tag("div", tag("b", f"to {_DOING[phase.name]}"), tag("span", said), class_="line")
        bars.append(tag("div", line, bar))
    rows = [
        (
            name,
            *(format_size(sizes[phase.name][name]) if name in sizes[phase.name] else "" for phase in phases),
        )
        for name in names
    ]
    head, *programs = program_rows(found.bundle["programs"])
    others = [("others", _OTHERS)] if len(told) < len(names) else []
    return [
        tag(
            "p",
            "At most, beside Python and its libraries; one phase at a time. A device that is given a memory "
            "budget refuses what would not fit, before it takes anything.",
        ),
        tag("div", *bars, class_="files"),
        _legend([*fills.items(), *others]),
        tag(
            "details",
            tag("summary", "Item by item"),
            table(("takes memory", *(_DOING[phase.name] for phase in phases)), rows),
        ),
        tag("details", tag("summary", "By program, as ExecuTorch plans it"), table(head, programs)),
    ]


def _legend(entries: Iterable[tuple[str, str]]) -> Markup:
    return tag(
        "ul",
        *(tag("li", tag("i", style=f"background:{fill}"), name) for name, fill in entries),
        class_="legend",
    )
