"""`docs/budgets.md`: the table that `benchmarks.budgets` has measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.budgets import Measured

PAGE = Path(__file__).parent.parent / "docs" / "budgets.md"
_MARK = "## Measured\n"
_BUNDLE = "### "
_HEADER = "| command | predicted | counted | apart | resident | over | in a group |\n|" + 7 * "---|" + "\n"


def write_page(rows: Sequence[Measured]) -> None:
    """Put the rows into the tables, in place of those of the same commands on the same bundles.

    What stands before the tables stays, and so do the rows of other bundles and commands.
    """
    head, _, tables = PAGE.read_text().partition(_MARK)
    lines: dict[str, dict[str, str]] = {}
    for block in tables.split(_BUNDLE)[1:]:
        name, _, table = block.partition("\n")
        written = (line for line in table.splitlines()[3:] if line)
        lines[name] = {line.split(" | ", 1)[0].removeprefix("| "): line for line in written}
    for row in rows:
        figures = (row.resident, max(0, row.resident - row.predicted), row.charged)
        cells = (row.predicted, row.counted, _apart(row.predicted, row.counted), *figures)
        line = f"| {row.command} | {' | '.join(map(_shown, cells))} |"
        lines.setdefault(row.bundle, {})[row.command] = line
    text = [head + _MARK]
    for name, table in lines.items():
        text += [f"\n{_BUNDLE}{name}\n\n{_HEADER}", *(f"{line}\n" for line in table.values())]
    PAGE.write_text("".join(text))


def _apart(predicted: int, counted: int | None) -> int | str | None:
    if counted is None:
        return None
    apart = predicted - counted
    return f"{100 * apart / predicted:.1f} %" if apart * 50 > predicted else apart


def _shown(figure: int | str | None) -> str:
    return "" if figure is None else figure if isinstance(figure, str) else f"{figure:,}"
