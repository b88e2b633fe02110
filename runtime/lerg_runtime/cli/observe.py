"""`lerg-edge observe`: what the person of a personal bundle has touched, kept on this device."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from lerg_runtime.cli._options import json_option, memory_budget_option, unknown_ids
from lerg_runtime.cli._output import note, print_json
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.errors import InputError
from lerg_runtime.recommender import Recommender

__all__ = ["observe"]


@click.command(short_help="Keep what one person has touched, for a personal bundle.")
@bundle_argument
@click.option(
    "--item",
    "items",
    multiple=True,
    metavar="ID",
    help="An item that was touched; the last one given is latest.",
)
@click.option(
    "--when",
    metavar="TIME",
    help="When it was: seconds since 1970, or a time such as 2026-11-30T21:00, UTC if it names no zone. "
    "Default: now.",
)
@click.option("--forget", "forgotten", multiple=True, metavar="ID", help="An item to take out of it.")
@click.option("--erase", is_flag=True, help="Forget the whole history, in the bundle's files too.")
@click.option("--skip-unknown", is_flag=True, help="Leave out items that the bundle does not know.")
@memory_budget_option
@trust_option
@json_option
def observe(
    bundle: Path,
    items: tuple[str, ...],
    when: str | None,
    forgotten: tuple[str, ...],
    erase: bool,
    skip_unknown: bool,
    memory_budget: int | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """Put items into the history that BUNDLE keeps, or take them out, and save; nothing is trained.

    What is given together is saved together: --erase comes first, then --forget, then --item.

    \b
    lerg-edge observe bundle --item tt0111161 --item tt0068646
    lerg-edge observe bundle --forget tt0111161
    lerg-edge observe bundle --erase
    """
    if not (items or forgotten or erase):
        raise click.UsageError("give --item ID or --forget ID, each once or more, or --erase")
    if when is not None and not items:
        raise click.UsageError("--when goes with --item")
    moment = None if when is None else _moment(when)
    with Recommender.open(bundle, memory_budget=memory_budget, trust=trust) as recommender:
        if erase:
            recommender.erase()
        advice = "give --skip-unknown to leave out such items"
        with unknown_ids(advice):
            if forgotten:
                recommender.forget(list(forgotten))
            noted = (
                recommender.observe(list(items), when=moment, on_unknown="skip" if skip_unknown else "raise")
                if items
                else 0
            )
        if items or forgotten:
            recommender.save()
        report: dict[str, Any] = {
            "observed": noted,
            "skipped": len(items) - noted,
            "history": len(recommender.history()),
        }
    if as_json:
        print_json(report)
        return
    left_out = f", {report['skipped']} unknown left out" if report["skipped"] else ""
    note(f"{noted} observed{left_out}; the history has {report['history']} items.")


def _moment(text: str) -> float:
    """Seconds since 1970 of a number of them or an ISO 8601 time. Raises InputError."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"--when is {text[:80]!r}; give seconds since 1970, or a time such as 2026-11-30T21:00"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
