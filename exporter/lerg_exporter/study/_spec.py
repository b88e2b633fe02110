"""What a study is, once its file has been read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.study._fields import options_of

__all__ = ["PEERS", "PROTOCOLS", "Arrivals", "Cell", "Plot", "Study"]

PROTOCOLS = ("export", "arrivals")
PEERS = ("cosines", "ease", "als")
"""What may rank for arrivals beside a bundle; `lerg_exporter.study.peers` makes them."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Users that arrive after pretraining.

    Attributes:
        share: of all users, held out entirely.
        steps: T; at step t an arrival is known by t/T of its training pairs.
        peers: what else ranks for them, of `PEERS`.
    """

    share: float = 0.1
    steps: int = 5
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure, with a panel for each data set.

    Attributes:
        name: of its files.
        title: above it.
        kind: line, bar or scatter.
        x, y: columns; series: the column that tells lines or bars apart, or None.
        log: axes with a logarithmic scale, of "x" and "y".
        where: columns and the values that a row must have in them to be drawn.
    """

    name: str
    title: str
    kind: str
    x: str
    y: str
    series: str | None
    log: tuple[str, ...]
    where: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of a study: a data set and a setting, to be run with each of its seeds.

    Attributes:
        data: as the file names it.
        variant: its name; empty where the study has no variants.
        values: fields of the export that are set, checked.
        seeds: of its runs.
    """

    data: str
    variant: str
    values: Mapping[str, Any]
    seeds: tuple[int, ...]

    def options(self, seed: int, sizes: tuple[int, int, int] | None = None) -> ExportOptions:
        """The options of a run; arguments and errors of `lerg_exporter.study._fields.options_of`."""
        return options_of(self.values, seed=seed, sizes=sizes)


@dataclass(frozen=True, slots=True)
class Study:
    """A named question, and the runs that answer it.

    Attributes:
        name, title, about: for people.
        protocol: `export`, or `arrivals`.
        axes: fields that vary by the grid, in the file's order.
        cells: every point.
        columns: of the report's main table.
        plots: of the report.
        arrivals: of that protocol, else None.
        folds: each run is made once for each; None without cross-validation.
    """

    name: str
    title: str
    about: str
    protocol: str
    axes: tuple[str, ...]
    cells: tuple[Cell, ...]
    columns: tuple[str, ...]
    plots: tuple[Plot, ...]
    arrivals: Arrivals | None
    folds: int | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that name a row of the main table, the data set and the seed aside."""
        named = ("variant",) if any(cell.variant for cell in self.cells) else ()
        reached = ("way", "history_share") if self.arrivals else ()
        return (*named, *self.axes, *reached)

    def runs(self) -> Iterator[tuple[Cell, int]]:
        """Every cell with each of its seeds; runs of a data set and seed follow each other."""
        datasets = dict.fromkeys(cell.data for cell in self.cells)
        for data in datasets:
            cells = [cell for cell in self.cells if cell.data == data]
            for seed in dict.fromkeys(seed for cell in cells for seed in cell.seeds):
                yield from ((cell, seed) for cell in cells if seed in cell.seeds)
