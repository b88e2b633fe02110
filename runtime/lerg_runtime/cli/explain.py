"""`lerg-edge explain`: what each item of a history adds to the score of an item."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click

from lerg_runtime.cli._items import history_option, named_items
from lerg_runtime.cli._options import json_option, memory_budget_option, threads_option, unknown_ids
from lerg_runtime.cli._output import note, print_json, print_table, whole_file
from lerg_runtime.cli._rankings import output_option, short, titled, titles_of
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.pairs._resolved import index_of
from lerg_runtime.recommender import Recommender

__all__ = ["explain"]

_WHO = "give --user ID or --history ITEM,..."
_LOCAL = "how often it was touched here"
_REST = {
    "history": "rounding",
    "table": "the user's own row beyond one hop",
    "placeholder": "the row that the user shares with others",
}


@click.command(short_help="What each item of a history adds to the score of an item.")
@bundle_argument
@click.option("--user", metavar="ID", help="A user.")
@history_option
@click.option("--item", required=True, metavar="ID", help="The item whose score is to be explained.")
@output_option("user,item,because,share[,title]; the last row, with an empty because, has the rest")
@memory_budget_option
@threads_option
@trust_option
@json_option
def explain(
    bundle: Path,
    user: str | None,
    histories: tuple[str, ...],
    item: str,
    output: Path | None,
    memory_budget: int | None,
    threads: int | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """Take apart the score that an item of BUNDLE has for a user, or for a history.

    The shares and the rest add up to the score. Where the user is served from a history the rest is what
    rounding leaves; where from a row of their own, what comes from further away than one hop. Of a personal
    bundle, without --user and --history, it is for the one whose history it keeps.

    \b
    lerg-edge explain bundle --user alice --item tt0068646
    lerg-edge explain bundle --history tt0111161,tt0071562 --item tt0068646 --json
    """
    if user is not None and histories:
        raise click.UsageError(_WHO)
    with Recommender.open(bundle, memory_budget=memory_budget, threads=threads, trust=trust) as recommender:
        if user is None and not histories and not recommender.is_personal:
            raise click.UsageError(_WHO)
        who: Any = None
        if user is not None:
            known = recommender.user_ids
            with unknown_ids("for somebody whom the bundle does not know give --history ITEM,..."):
                who = known[index_of(known, user, kind="user")]
            found = recommender.explain(who, item)
        else:
            history = named_items(recommender.item_ids, histories, option="--history") if histories else None
            found = recommender.explain(history, item)
        because = found.items.tolist()
        beside = titled(because, titles_of(recommender))
    rest = short(found.rest)
    rows = [
        (raw, short(share), *title)
        for raw, share, title in zip(because, found.shares.tolist(), beside, strict=True)
    ]
    header = ("item", "share", *(("title",) if rows and len(rows[0]) > 2 else ()))
    if output is not None:
        with whole_file(output) as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("user", "item", "because", *header[1:]))
            writer.writerows(
                (who, found.item, *row) for row in (*rows, (None, rest, *([None] * len(header[2:]))))
            )
    report = {
        "user": who,
        "item": found.item,
        "score": short(found.score),
        "served_by": found.served_by,
        "history": [dict(zip(header, row, strict=True)) for row in rows],
        **({"local": short(found.local)} if found.local else {}),
        "rest": rest,
    }
    if as_json:
        print_json(report if output is None else {"output": str(output), "rows": len(rows) + 1})
    elif output is not None:
        note(f"{len(rows) + 1} rows written to {output}")
    else:
        blank = ("",) * len(header[2:])
        print_table(
            [
                header,
                *((str(raw), f"{share:.4f}", *(text or "" for text in title)) for raw, share, *title in rows),
                *([(_LOCAL, f"{found.local:.4f}", *blank)] if found.local else []),
                (_REST[found.served_by], f"{found.rest:.4f}", *blank),
                ("score", f"{found.score:.4f}", *blank),
            ]
        )
