"""`lerg-edge recommend`: the best items of some users, of all, or of somebody known by a history alone."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np

from lerg_runtime.bundle import IdMap
from lerg_runtime.cli._options import (
    json_option,
    k_option,
    memory_budget_option,
    ranking_length,
    threads_option,
    unknown_ids,
)
from lerg_runtime.cli._output import note, print_json, print_table, progress, whole_file
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.errors import UnknownIdError
from lerg_runtime.pairs._resolved import index_of, unknown_id
from lerg_runtime.recommender import Recommender

__all__ = ["recommend"]

_USERS_AT_ONCE = 64
_PLACES_AT_ONCE = 1 << 13  # of rankings in memory, beside the budget

Rankings = Iterator[tuple[Any, list[tuple[Any, float]]]]
"""A user's raw id, None for a history, and raw item ids with scores, best first."""

Titles = Callable[[list[Any]], list[str | None]] | None
"""Titles of raw item ids; None where the bundle has none."""


@click.command(short_help="The best items of some users, of all, or from a history.")
@bundle_argument
@click.option("--user", "users", multiple=True, metavar="ID", help="A user; may be given several times.")
@click.option("--all-users", is_flag=True, help="Every user of the bundle.")
@click.option(
    "--history",
    "histories",
    multiple=True,
    metavar="ITEM,...",
    help="What somebody unknown to the bundle has touched; may be given several times. A text that is an "
    "item's id is taken whole, another is cut at its commas: give items that have commas one by one.",
)
@click.option(
    "--items",
    "allowed",
    multiple=True,
    metavar="ITEM,...",
    help="Of a personal bundle: only these may come; cut as --history is.",
)
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="ITEM,...",
    help="Of a personal bundle: these may not come.",
)
@k_option
@click.option("--include-seen", is_flag=True, help="Items that a user has touched may come too.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write CSV: user,item,rank,score[,title].",
)
@memory_budget_option
@threads_option
@trust_option
@json_option
def recommend(
    bundle: Path,
    users: tuple[str, ...],
    all_users: bool,
    histories: tuple[str, ...],
    allowed: tuple[str, ...],
    excluded: tuple[str, ...],
    k: int | None,
    include_seen: bool,
    output: Path | None,
    memory_budget: int | None,
    threads: int | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """Rank the items of BUNDLE for users, leaving out what they have seen.

    With --history it ranks for one user whom the bundle does not know: null in JSON, empty in CSV. Of a
    personal bundle, without any of these, for the one whose history it keeps.

    \b
    lerg-edge recommend bundle --user alice --user bob -k 10
    lerg-edge recommend bundle --all-users --output top.csv
    lerg-edge recommend bundle --history tt0111161,tt0068646
    lerg-edge recommend personal -k 10
    """
    if bool(users) + all_users + bool(histories) > 1:
        raise click.UsageError("give --user ID or --history ITEM,..., each once or more, or --all-users")
    with Recommender.open(bundle, memory_budget=memory_budget, threads=threads, trust=trust) as recommender:
        k = ranking_length(k, recommender)
        here = not (users or all_users or histories)
        if here and not recommender.is_personal:
            raise click.UsageError("give --user ID or --history ITEM,..., each once or more, or --all-users")
        if (allowed or excluded) and not here:
            raise click.UsageError("--items and --exclude go with the history that a personal bundle keeps")
        titles = recommender.titles if recommender.has_titles else None
        total = len(recommender.user_ids) if all_users else len(users) or 1
        with progress("recommend") as show:
            if here:
                rankings = _from_here(
                    recommender, k=k, include_seen=include_seen, allowed=allowed, excluded=excluded
                )
            elif histories:
                rankings = _from_history(recommender, histories, k=k, include_seen=include_seen)
            else:
                rankings = _rankings(
                    recommender,
                    None if all_users else users,
                    k=k,
                    include_seen=include_seen,
                    on_progress=lambda done: show(done, total) if all_users else None,
                )
            if output is not None:
                with whole_file(output) as stream:
                    rows = _write_csv(stream, rankings, titles)
                report = {"output": str(output), "users": total, "rows": rows, "k": k}
                said = f"{rows} rows for {total} user{'s' * (total != 1)} written to {output}"
                print_json(report) if as_json else note(said)
            elif as_json:
                _stream_json(rankings, titles, k=k)
            elif all_users:
                _write_csv(sys.stdout, rankings, titles)
            else:
                _print(rankings, titles)


def _rankings(
    recommender: Recommender,
    users: tuple[str, ...] | None,
    *,
    k: int,
    include_seen: bool,
    on_progress: Callable[[int], object],
) -> Rankings:
    count = len(recommender.user_ids) if users is None else len(users)
    if users is not None:
        # Nothing is printed before every id has been found.
        with unknown_ids("for somebody whom the bundle does not know give --history ITEM,..."):
            indices = [index_of(recommender.user_ids, user, kind="user") for user in users]
    at_once = max(1, min(_USERS_AT_ONCE, _PLACES_AT_ONCE // k))
    for start in range(0, count, at_once):
        end = min(start + at_once, count)
        block = np.arange(start, end) if users is None else np.array(indices[start:end])
        raw = recommender.user_ids.take(block).tolist()
        items, scores = recommender.recommend(raw, k=k, include_seen=include_seen)
        on_progress(end)
        for user, row, points in zip(raw, items, scores, strict=True):
            yield user, _best(row.tolist(), points)


def _from_history(
    recommender: Recommender, histories: tuple[str, ...], *, k: int, include_seen: bool
) -> Rankings:
    history = [item for text in histories for item in _cut(recommender.item_ids, text)]
    items, scores = recommender.recommend_from_history(history, k=k, include_seen=include_seen)
    yield None, _best(items.tolist(), scores)


def _from_here(
    recommender: Recommender,
    *,
    k: int,
    include_seen: bool,
    allowed: tuple[str, ...],
    excluded: tuple[str, ...],
) -> Rankings:
    """By the history that a personal bundle keeps."""
    only, never = (
        [item for text in texts for item in _cut(recommender.item_ids, text)] if texts else None
        for texts in (allowed, excluded)
    )
    items, scores = recommender.recommend(k=k, include_seen=include_seen, items=only, exclude=never)
    yield None, _best(items.tolist(), scores)


def _cut(ids: IdMap, text: str) -> list[str]:
    """The items that a `--history` names: the text itself if it is an id, else what stands between commas.

    Raises:
        UnknownIdError: one of them is unknown.
    """
    items = [text] if text in ids or "," not in text else text.split(",")
    for item in items:
        if item not in ids:
            cut = (
                ""
                if len(items) == 1
                else f"{text[:80]!r} is no item's id and was cut at its {len(items) - 1} "
            )
            cut += "" if len(items) == 1 else f"comma{'s' * (len(items) > 2)}, blanks beside them kept; "
            advice = f"{cut}give an item whose id has commas with a --history of its own"
            raise UnknownIdError(unknown_id(ids, item, kind="item").sentence, advice=advice)
    return items


def _best(items: list[Any], scores: np.ndarray) -> list[tuple[Any, float]]:
    # Nine digits give a float32 back exactly.
    return [
        (item, float(f"{score:.9g}")) for item, score in zip(items, scores, strict=True) if score > -np.inf
    ]


def _titled(best: list[tuple[Any, float]], titles: Titles) -> list[tuple[str | None, ...]]:
    """What stands beside each item: its title, or nothing where the bundle has none."""
    if titles is None:
        return [()] * len(best)
    return [(title,) for title in titles([item for item, _ in best])]


def _write_csv(stream: TextIO, rankings: Rankings, titles: Titles) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("user", "item", "rank", "score", *(("title",) if titles else ())))
    rows = 0
    for user, best in rankings:
        beside = _titled(best, titles)
        writer.writerows(
            (user, item, rank, score, *title)
            for rank, ((item, score), title) in enumerate(zip(best, beside, strict=True), start=1)
        )
        rows += len(best)
    return rows


def _stream_json(rankings: Rankings, titles: Titles, *, k: int) -> None:
    """One object, written as it comes: all users of a large bundle do not fit in memory."""
    before = f'{{"k": {k}, "users": ['
    for user, best in rankings:
        items = [
            {"item": item, "rank": rank, "score": score, **({"title": title[0]} if title else {})}
            for rank, ((item, score), title) in enumerate(
                zip(best, _titled(best, titles), strict=True), start=1
            )
        ]
        click.echo(before + json.dumps({"user": user, "items": items}, ensure_ascii=False), nl=False)
        before = ",\n"
    click.echo("]}")


def _print(rankings: Rankings, titles: Titles) -> None:
    for user, best in rankings:
        click.echo("from the history" if user is None else f"user {user}")
        rows = [
            (str(rank), str(item), f"{score:.4f}", *(text or "" for text in title))
            for rank, ((item, score), title) in enumerate(
                zip(best, _titled(best, titles), strict=True), start=1
            )
        ]
        head = ("rank", "item", "score", *(("title",) if titles else ()))
        print_table([head, *rows] if rows else [("no items left",)])
