"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from lerg_runtime.cli._output import note
from lerg_runtime.engine._threads import MAX_THREADS
from lerg_runtime.errors import InputError, UnknownIdError
from lerg_runtime.recommender import Recommender
from lerg_runtime.sizes import parse_size

__all__ = [
    "SKIP_UNKNOWN",
    "input_file",
    "json_option",
    "k_option",
    "lengths_option",
    "memory_budget_option",
    "ranking_length",
    "ranking_lengths",
    "reading_options",
    "tell_of_threshold",
    "threads_option",
    "unknown_ids",
]

_USUAL_LENGTH = 20
SKIP_UNKNOWN = "give --skip-unknown to leave out rows with an unknown id"


class _Size(click.ParamType):
    """A size in bytes, such as `64MiB`."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value, name="the size")
        except InputError as error:
            self.fail(str(error), param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")

k_option = click.option(
    "-k", "k", type=click.IntRange(min=1), help="Length of a ranking.  [default: 20, or all items if fewer]"
)


def ranking_length(k: int | None, recommender: Recommender) -> int:
    """What `-k` says, and without it 20 or as many items as there are.

    Raises:
        InputError: there are fewer items than `-k` says.
    """
    items = len(recommender.item_ids)
    if k is not None and k > items:
        raise InputError(f"-k is {k} and there are {items} items; ask for at most {items}")
    return min(_USUAL_LENGTH, items) if k is None else k


class _Lengths(click.ParamType):
    """Whole numbers with commas between them, such as `5,10,20`."""

    name = "K,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isascii() and part.isdigit() and 0 < len(part) < 10 and int(part) for part in parts):
            self.fail(f"{value!r} is no list of lengths above 0, such as 5,10,20", param, ctx)
        return tuple(int(part) for part in parts)


lengths_option = click.option(
    "-k",
    "ks",
    type=_Lengths(),
    help="Length of a ranking, or several in one pass.  [default: 20, or all items if fewer]",
)


def ranking_lengths(ks: tuple[int, ...] | None, recommender: Recommender) -> tuple[int, ...]:
    """As `ranking_length`, of one length or several."""
    return tuple(ranking_length(k, recommender) for k in ks or (None,))


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1, max=MAX_THREADS),
    metavar="N",
    help="Threads to work on. Default: OMP_NUM_THREADS, else as many as there are processors to use. "
    "No answer depends on it.",
)

memory_budget_option = click.option(
    "--memory-budget",
    type=_Size(),
    metavar="SIZE",
    help="Most memory to take beside Python's own, such as 64MiB; refused at once if it is too small.",
)


def input_file(name: str, help_text: str, *, required: bool = True) -> Any:
    """An option that names a file of interactions."""
    return click.option(
        name,
        "file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        required=required,
        metavar="FILE",
        help=f"{help_text}: CSV, TSV, lines of `user item item ...`, .inter, u.data, ratings.dat; or gzip.",
    )


def reading_options(command: Any) -> Any:
    """Names of columns, --skip-unknown, --skip-bad-rows and --rating-threshold."""
    command = click.option(
        "--timestamp-column", metavar="NAME", help='Tells the last of a pair\'s ratings; "" leaves it out.'
    )(command)
    command = click.option("--rating-column", metavar="NAME", help="To compare with the threshold.")(command)
    command = click.option(
        "--item-column", metavar="NAME", help="Of a table; default: what the export found, or a usual name."
    )(command)
    command = click.option("--user-column", metavar="NAME")(command)
    command = click.option(
        "--skip-unknown", is_flag=True, help="Leave out users and items that are unknown."
    )(command)
    command = click.option("--skip-bad-rows", is_flag=True, help="Go on after rows that cannot be read.")(
        command
    )
    return click.option(
        "--rating-threshold",
        type=float,
        metavar="RATING",
        help="Rows of a table rated below this are no positives; their number is told.",
    )(command)


def tell_of_threshold(given: float | None, recommender: Recommender) -> None:
    """A note where the export compared ratings with a threshold and this command was given none."""
    data = recommender.manifest.document.get("data")
    known = data.get("rating_threshold") if isinstance(data, dict) else None
    if given is None and isinstance(known, int | float):
        note(
            f"The bundle was made with --rating-threshold {known:g} and none is given here: every row "
            f"counts as a positive. If the file has ratings, give --rating-threshold {known:g}."
        )


@contextmanager
def unknown_ids(advice: str) -> Iterator[None]:
    """Errors about unknown ids say what to do in this command's own words."""
    try:
        yield
    except UnknownIdError as error:
        raise UnknownIdError(error.sentence, advice=advice) from None
