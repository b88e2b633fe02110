"""`lerg-edge evaluate`: recall and NDCG on a file of held-out interactions."""

from __future__ import annotations

from pathlib import Path

import click

from lerg_runtime.cli._options import (
    bundle_argument,
    input_file,
    json_option,
    k_option,
    memory_budget_option,
    ranking_length,
    skip_options,
)
from lerg_runtime.cli._output import note, print_json, progress
from lerg_runtime.interactions_file import InteractionsFile
from lerg_runtime.recommender import Recommender

__all__ = ["evaluate"]


@click.command(short_help="Recall and NDCG on held-out interactions.")
@bundle_argument
@input_file("--test", "Held-out interactions")
@k_option
@memory_budget_option
@skip_options
@json_option
def evaluate(
    bundle: Path,
    file: Path,
    k: int | None,
    memory_budget: int | None,
    skip_unknown: bool,
    skip_bad_rows: bool,
    rating_threshold: float | None,
    as_json: bool,
) -> None:
    """Rank all items of BUNDLE for each user of the file, seen ones left out, and measure.

    \b
    lerg-edge evaluate bundle --test test.txt
    lerg-edge evaluate bundle --test test.csv -k 10 --json
    """
    test = InteractionsFile(
        file, rating_threshold=rating_threshold, skip_bad_rows=skip_bad_rows, on_bad_row=note
    )
    with Recommender.open(bundle, memory_budget=memory_budget) as recommender, progress("evaluate") as show:
        k = ranking_length(k, recommender)
        metrics = recommender.evaluate(
            test, k=k, on_unknown="skip" if skip_unknown else "raise", on_progress=show
        )
    if as_json:
        print_json(metrics.as_dict())
    else:
        click.echo(f"NDCG@{k} {metrics.ndcg:.4f}, Recall@{k} {metrics.recall:.4f}, {metrics.users} users")
