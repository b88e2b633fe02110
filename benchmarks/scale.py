"""How time and memory grow: exports of generated sets, each in a process of its own, and what they took.

Long: not among the suites that run by default. `python -m benchmarks scale` measures every point anew;
`python -m benchmarks.scale POINT ...` measures the named ones and leaves the others as they were measured
before; without names the pages alone are written. They are `docs/performance.md` and its plot.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from benchmarks.harness import RESULTS, Row, machine
from benchmarks.scale_pages import write_pages
from lerg_edge.data.synthetic import SHAPES

STORE = RESULTS / "scale-points.json"
MOST_MEMORY_MB = 8000.0
LIMITS_S = {"whole": 2400.0, "selection": 60.0, "rewiring": 60.0, "open": 3.0}

_EPOCHS = {"epochs": 5, "finetune_epochs": 1}
_BASE = {
    "users": 40_000, "items": 20_000, "interactions": 500_000, "communities": 20, "dim": 64, "retention": 0.7,
    "epochs": 2, "finetune_epochs": 1, "finetune_candidates": 1,
}  # fmt: skip
_SERIES: dict[str, tuple[dict[str, Any], ...]] = {
    "users": tuple({"users": 10_000 * n, "items": 5_000 * n, "communities": 5 * n} for n in (2, 4, 8, 16)),
    "interactions": tuple({"interactions": 250_000 * n} for n in (1, 2, 4, 8)),
    "d": tuple({"dim": 32 * n} for n in (1, 2, 4)),
    "m": tuple({"retention": n / 10} for n in (1, 4, 7, 10)),
}


def points() -> dict[str, dict[str, Any]]:
    """Settings of every point by its name."""
    shapes = {name: {**asdict(shape), **_EPOCHS} for name, shape in SHAPES.items()}
    grown = {
        _name(series, change): {**_BASE, **change}
        for series, changes in _SERIES.items()
        for change in changes
    }
    return {**shapes, "base": _BASE, **grown}


def series() -> dict[str, list[str]]:
    """Names of the points of each series, in its order, the base among them."""
    return {name: [_name(name, change) for change in changes] for name, changes in _SERIES.items()}


def _name(series: str, change: dict[str, Any]) -> str:
    return "base" if {**_BASE, **change} == _BASE else f"{series}={next(iter(change.values()))}"


def measure(names: list[str]) -> dict[str, Any]:
    """Measure points and add them to what is stored."""
    stored: dict[str, Any] = json.loads(STORE.read_text()) if STORE.exists() else {"points": {}}
    known = points()
    for name in names:
        print(name, flush=True)
        answer = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale_point", json.dumps(known[name])],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        stored["points"][name] = json.loads(answer.stdout)
        stored["machine"] = f"{os.cpu_count()} cores, {machine()}"
        RESULTS.mkdir(exist_ok=True)
        STORE.write_text(json.dumps(stored, indent=1) + "\n")
    stored["points"] = {name: stored["points"][name] for name in known if name in stored["points"]}
    return stored


def run() -> list[Row]:
    """Measure everything, write the pages, and hold the shapes to their limits."""
    stored = measure(list(points()))
    write_pages(stored, shapes=list(SHAPES), series=series())
    return [row for name in SHAPES for row in _rows(name, stored["points"][name])]


def _rows(name: str, found: dict[str, Any]) -> list[Row]:
    """Seconds against their limits, as peers; memory over its limit ends the run."""
    if found["peak_mb"] > MOST_MEMORY_MB:
        raise SystemExit(f"{name} took {found['peak_mb']:.0f} MB")
    stages = found["stages"]
    taken = {
        "whole": found["seconds"],
        "selection": stages["selection"]["seconds"],
        "rewiring": stages["rewiring"]["seconds"],
        "open": found["device"]["open_s"],
    }
    return [
        Row(f"{name}: {part}", 1e3 * seconds, 1e3 * LIMITS_S[part], LIMITS_S[part] / seconds, "limit as peer")
        for part, seconds in taken.items()
    ]


if __name__ == "__main__":
    known_names = list(points())
    wanted = known_names if sys.argv[1:] == ["all"] else sys.argv[1:]
    if unknown := [name for name in wanted if name not in known_names]:
        raise SystemExit(f"no point {unknown[0]}; there are {', '.join(known_names)}")
    write_pages(measure(wanted), shapes=list(SHAPES), series=series())
