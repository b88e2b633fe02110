"""`lerg-export study`: a named question, its runs and their report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from lerg_exporter.cli._options import json_option
from lerg_exporter.cli._output import print_json, print_table, progress

if TYPE_CHECKING:
    from lerg_exporter.study import Outcome, Run, Store, Study

from lerg_runtime.cli.signals import at_once, telling

__all__ = ["study"]


@click.command(short_help="A named question, its runs and a report.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "-o", "output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where results lie."
)
@click.option("--quick", is_flag=True, help="The small form that the file's table [quick] describes.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the runs; make none.")
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the study's data lies; default: the folder that LERG_DATA names, else ../shared/data.",
)
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the stages of exports here, for several studies; default: DIR/work.",
)
@click.option("--keep-bundles", is_flag=True, help="Keep every bundle in DIR/bundles.")
@click.option("--keep-going", is_flag=True, help="Go on after a run that fails; the report lists it.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
@click.pass_context
def study(
    context: click.Context,
    file: Path,
    output: Path,
    quick: bool,
    dry_run: bool,
    data_dir: Path | None,
    work_dir: Path | None,
    keep_bundles: bool,
    keep_going: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run the study in FILE and write report.md, results.csv and its plots to DIR.

    Each run's result is kept as soon as it is there: the same command goes on where it was, and makes nothing
    twice. docs/studies.md says how to write a study; examples/studies holds some.

    \b
    lerg-export study examples/studies/retention.toml -o retention --quick
    lerg-export study mine.toml -o results --dry-run
    """
    from lerg_exporter.programs.quiet_imports import quiet_imports
    from lerg_exporter.study import Store, StudyFileError, load_study

    try:
        read = load_study(file, quick=quick)
    except StudyFileError as error:
        for problem in error.problems[:-1]:
            click.echo(f"Error: {problem}", err=True)
        raise StudyFileError(error.problems[-1:]) from error
    store = Store.at(output)
    with telling(lambda: f"the same command goes on from what is in {output}"), progress(quiet=quiet) as tell:
        with at_once(), quiet_imports():
            from lerg_exporter.study import check_runs, make_runs, plan_runs, write_report
        runs = plan_runs(read, file, data_dir=data_dir, progress=tell)
        missing = [run for run in runs if store.load(run.fingerprint) is None]
        if not keep_going:
            check_runs(read, missing)
        if not dry_run:
            outcome = make_runs(
                read,
                runs,
                store,
                work_dir=work_dir or output / "work",
                keep_bundles=keep_bundles,
                keep_going=keep_going,
                progress=tell,
            )
            tell.stage("writing the report")
            write_report(read, outcome, store, command=_command(context))
    if dry_run:
        _print_runs(read, runs, missing, as_json=as_json)
        return 0
    return _finish(read, outcome, store, as_json=as_json)


def _print_runs(read: Study, runs: Sequence[Run], missing: Sequence[Run], *, as_json: bool) -> None:
    there = {run.fingerprint for run in runs} - {run.fingerprint for run in missing}
    if as_json:
        listed = [{"run": run.title, "there": run.fingerprint in there} for run in runs]
        print_json({"study": read.name, "runs": listed})
        return
    print_table(
        [
            ("run", "result"),
            *((run.title, "there" if run.fingerprint in there else "to make") for run in runs),
        ]
    )
    click.echo(f"{len(runs)} runs, {sum(run.fingerprint in there for run in runs)} of them there.")


def _finish(read: Study, outcome: Outcome, store: Store, *, as_json: bool) -> int:
    """Say what came of it; status 1 if a run failed."""
    report = store.root / "report.md"
    if as_json:
        failed = [{"run": run.title, "error": why} for run, why in outcome.failures]
        numbers = {"runs": len(outcome.records) + len(failed), "made": outcome.made, "failed": failed}
        print_json({"study": read.name, **numbers, "report": str(report)})
    else:
        taken = len(outcome.records) - outcome.made
        click.echo(f"{outcome.made} runs made, {taken} taken from {store.root / 'runs'}.")
        for run, why in outcome.failures:
            click.echo(f"Error: {run.title}: {why}", err=True)
        click.echo(f"The report lies in {report}.")
    return 1 if outcome.failures else 0


def _command(context: click.Context) -> str:
    """The command as given, without folders of this machine: of a path that leads elsewhere the last name."""
    given = context.params
    words = ["lerg-export", "study", _shown(given["file"]), "-o", _shown(given["output"])]
    for name in ("data_dir", "work_dir"):
        if given[name] is not None:
            words += [f"--{name.replace('_', '-')}", _shown(given[name])]
    words += [f"--{name}" for name in ("quick",) if given[name]]
    words += [f"--{name.replace('_', '-')}" for name in ("keep_bundles", "keep_going") if given[name]]
    return " ".join(words)


def _shown(path: Path) -> str:
    pure = PurePath(path)
    return pure.name if pure.is_absolute() or ".." in pure.parts else str(pure)
