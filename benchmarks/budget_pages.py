"""`docs/budgets.md`: the table that `benchmarks.budgets` has measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.budgets import Measured

PAGE = Path(__file__).parent.parent / "docs" / "budgets.md"
_MARK = "## Measured\n"
_HEADER = "| command | predicted | counted | apart | resident | over | in a group |\n|" + 7 * "---|" + "\n"


def write_page(rows: Sequence[Measured]) -> None:
    """Put the tables in place of those that are there; what stands before them stays."""
    head, _, _ = PAGE.read_text().partition(_MARK)
    text = [head + _MARK]
    for bundle in dict.fromkeys(row.bundle for row in rows):
        text.append(
            f"\n### {bundle}\n\n| command | predicted | counted | apart | resident | over | in a group |\n"
        )
        text.append("|---|---|---|---|---|---|---|\n")
        for row in (row for row in rows if row.bundle == bundle):
            figures = (row.resident, max(0, row.resident - row.predicted), row.charged)
            cells = (row.predicted, row.counted, _apart(row.predicted, row.counted), *figures)
            text.append(f"| {row.command} | {' | '.join(map(_shown, cells))} |\n")
    PAGE.write_text("".join(text))


def _apart(predicted: int, counted: int | None) -> int | str | None:
    if counted is None:
        return None
    apart = predicted - counted
    return f"{100 * apart / predicted:.1f} %" if apart * 50 > predicted else apart


def _shown(figure: int | str | None) -> str:
    return "" if figure is None else figure if isinstance(figure, str) else f"{figure:,}"
