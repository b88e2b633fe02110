"""`lerg-edge finetune`: learn from a file of interactions and save."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from lerg_runtime._limits import MAX_CANDIDATES
from lerg_runtime.bundle._state import STATE_FILE, state_stamp
from lerg_runtime.cli._options import (
    SKIP_UNKNOWN,
    input_file,
    json_option,
    memory_budget_option,
    reading_options,
    tell_of_threshold,
    threads_option,
    unknown_ids,
)
from lerg_runtime.cli._output import note, print_json, progress
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.cli.signals import telling
from lerg_runtime.interactions_file import InteractionsFile
from lerg_runtime.learning._optimiser import OPTIMISERS
from lerg_runtime.learning._training import FineTuneProgress, FineTuneReport
from lerg_runtime.recommender import Recommender
from lerg_runtime.sizes import format_size

__all__ = ["finetune"]


@click.command(short_help="Learn from a file of interactions and save.")
@bundle_argument
@input_file(
    "--interactions", "What happened here; not for a personal bundle, which has its history", required=False
)
@click.option(
    "--epochs", type=click.IntRange(min=1), default=3, show_default=True, help="Times to go over it."
)
@click.option("--optimiser", type=click.Choice(OPTIMISERS), default="adam", show_default=True)
@click.option("--learning-rate", type=float, metavar="RATE", help="Default: the bundle's.")
@click.option("--momentum", type=float, metavar="SHARE", help="Of sgd; 0 needs the least memory.")
@click.option(
    "--batch", type=click.IntRange(min=2), metavar="N", help="Triples in a step; default: the bundle's."
)
@click.option(
    "--replay",
    type=click.IntRange(min=0),
    metavar="N",
    help="Earlier interactions in an epoch; default: for each new one as many as the export found best.",
)
@click.option(
    "--negative-candidates",
    type=click.IntRange(min=1, max=MAX_CANDIDATES),
    metavar="N",
    help="Items drawn for a negative, the hardest is taken; 1 needs the least memory. Default: the bundle's.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Keep what was learned even where it does harm.")
@memory_budget_option
@threads_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Save as a new bundle; by default BUNDLE itself is updated.",
)
@reading_options
@trust_option
@json_option
def finetune(
    bundle: Path,
    file: Path | None,
    epochs: int,
    optimiser: str,
    learning_rate: float | None,
    momentum: float | None,
    batch: int | None,
    replay: int | None,
    negative_candidates: int | None,
    seed: int,
    force: bool,
    memory_budget: int | None,
    threads: int | None,
    output: Path | None,
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
    """Learn from interactions, going over earlier ones beside them, and save. A failure changes nothing.

    Pairs rated below --rating-threshold count as seen from then on, and are positives no more.

    \b
    lerg-edge finetune bundle --interactions new.csv --epochs 3
    lerg-edge finetune bundle --interactions new.csv --memory-budget 64MiB --output tuned
    lerg-edge finetune personal
    """
    if output is not None and output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise click.UsageError(f"--output {output} exists already; name another folder or remove it first")
    _check_target(bundle if output is None else output.absolute().parent)
    interactions = None
    if file is not None:
        interactions = InteractionsFile(
            file,
            rating_threshold=rating_threshold,
            skip_bad_rows=skip_bad_rows,
            on_bad_row=note,
            user_column=user_column,
            item_column=item_column,
            rating_column=rating_column,
            timestamp_column=timestamp_column,
        )
    before = state_stamp(bundle)

    def left() -> str:
        saved = state_stamp(bundle) != before if output is None else (output / STATE_FILE).is_file()
        return f"what was learned is saved in {output or bundle}" if saved else ""

    with (
        telling(left),
        Recommender.open(bundle, memory_budget=memory_budget, threads=threads, trust=trust) as recommender,
        progress("fine-tune") as show,
        unknown_ids(SKIP_UNKNOWN),
    ):
        if interactions is None and not recommender.is_personal:
            raise click.UsageError("Missing option '--interactions'; name a file of what happened here")
        if interactions is not None and recommender.is_personal:
            raise click.UsageError(
                f"{bundle} is a personal bundle and learns from the history that it keeps; observe what "
                "happened with lerg-edge observe, and leave --interactions out"
            )
        if not recommender.is_personal:
            tell_of_threshold(rating_threshold, recommender)

        def on_progress(event: FineTuneProgress) -> None:
            done = (event.epoch - 1) * event.steps + event.step
            show(done, event.epochs * event.steps, f"epoch {event.epoch}, loss {event.loss:.4f}")

        report = recommender.finetune(
            interactions,
            epochs=epochs,
            optimiser=optimiser,
            learning_rate=learning_rate,
            momentum=momentum,
            batch=batch,
            replay=replay,
            negative_candidates=negative_candidates,
            seed=seed,
            force=force,
            on_progress=on_progress,
            on_unknown="skip" if skip_unknown else "raise",
        )
        recommender.save(output)
    saved = bundle if output is None else output
    if as_json:
        extra: dict[str, object] = {"losses": report.losses, "saved": str(saved)}
        if interactions is not None:
            extra |= {
                "bad_rows": interactions.bad_rows_skipped,
                "below_threshold": interactions.below_threshold,
                "file": interactions.described(),
            }
        print_json({**asdict(report), **extra})
    elif interactions is not None:
        click.echo(f"{file}: {interactions.columns}")
        _print(report, saved, interactions)
    else:
        click.echo(f"{report.known_interactions} items of the history")
        _print_learned(report, saved)


def _check_target(folder: Path) -> None:
    """Refuse a place that cannot be written to before anything is learned, not after."""
    if not folder.is_dir():
        raise click.UsageError(f"there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise click.UsageError(f"{folder} cannot be written to; name another place with --output")


def _print(report: FineTuneReport, saved: Path, given: InteractionsFile) -> None:
    bad_rows, low = given.bad_rows_skipped, given.below_threshold
    skipped = f", {report.unknown} with an unknown id and {bad_rows} bad rows skipped"
    click.echo(
        f"{report.new_interactions} new and {report.known_interactions} known interactions"
        + (skipped if report.unknown or bad_rows else "")
        + f", {report.replayed} earlier ones gone over again in each epoch"
    )
    if low:
        click.echo(
            f"{low} rows rated below the threshold: {report.disliked} pairs count as seen from now on"
            + (f", {report.withdrawn} of them learned before and no more" if report.withdrawn else "")
        )
    if report.steps == 0:
        click.echo(f"nothing is left to learn from, so the weights stay as they are; saved in {saved}")
        return
    if report.untrainable:
        click.echo(
            f"{report.untrainable} join a pruned user and a pruned item: they count as seen and teach nothing"
        )
    _print_learned(report, saved)


def _print_learned(report: FineTuneReport, saved: Path) -> None:
    for epoch in report.epochs:
        click.echo(f"  epoch {epoch.epoch}: loss {epoch.loss:.4f}, {epoch.seconds:.1f} s")
    share = 100 * report.moved / max(1, report.elements)
    click.echo(f"{report.moved} of {report.elements} integers of the codebook moved ({share:.1f} %)")
    if report.loss_before is not None and report.loss_after is not None:
        looked_at = f"{report.held_out} held out" if report.held_out else "the first triples"
        click.echo(f"loss on {looked_at}: {report.loss_before:.4f} before, {report.loss_after:.4f} now")
    click.echo(f"{report.steps} steps, at most {format_size(report.peak_bytes)} in use; saved in {saved}")
