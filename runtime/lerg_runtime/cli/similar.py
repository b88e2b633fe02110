"""`lerg-edge similar`: what is most like some items, or who is most like some users."""

from __future__ import annotations

from pathlib import Path

import click

from lerg_runtime.cli._options import json_option, memory_budget_option, threads_option
from lerg_runtime.cli._rankings import Rankings, Words, best, output_option, show, titles_of
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._resolved import index_of
from lerg_runtime.recommender import Recommender

__all__ = ["similar"]

_USUAL_LENGTH = 10
_AT_ONCE = 64


@click.command(short_help="The items or users most like some others.")
@bundle_argument
@click.option("--item", "items", multiple=True, metavar="ID", help="An item; may be given several times.")
@click.option("--user", "users", multiple=True, metavar="ID", help="A user; may be given several times.")
@click.option(
    "-k", "k", type=click.IntRange(min=1), help="Length of a list.  [default: 10, or all others if fewer]"
)
@output_option("item,similar,rank,cosine[,title], or with --user user,similar,rank,cosine")
@memory_budget_option
@threads_option
@trust_option
@json_option
def similar(
    bundle: Path,
    items: tuple[str, ...],
    users: tuple[str, ...],
    k: int | None,
    output: Path | None,
    memory_budget: int | None,
    threads: int | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """List what in BUNDLE is nearest to items or to users by the cosine of their embeddings.

    \b
    lerg-edge similar bundle --item tt0111161 -k 5
    lerg-edge similar bundle --user alice --user bob --json
    """
    if bool(items) == bool(users):
        raise click.UsageError("give --item ID or --user ID, each once or more")
    with Recommender.open(bundle, memory_budget=memory_budget, threads=threads, trust=trust) as recommender:
        kind, given = ("item", items) if items else ("user", users)
        ids = recommender.item_ids if items else recommender.user_ids
        k = _length(k, len(ids) - 1, kind)
        asked = [ids[index_of(ids, raw, kind=kind)] for raw in given]
        show(
            _similar(recommender, kind, asked, k=k),
            Words(kind, kind, "similar", "similar", "cosine"),
            k=k,
            total=len(asked),
            output=output,
            as_json=as_json,
            titles=titles_of(recommender) if items else None,
        )


def _length(k: int | None, others: int, kind: str) -> int:
    if k is not None and k > others:
        raise InputError(f"-k is {k} and there are {others} other {kind}s; ask for at most {others}")
    return min(_USUAL_LENGTH, others) if k is None else k


def _similar(recommender: Recommender, kind: str, asked: list[int | str], *, k: int) -> Rankings:
    find = recommender.similar_items if kind == "item" else recommender.similar_users
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        for raw, row, cosines in zip(some, *find(some, k=k), strict=True):
            yield raw, best(row.tolist(), cosines)
