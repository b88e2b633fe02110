"""`lerg-edge score`: the scores of some items for some users, or for a history."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import click
import numpy as np

from lerg_runtime.cli._items import history_option, named_items
from lerg_runtime.cli._options import json_option, memory_budget_option, threads_option, unknown_ids
from lerg_runtime.cli._output import note, print_json, print_table, whole_file
from lerg_runtime.cli._rankings import output_option, short, titled, titles_of
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.pairs._resolved import index_of
from lerg_runtime.recommender import Recommender

__all__ = ["score"]

_WHO = "give --user ID or --history ITEM,..., each once or more"


@click.command(short_help="The scores of some items for some users, or from a history.")
@bundle_argument
@click.option("--user", "users", multiple=True, metavar="ID", help="A user; may be given several times.")
@history_option
@click.option(
    "--item", "items", multiple=True, required=True, metavar="ID", help="An item; may be given several times."
)
@output_option("user,item,score[,title]")
@memory_budget_option
@threads_option
@trust_option
@json_option
def score(
    bundle: Path,
    users: tuple[str, ...],
    histories: tuple[str, ...],
    items: tuple[str, ...],
    output: Path | None,
    memory_budget: int | None,
    threads: int | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """Score items of BUNDLE for users, as `recommend` does; every user with every item.

    With --history the user is null in JSON and empty in CSV. So it is of a personal bundle without any of
    these, for the one whose history it keeps. A score that is no number is null and empty.

    \b
    lerg-edge score bundle --user alice --item tt0111161 --item tt0068646
    lerg-edge score bundle --history tt0111161,tt0068646 --item tt0071562 --json
    """
    if users and histories:
        raise click.UsageError(_WHO)
    with Recommender.open(bundle, memory_budget=memory_budget, threads=threads, trust=trust) as recommender:
        if not (users or histories or recommender.is_personal):
            raise click.UsageError(_WHO)
        ids = recommender.item_ids
        asked = [ids[index_of(ids, item, kind="item")] for item in items]
        who: list[Any] = [None]
        if users:
            known = recommender.user_ids
            with unknown_ids("for somebody whom the bundle does not know give --history ITEM,..."):
                who = [known[index_of(known, user, kind="user")] for user in users]
            scores = recommender.score(who, asked)
        elif histories:
            history = named_items(ids, histories, option="--history")
            scores = recommender.score_from_history(history, asked)
        else:
            scores = recommender.score(None, asked)
        beside = titled(asked, titles_of(recommender))
    rows = [
        (user, item, short(value) if math.isfinite(value) else None, *title)
        for user, line in zip(who, np.atleast_2d(scores).tolist(), strict=True)
        for item, value, title in zip(asked, line, beside, strict=True)
    ]
    header = ("user", "item", "score", "title")[: len(rows[0])]
    if output is not None:
        with whole_file(output) as stream:
            csv.writer(stream, lineterminator="\n").writerows((header, *rows))
        report = {"output": str(output), "rows": len(rows)}
        print_json(report) if as_json else note(f"{len(rows)} rows written to {output}")
    elif as_json:
        print_json({"scores": [dict(zip(header, row, strict=True)) for row in rows]})
    else:
        shown = [
            ("from the history" if user is None else str(user), str(item), _shown(value), *map(_text, title))
            for user, item, value, *title in rows
        ]
        print_table([header, *shown])


def _text(title: str | None) -> str:
    return title or ""


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
