"""`lerg-edge add-item`: an item that a bundle was not made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lerg_runtime.bundle import IdMap
from lerg_runtime.cli._options import json_option, memory_budget_option, unknown_ids
from lerg_runtime.cli._output import note, print_json
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.recommender import Recommender

__all__ = ["add_item"]


@click.command("add-item", short_help="Recommend an item that the bundle was not made with.")
@bundle_argument
@click.argument("item", metavar="ID")
@click.option(
    "--features",
    multiple=True,
    metavar="NAME=VALUE",
    help="What is known of the item; may be given several times. `|` separates the values of a category, a "
    "blank the numbers of a vector; lerg-edge info says which features there are.",
)
@click.option(
    "--users",
    multiple=True,
    metavar="ID,...",
    help="Who has touched the item; may be given several times. A text that is a user's id is taken whole, "
    "another is cut at its commas.",
)
@click.option(
    "--boost",
    type=float,
    metavar="FACTOR",
    help="Multiply the item's row, and with it its scores: above 1 it is shown to more people, below to "
    "fewer.  [default: 1]",
)
@click.option("--remove", is_flag=True, help="Take the item out again that was added before.")
@click.option("--skip-unknown", is_flag=True, help="Leave out features, values and users that are unknown.")
@memory_budget_option
@trust_option
@json_option
def add_item(
    bundle: Path,
    item: str,
    features: tuple[str, ...],
    users: tuple[str, ...],
    boost: float | None,
    remove: bool,
    skip_unknown: bool,
    memory_budget: int | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """Give the item ID a row in BUNDLE, by its features or by its first users, and save.

    From then on it is recommended with all others. One that was added before is added anew.

    \b
    lerg-edge add-item bundle tt9362722 --features "genres=Animation|Action" --features year=2023
    lerg-edge add-item bundle tt9362722 --users alice,bob --boost 1.2
    lerg-edge add-item bundle tt9362722 --remove
    """
    if bool(features) + bool(users) + remove != 1:
        raise click.UsageError("give --features NAME=VALUE or --users ID,..., each once or more, or --remove")
    if remove and boost is not None:
        raise click.UsageError("--boost goes with --features or --users")
    known = _features(features)
    with Recommender.open(bundle, memory_budget=memory_budget, trust=trust) as recommender:
        if remove:
            recommender.remove_item(item)
        else:
            with unknown_ids("give --skip-unknown to leave out such users"):
                recommender.add_item(
                    item,
                    features=known if features else None,
                    users=_users(recommender.user_ids, users) if users else None,
                    boost=1.0 if boost is None else boost,
                    on_unknown="skip" if skip_unknown else "raise",
                )
        recommender.save()
        count = len(recommender.added_items)
    if as_json:
        print_json({"item": item, "removed": remove, "added_items": count})
        return
    done = "removed" if remove else "added"
    note(f"{item} {done}; the bundle has {count} added item{'s' * (count != 1)}.")


def _features(texts: Sequence[str]) -> dict[str, Any]:
    """The features by name. Raises UsageError for a text without `=` or a name that comes twice."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"--features is {text[:80]!r}; write NAME=VALUE, such as genres=Drama")
        if name.strip() in found:
            raise click.UsageError(f"--features names {name.strip()!r} twice; put its values into one")
        found[name.strip()] = value
    return found


def _users(ids: IdMap, texts: Sequence[str]) -> list[str]:
    return [
        user.strip()
        for text in texts
        for user in ([text] if ids.find(text) >= 0 else text.split(","))
        if user
    ]
