"""Draws docs/architecture.svg: the packages, their rooms on floors, and what imports what.

    python tools/draw_architecture.py [FILE]

Floors come from `FLOORS` in tests/test_layering.py, captions from docstrings, arrows from the imports in the
sources. An arrow that follows from others is left out, as are those to the ground floor, which all may use.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"

# The compiled module, on the runtime's ground floor.
NATIVE = "_native"
NATIVE_CAPTION = "C++: the check of a program's plan, ExecuTorch under a budget, kernels."

FLOOR, GAP, TOP, HEADING = 80, 30, 164, 64
INK, FAINT, PAPER = "#1d2733", "#5b6878", "#ffffff"
COLOURS = {"lerg_edge": "#e8f1e4", "lerg_exporter": "#fdf0dc", "lerg_runtime": "#e3ecf8"}
COLUMNS = {"lerg_edge": (20, 410), "lerg_exporter": (470, 460), "lerg_runtime": (970, 420)}
HEADINGS = {
    "lerg_edge": "the method · torch, scipy",
    "lerg_exporter": "from a model to a bundle · ExecuTorch's exporter",
    "lerg_runtime": "on the device · numpy, click",
}


@dataclass(frozen=True, slots=True)
class Room:
    """A box: its name, what is in it, and where it is drawn."""

    name: str
    caption: str
    x: int
    y: int
    width: int

    @property
    def middle(self) -> int:
        return self.x + self.width // 2


def literal(source: str, name: str) -> object:
    """The value that a module gives to a name, without running it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise KeyError(name)


