"""`lerg-edge recommend`: the best items of some users, of all, or of somebody known by a history alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from lerg_runtime.cli._items import filter_items, history_option, named_items
from lerg_runtime.cli._options import (
    json_option,
    k_option,
    memory_budget_option,
    ranking_length,
    threads_option,
    unknown_ids,
)
from lerg_runtime.cli._output import progress
from lerg_runtime.cli._rankings import Rankings, Words, best, output_option, show, titles_of
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.pairs._by_user import ItemsByUser
from lerg_runtime.pairs._resolved import index_of
from lerg_runtime.reading._columns import ColumnNames
from lerg_runtime.recommender import Recommender

__all__ = ["recommend"]

_USERS_AT_ONCE = 64
_PLACES_AT_ONCE = 1 << 11  # of rankings in memory, beside the budget
_WORDS = Words("user", "item", "item", "items", "score")
_WHO = "give --user ID or --history ITEM,..., each once or more, or --all-users"
_FILTER = "An item's id, ids between commas, or a file with an id a line or with columns user and item, for "
_FILTER += "each user; may be given several times."


@click.command(short_help="The best items of some users, of all, or from a history.")
@bundle_argument
@click.option("--user", "users", multiple=True, metavar="ID", help="A user; may be given several times.")
@click.option("--all-users", is_flag=True, help="Every user of the bundle.")
@history_option
@click.option(
    "--items", "allowed", multiple=True, metavar="FILE|ID,...", help=f"Only these may come. {_FILTER}"
)
@click.option(
    "--exclude", "excluded", multiple=True, metavar="FILE|ID,...", help="These may not come; as --items."
)
@click.option("--skip-unknown", is_flag=True, help="Leave out ids of --items and --exclude that are unknown.")
@k_option
@click.option("--include-seen", is_flag=True, help="Items that a user has touched may come too.")
@click.option(
    "--fallback",
    type=click.Choice(["popular"]),
    help="For a user whom the bundle does not know, or an empty history, what most users have touched; the "
    "score is their number.",
)
@output_option("user,item,rank,score[,title]")
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
    skip_unknown: bool,
    k: int | None,
    include_seen: bool,
    fallback: str | None,
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
    lerg-edge recommend bundle --user alice --items shop.txt --exclude tt0111161,tt0068646
    lerg-edge recommend personal -k 10
    """
    if bool(users) + all_users + bool(histories) > 1:
        raise click.UsageError(_WHO)
    with Recommender.open(bundle, memory_budget=memory_budget, threads=threads, trust=trust) as recommender:
        here = not (users or all_users or histories)
        if here and not recommender.is_personal:
            raise click.UsageError(_WHO)
        options: dict[str, Any] = {
            "k": ranking_length(k, recommender),
            "include_seen": include_seen,
            # Unknown items were refused or left out already, with the option's name.
            "on_unknown": "popular" if fallback else "skip" if skip_unknown else "raise",
        }
        named, skips = bool(users) or all_users, skip_unknown or fallback is not None
        by_user = partial(recommender._items_by_user, asked=users, skip_unknown=skips)
        for name, option, texts in (("items", "--items", allowed), ("exclude", "--exclude", excluded)):
            options[name] = filter_items(
                recommender.item_ids,
                texts,
                option=option,
                by_user=by_user if named else None,
                usual=recommender.manifest.columns if named else ColumnNames(),
                skip_unknown=skips,
            )
        total = len(recommender.user_ids) if all_users else len(users) or 1
        with progress("recommend") as bar:
            if here:
                rankings = _one(recommender.recommend(**options))
            elif histories:
                history = named_items(recommender.item_ids, histories, option="--history")
                rankings = _one(recommender.recommend_from_history(history, **options))
            else:
                rankings = _of_users(
                    recommender,
                    None if all_users else users,
                    options,
                    on_progress=lambda done: bar(done, total) if all_users else None,
                )
            show(
                rankings,
                _WORDS,
                k=options["k"],
                total=total,
                output=output,
                as_json=as_json,
                as_csv=all_users,
                titles=titles_of(recommender),
            )


def _of_users(
    recommender: Recommender,
    users: tuple[str, ...] | None,
    options: dict[str, Any],
    *,
    on_progress: Callable[[int], object],
) -> Rankings:
    ids = recommender.user_ids
    if users is not None and options["on_unknown"] != "popular":
        # Nothing is printed before every id has been found.
        with unknown_ids("for somebody whom it does not know give --history ITEM,... or --fallback popular"):
            for user in users:
                index_of(ids, user, kind="user")
    count = len(ids) if users is None else len(users)
    at_once = max(1, min(_USERS_AT_ONCE, _PLACES_AT_ONCE // options["k"]))
    for start in range(0, count, at_once):
        end = min(start + at_once, count)
        if users is None:
            raw = ids.take(np.arange(start, end)).tolist()
        else:
            raw = [ids[index] if (index := ids.find(user)) >= 0 else user for user in users[start:end]]
        asked: dict[str, Any] = {
            name: value.of(raw) if isinstance(value, ItemsByUser) else value
            for name, value in options.items()
        }
        items, scores = recommender.recommend(raw, **asked)
        on_progress(end)
        for user, row, points in zip(raw, items, scores, strict=True):
            yield user, best(row.tolist(), points)


def _one(ranking: tuple[np.ndarray, np.ndarray]) -> Rankings:
    items, scores = ranking
    yield None, best(items.tolist(), scores)
