"""`lerg-edge evaluate`: ranking metrics on a file of held-out interactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from lerg_runtime.cli._metric_tables import by_difference, by_group, by_length
from lerg_runtime.cli._options import (
    SKIP_UNKNOWN,
    input_file,
    json_option,
    lengths_option,
    memory_budget_option,
    ranking_lengths,
    reading_options,
    tell_of_threshold,
    threads_option,
    unknown_ids,
)
from lerg_runtime.cli._output import note, print_json, print_table, progress
from lerg_runtime.cli.bundles import bundle_argument, other_bundle, trust_option
from lerg_runtime.errors import BudgetError
from lerg_runtime.interactions_file import InteractionsFile
from lerg_runtime.planning._fitting import check_phase
from lerg_runtime.planning._phases import Phase, PlanItem
from lerg_runtime.recommender import Recommender
from lerg_runtime.serving._comparison import RESAMPLES
from lerg_runtime.serving._metrics import Metrics

__all__ = ["evaluate"]


@click.command(short_help="Ranking metrics on held-out interactions.")
@bundle_argument
@input_file("--test", "Held-out interactions")
@lengths_option
@other_bundle(
    "--compare", "Measure this bundle too, on the same pairs, and tell the differences, with intervals."
)
@click.option("--intervals", is_flag=True, help="95 % intervals over users, by the bootstrap.")
@click.option(
    "--resamples",
    type=click.IntRange(min=1, max=100_000),
    default=RESAMPLES,
    show_default=True,
    metavar="N",
    help="Of the bootstrap.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the bootstrap.")
@memory_budget_option
@threads_option
@reading_options
@trust_option
@json_option
def evaluate(
    bundle: Path,
    file: Path,
    ks: tuple[int, ...] | None,
    compare: Path | None,
    intervals: bool,
    resamples: int,
    seed: int,
    memory_budget: int | None,
    threads: int | None,
    skip_unknown: bool,
    skip_bad_rows: bool,
    rating_threshold: float | None,
    user_column: str | None,
    item_column: str | None,
    rating_column: str | None,
    timestamp_column: str | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """Rank all items of BUNDLE for each user of the file, seen ones left out, and measure.

    Pairs that the bundle has learned from, and pairs rated low at the export, can't be recommended: they are
    counted and not measured. What the export held out is a candidate where the file asks for it.

    With --compare the bundles are opened one after the other, each under --memory-budget, of which the
    second has what the first one's figures leave; --trust is asked of both. A difference is BUNDLE's figure
    less the other's, over the users that both know and were measured on with as many pairs.

    \b
    lerg-edge evaluate bundle --test test.txt
    lerg-edge evaluate bundle --test test.csv -k 5,10,20 --json
    lerg-edge evaluate bundle --test test.csv --compare before
    """

    def measured(
        path: Path, label: str, memory_budget: int | None = memory_budget
    ) -> tuple[Metrics, InteractionsFile]:
        test = InteractionsFile(
            file,
            rating_threshold=rating_threshold,
            skip_bad_rows=skip_bad_rows,
            on_bad_row=note if path is bundle else None,
            user_column=user_column,
            item_column=item_column,
            rating_column=rating_column,
            timestamp_column=timestamp_column,
        )
        with (
            Recommender.open(path, memory_budget=memory_budget, threads=threads, trust=trust) as recommender,
            progress(label) as show,
            unknown_ids(SKIP_UNKNOWN),
        ):
            tell_of_threshold(rating_threshold, recommender)
            found = recommender.evaluate(
                test,
                k=ranking_lengths(ks, recommender),
                per_user=intervals or compare is not None,
                on_unknown="skip" if skip_unknown else "raise",
                on_progress=show,
            )
        return found, test

    metrics, test = measured(bundle, "evaluate")
    told = metrics.intervals(resamples=resamples, seed=seed) if intervals else None
    comparison = None
    if compare is not None:
        with _beside(metrics, bundle, memory_budget) as left:
            other, _ = measured(compare, "compare", left)
        comparison = metrics.compare(other, resamples=resamples, seed=seed)
    if as_json:
        found = metrics.as_dict() | {"bad_rows": test.bad_rows_skipped, "file": test.described()}
        if told is not None:
            found["intervals"] = {name: [span.low, span.high] for name, span in told.items()}
        if comparison is not None:
            found["comparison"] = {"other": str(compare), **comparison.as_dict()}
        print_json(found)
        return
    click.echo(
        f"NDCG@{metrics.k} {metrics.ndcg:.4f}, Recall@{metrics.k} {metrics.recall:.4f}, "
        f"{_counted(metrics.users, 'user')}, {_counted(metrics.pairs, 'pair')}"
    )
    click.echo(_dropped(metrics, bad_rows=test.bad_rows_skipped))
    click.echo(f"{file}: {test.columns}")
    print_table(by_length(metrics, told))
    if len(metrics.groups) > 1:
        click.echo(f"By how many items a user has touched, at {metrics.k}:")
        print_table(by_group(metrics))
    if comparison is not None:
        click.echo(
            f"{bundle} less {compare}, over {_counted(comparison.users, 'user')}; left out: "
            f"{comparison.left_out} of the former and {comparison.other_left_out} of the latter:"
        )
        print_table(by_difference(comparison, tuple(at.k for at in metrics.by_k)))


@contextmanager
def _beside(metrics: Metrics, bundle: Path, memory_budget: int | None) -> Iterator[int | None]:
    """What a bundle's figures leave of the budget; a refusal under it names them, and the whole budget."""
    held = 0 if metrics.per_user is None else metrics.per_user.nbytes
    try:
        yield None if memory_budget is None else max(1, memory_budget - held)
    except BudgetError as error:
        if not error.items or memory_budget is None:
            raise
        items = (*(PlanItem(*item) for item in error.items), PlanItem(f"figures of {bundle}", held))
        check_phase(Phase("compare", items), memory_budget, doing="comparing with another bundle")
        raise


def _dropped(metrics: Metrics, *, bad_rows: int) -> str:
    """What became of the rows that were not measured."""
    return (
        f"Of {_counted(metrics.rows, 'row')} not measured: {metrics.already_seen} already seen, "
        f"{metrics.unknown} unknown, {metrics.duplicates} repeated, "
        f"{metrics.below_threshold} rated below the threshold"
        + (f"; {bad_rows} more could not be read." if bad_rows else ".")
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