def imported(file: Path) -> set[str]:
    """Full names that a module imports or names by a string, but not for annotations alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("lerg_"):
            names.add(str(node.value).split(":")[0])
    return names


def arrows(package: str, folder: Path, floors: tuple[tuple[str, ...], ...]) -> dict[str, set[str]]:
    """The other rooms that each takes from, but for what follows from the rest, and for the ground floor."""
    rooms = [room for floor in floors for room in floor]

    def room_of(module: str) -> str:
        return next((room for room in rooms if f"{module}.".startswith(f"{room}.")), "")

    height = {room: level for level, floor in enumerate(floors) for room in floor}
    taken: dict[str, set[str]] = {room: set() for room in rooms}
    for file in sorted(folder.rglob("*.py")):
        room = room_of(".".join(file.relative_to(folder).with_suffix("").parts))
        for name in imported(file) if room else ():
            other = room_of(name.removeprefix(f"{package}.")) if name.startswith(f"{package}.") else ""
            if other and other != room:
                if height[other] >= height[room]:
                    sys.exit(f"{file.relative_to(ROOT)} imports {name}, which lies no lower")
                taken[room].add(other)

    def below(room: str) -> set[str]:
        return taken[room].union(*(below(other) for other in taken[room]))

    return {
        room: {
            other
            for other in others
            if (height[other] or other == NATIVE) and not any(other in below(via) for via in others)
        }
        for room, others in taken.items()
    }


def caption(folder: Path, room: str) -> str:
    """The first sentence of a room's docstring."""
    place = folder.joinpath(*room.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return " ".join(text.split()).split(". ")[0].rstrip(".").replace("`", "") + "."


def column(package: str, floors: tuple[tuple[str, ...], ...], taken: Mapping[str, set[str]], ground: int,
           folder: Path) -> tuple[dict[str, Room], list[list[tuple[int, int]]]]:  # fmt: skip
    """Rooms by name, and the way of each arrow as points, around the rooms between."""
    left, width = COLUMNS[package]
    height = {room: level for level, floor in enumerate(floors) for room in floor}
    long = [
        (a, b)
        for a in sorted(taken, key=lambda room: height[room])
        for b in sorted(taken[a])
        if height[a] - height[b] > 1
    ]
    rooms: dict[str, Room] = {}
    passes: dict[tuple[str, str, int], int] = {}
    for level, floor in enumerate(floors):
        y = ground - FLOOR - level * (FLOOR + GAP)
        through = [pair for pair in long if height[pair[1]] < level < height[pair[0]]]
        for place, (a, b) in enumerate(through):
            passes[a, b, level] = left + 14 + 14 * place
        start = left + 10 + (14 * len(through) + 4 if through else 0)
        share = (left + width - 10 - start + 10) // len(floor)
        for place, room in enumerate(floor):
            text = NATIVE_CAPTION if room == NATIVE else caption(folder, room)
            rooms[room] = Room(room, text, start + place * share, y, share - 10)
    ways = []
    for a in sorted(taken):
        for b in sorted(taken[a], key=lambda room: rooms[room].x):
            upper, lower = rooms[a], rooms[b]
            way = [(upper.middle, upper.y + FLOOR)]
            for level in range(height[a] - 1, height[b], -1):
                y = ground - FLOOR - level * (FLOOR + GAP)
                x = passes.get((a, b, level), upper.x)
                way += [(x, y), (x, y + FLOOR)]
            ways.append([*way, (lower.middle, lower.y - 2)])
    return rooms, ways


def text(x: int, y: int, words: str, *, size: int = 12, bold: bool = False, colour: str = INK,
         middle: bool = True) -> str:  # fmt: skip
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{weight}{anchor}>{escape(words)}</text>'


def box(x: int, y: int, width: int, height: int, *, fill: str, line: str = INK) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{line}"/>'


def arrow(points: Iterable[tuple[int, int]], *, bold: bool = False) -> str:
    way = " ".join(f"{x},{y}" for x, y in points)
    width, colour = ("2", INK) if bold else ("1", FAINT)
    return (
        f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="{width}" '
        'marker-end="url(#head)"/>'
    )


def drawn_room(room: Room) -> list[str]:
    name = room.name.removeprefix("programs.") if room.name.startswith("programs.") else room.name
    names = textwrap.wrap(name, room.width * 10 // 72)
    lines = textwrap.wrap(room.caption, (room.width - 8) * 10 // 53)
    if len(names) + len(lines) > 5:
        lines = [*lines[: 4 - len(names)], lines[4 - len(names)].rstrip(" ,.:") + " …"]
    parts = [box(room.x, room.y, room.width, FLOOR, fill=PAPER)]
    for n, line in enumerate(names):
        parts.append(text(room.middle, room.y + 17 + 14 * n, line, bold=True))
    y = room.y + 18 + 14 * len(names)
    parts += [text(room.middle, y + 13 * n, line, size=10, colour=FAINT) for n, line in enumerate(lines)]
    return parts


def flow() -> list[str]:
    """The strip on top: what goes through the packages."""
    boxes = {
        "interactions": (20, 180, "interactions", "a file on the workstation"),
        "exporting": (500, 180, "lerg-export run", "train, prune, rewire, trace"),
        "bundle": (760, 140, "bundle", "a folder of files"),
        "edge": (970, 160, "lerg-edge", "or lerg_runtime.Recommender"),
        "top": (1180, 80, "top-K", "ids, scores"),
    }
    parts = []
    for x, width, name, words in boxes.values():
        parts += [box(x, 56, width, 46, fill=PAPER), text(x + width // 2, 75, name, bold=True)]
        parts.append(text(x + width // 2, 92, words, size=10, colour=FAINT))
    parts += [
        arrow([(200, 79), (498, 79)], bold=True),
        arrow([(680, 79), (758, 79)], bold=True),
        arrow([(900, 79), (968, 79)], bold=True),
        arrow([(1130, 79), (1178, 79)], bold=True),
        arrow([(1010, 102), (1010, 124), (830, 124), (830, 104)]),
        text(920, 139, "saves state.bin: codebook, interactions of here", size=10, colour=FAINT),
        arrow([(1050, 30), (1050, 54)], bold=True),
        text(1060, 38, "what happens here: fine-tuning", size=10, colour=FAINT, middle=False),
        text(
            20, 30, "lerg-edge: what goes where, and what may import what", size=16, bold=True, middle=False
        ),
    ]
    return parts


def picture() -> str:
    """The whole picture as SVG."""
    layering = (ROOT / "tests" / "test_layering.py").read_text(encoding="utf-8")
    places, listed = literal(layering, "PLACES"), literal(layering, "FLOORS")
    assert isinstance(places, dict)
    assert isinstance(listed, dict)
    floors: dict[str, tuple[tuple[str, ...], ...]] = {}
    for package in COLUMNS:
        drawn = (
            tuple(room for room in floor.split() if not room.startswith("_")) for floor in listed[package]
        )
        floors[package] = tuple(filter(None, drawn))
    floors["lerg_runtime"] = ((*floors["lerg_runtime"][0], NATIVE), *floors["lerg_runtime"][1:])
    tallest = max(len(each) for each in floors.values())
    ground = TOP + HEADING + tallest * (FLOOR + GAP) - GAP
    bottom = ground + 14
    parts = flow()
    for package, each in floors.items():
        folder = ROOT / places[package]
        x, width = COLUMNS[package]
        top = ground - len(each) * (FLOOR + GAP) + GAP - HEADING
        parts.append(box(x, top, width, bottom - top, fill=COLOURS[package], line=FAINT))
        parts.append(text(x + width // 2, top + 24, package, size=15, bold=True))
        parts.append(text(x + width // 2, top + 43, HEADINGS[package], size=11, colour=FAINT))
        taken = arrows(package, folder, each)
        rooms, ways = column(package, each, taken, ground, folder)
        parts += [arrow(way) for way in ways]
        inside = [room for room in rooms.values() if room.name.startswith("programs.")]
        if inside:
            y = min(room.y for room in inside) - 8
            parts.append(text(x + 12, y, "programs/", bold=True, colour=FAINT, middle=False))
        for room in rooms.values():
            parts += drawn_room(room)
    level = ground - 4 * (FLOOR + GAP) + GAP // 2
    exporter_left, exporter_width = COLUMNS["lerg_exporter"]
    edge_left, edge_width = COLUMNS["lerg_edge"]
    parts.append(arrow([(exporter_left, level), (edge_left + edge_width + 2, level)], bold=True))
    right = exporter_left + exporter_width
    parts.append(arrow([(right, level), (COLUMNS["lerg_runtime"][0] - 2, level)], bold=True))
    width, height = 1410, bottom + 40
    note = (
        "Arrows point to what is imported, and are read off the sources. Left out: what follows from others, "
        "and arrows to the ground floor."
    )
    parts.append(text(20, bottom + 24, note, size=11, colour=FAINT, middle=False))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="Helvetica, Arial, sans-serif">\n'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE).write_text(picture(), encoding="utf-8")
