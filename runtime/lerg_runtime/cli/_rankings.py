"""How rankings are written: as CSV, as JSON that comes as it goes, and for people."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np

from lerg_runtime.cli._output import note, print_json, print_table, whole_file
from lerg_runtime.recommender import Recommender

__all__ = ["Rankings", "Titles", "Words", "best", "output_option", "short", "show", "titled", "titles_of"]

Rankings = Iterator[tuple[Any, list[tuple[Any, float]]]]
"""The raw id that was asked for, None for a history, and raw ids with scores, best first."""

Titles = Callable[[list[Any]], list[str | None]] | None
"""Titles of raw item ids; None where the bundle has none."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the parts of a ranking are called.

    Attributes:
        asked: what it is for, `user` or `item`; column and key.
        found: what is in it, `user` or `item`; key.
        column: the same as a column.
        listed: the key of the ranking.
        measure: `score` or `cosine`.
    """

    asked: str
    found: str
    column: str
    listed: str
    measure: str


def output_option(columns: str) -> Any:
    """`--output FILE`, which writes CSV with these columns."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"Write CSV: {columns}.",
    )


def titles_of(recommender: Recommender) -> Titles:
    """What gives the titles of the bundle's items, if it has any."""
    return recommender.titles if recommender.has_titles else None


def titled(ids: Sequence[Any], titles: Titles) -> list[tuple[str | None, ...]]:
    """What stands beside each item: its title, or nothing where the bundle has none."""
    return [()] * len(ids) if titles is None else [(title,) for title in titles(list(ids))]


def short(score: float) -> float:
    """A float32 in nine digits, which give it back exactly."""
    return float(f"{score:.9g}")


def best(ids: Iterable[Any], scores: np.ndarray) -> list[tuple[Any, float]]:
    """Raw ids and scores up to where there are no more."""
    return [(raw, short(score)) for raw, score in zip(ids, scores, strict=True) if score > -np.inf]


def show(
    rankings: Rankings,
    words: Words,
    *,
    k: int,
    total: int,
    output: Path | None,
    as_json: bool,
    as_csv: bool = False,
    titles: Titles = None,
) -> None:
    """Write rankings to a file, or print them.

    Args:
        total: rankings that there will be.
        output: the file; None prints.
        as_csv: print CSV where nothing else is asked for.
        titles: of what is listed.
    """
    if output is not None:
        with whole_file(output) as stream:
            rows = _write_csv(stream, rankings, words, titles)
        report = {"output": str(output), f"{words.asked}s": total, "rows": rows, "k": k}
        said = f"{rows} rows for {total} {words.asked}{'s' * (total != 1)} written to {output}"
        print_json(report) if as_json else note(said)
    elif as_json:
        _stream_json(rankings, words, titles, k=k)
    elif as_csv:
        _write_csv(sys.stdout, rankings, words, titles)
    else:
        _print(rankings, words, titles)


def _write_csv(stream: TextIO, rankings: Rankings, words: Words, titles: Titles) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((words.asked, words.column, "rank", words.measure, *(("title",) if titles else ())))
    rows = 0
    for asked, entries in rankings:
        for rank, raw, score, title in _ranked(entries, titles):
            writer.writerow((asked, raw, rank, score, *title))
        rows += len(entries)
    return rows


def _stream_json(rankings: Rankings, words: Words, titles: Titles, *, k: int) -> None:
    """One object, written as it comes: all users of a large bundle do not fit in memory."""
    before = f'{{"k": {k}, "{words.asked}s": ['
    for asked, entries in rankings:
        listed = [
            {words.found: raw, "rank": rank, words.measure: score, **({"title": title[0]} if title else {})}
            for rank, raw, score, title in _ranked(entries, titles)
        ]
        entry = {words.asked: asked, words.listed: listed}
        click.echo(before + json.dumps(entry, ensure_ascii=False), nl=False)
        before = ",\n"
    click.echo("]}")


def _print(rankings: Rankings, words: Words, titles: Titles) -> None:
    header = ("rank", words.found, words.measure, *(("title",) if titles else ()))
    for asked, entries in rankings:
        click.echo("from the history" if asked is None else f"{words.asked} {asked}")
        rows = [
            (str(rank), str(raw), f"{score:.4f}", *(text or "" for text in title))
            for rank, raw, score, title in _ranked(entries, titles)
        ]
        print_table([header, *rows] if rows else [(f"no {words.found}s left",)])


def _ranked(
    entries: list[tuple[Any, float]], titles: Titles
) -> Iterator[tuple[int, Any, float, tuple[str | None, ...]]]:
    """Rank, raw id, score, and the title if there are any."""
    beside = titled([raw for raw, _ in entries], titles)
    for rank, ((raw, score), title) in enumerate(zip(entries, beside, strict=True), start=1):
        yield rank, raw, score, title
