"""`lerg-edge profile`: latency and memory of each program on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lerg_runtime.cli._options import (
    json_option,
    k_option,
    memory_budget_option,
    ranking_length,
    threads_option,
)
from lerg_runtime.cli._output import print_json, print_table, progress
from lerg_runtime.cli.bundles import bundle_argument, trust_option
from lerg_runtime.recommender import Recommender
from lerg_runtime.serving._profile import Profile
from lerg_runtime.sizes import format_size

__all__ = ["profile"]


@click.command(short_help="Latency and memory of each program here.")
@bundle_argument
@k_option
@click.option(
    "--runs", type=click.IntRange(min=1), default=100, show_default=True, help="Timed runs at most."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="For which a program is timed at most, beyond its first few runs.",
)
@memory_budget_option
@threads_option
@trust_option
@json_option
def profile(
    bundle: Path,
    k: int | None,
    runs: int,
    seconds: float,
    memory_budget: int | None,
    threads: int | None,
    trust: str | None,
    as_json: bool,
) -> None:
    """Run each program of BUNDLE several times; nothing in it is changed.

    \b
    lerg-edge profile bundle
    lerg-edge profile bundle --runs 20 --json
    """
    with (
        Recommender.open(bundle, memory_budget=memory_budget, threads=threads, trust=trust) as recommender,
        progress("profile") as show,
    ):
        k = ranking_length(k, recommender)
        result = recommender.profile(k=k, runs=runs, seconds=seconds, on_progress=show)
    if as_json:
        print_json(_document(result))
    else:
        _print(result)


def _document(result: Profile) -> dict[str, object]:
    return {
        "latency_ms": {entry.method: asdict(entry.latency_ms) for entry in result.methods},
        "runs": {entry.method: entry.runs for entry in result.methods},
        "size": {entry.method: entry.size for entry in result.methods},
        "operators_ms": {entry.method: entry.operators_ms for entry in result.methods},
        "memory": {
            "planned_bytes": result.planned_bytes,
            "allocated_bytes": result.allocated_bytes,
            "peak_rss_bytes": result.peak_rss_bytes,
            "baseline_rss_bytes": result.baseline_rss_bytes,
        },
        "build": result.build,
    }


def _print(result: Profile) -> None:
    click.echo("Milliseconds")
    rows = [
        (
            f"{entry.method} ({entry.size})",
            *(f"{value:.2f}" for value in asdict(entry.latency_ms).values()),
            str(entry.runs),
        )
        for entry in result.methods
    ]
    print_table([("program", "p50", "p95", "p99", "runs"), *rows])
    for entry in result.methods:
        click.echo(f"\nOperators of {entry.method}")
        slowest = sorted(entry.operators_ms.items(), key=lambda named: -named[1])
        print_table([(name, f"{milliseconds:.3f}") for name, milliseconds in slowest])
    click.echo("\nMemory")
    print_table(
        [
            ("planned", format_size(result.planned_bytes)),
            ("allocated at most", format_size(result.allocated_bytes)),
            ("resident before opening", format_size(result.baseline_rss_bytes)),
            ("resident at most", format_size(result.peak_rss_bytes)),
        ]
    )
    build = ", ".join(f"{name} {value}" for name, value in result.build.items())
    click.echo(f"\n{build}")
