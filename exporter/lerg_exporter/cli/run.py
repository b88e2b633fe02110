"""`lerg-export run`: from a file of interactions to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lerg_edge.errors import InputError
from lerg_exporter.bundles.summary import accuracy_rows, cost_rows, data_sentences, program_rows, size_rows
from lerg_exporter.cli._options import json_option
from lerg_exporter.cli._output import inode_of, print_json, print_table, progress
from lerg_exporter.cli._reading import read_data
from lerg_exporter.cli._settings import SettingsCommand, given_options, heading, setting_options, spelling
from lerg_exporter.exporting.config import RunSettings, gathered, toml_text, values_of
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.saved_test import check_test_file, write_test_file
from lerg_exporter.exporting.target import check_target
from lerg_exporter.reporting.place import check_report_place
from lerg_runtime.cli.signals import at_once, telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from lerg_edge.data.interactions import Dataset
    from lerg_exporter.exporting.personal import PersonalReport
    from lerg_exporter.exporting.pipeline import ExportReport
    from lerg_exporter.exporting.tuning import Tuned

__all__ = ["run"]

heading("Output", "output", "force", "save_test", "report_folder", "quiet", "as_json")
heading("Settings", "config", "sets", "print_config")
heading("Training", "work_dir")


@click.command(cls=SettingsCommand, short_help="Interactions in, a bundle out.")
@click.argument("data", metavar="DATA", required=False)
@click.option(
    "-o", "output", type=click.Path(path_type=Path), metavar="BUNDLE", help="Where to write the bundle."
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace a bundle at -o, a report at --report and the file of --save-test; nothing else ever.",
)
@click.option(
    "--save-test",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the test pairs as CSV, so that lerg-edge evaluate --test FILE measures the same.",
)
@click.option(
    "--report",
    "report_folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write DIR/index.html: what was read, accuracy, bytes, memory, training, recommendations of a few "
    "people; it opens offline.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="Take settings from this file; --print-config writes one.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=VALUE",
    help="Give a setting that has no option here, or any other; may be repeated, and the last of a name "
    "counts. Options win over --set, and --set wins over --config.",
)
@click.option(
    "--print-config",
    is_flag=True,
    help="Print every setting that would be used, as a file for --config, and stop. With DATA, what depends "
    "on the data is stated too.",
)
@setting_options
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep intermediate results here, so that the next run can go on from them.",
)
def run(
    data: str | None,
    output: Path | None,
    force: bool,
    save_test: Path | None,
    report_folder: Path | None,
    quiet: bool,
    as_json: bool,
    config: Path | None,
    sets: tuple[str, ...],
    print_config: bool,
    work_dir: Path | None,
    **given: Any,
) -> None:
    """Train on DATA, prune, rewire, trace, fine-tune through the program, and write a bundle.

    DATA is `demo`, a folder with train.txt and test.txt (`user item item ...`, a line a user), or one file:
    CSV, TSV, Parquet, RecBole .inter, MovieLens u.data or ratings.dat. `demo:yelp2020`, `demo:amazon-book`
    and `demo:ifashion` are generated in the sizes of these sets.

    \b
    lerg-export run demo -o bundle
    lerg-export run interactions.csv -o bundle --memory-budget 64MiB
    lerg-export run ratings.dat -o bundle --rating-threshold 4 --retention 0.5 --work-dir work
    lerg-export run interactions.csv -o bundle --save-test test.csv --refit
    lerg-export run ratings.dat -o bundle --item-titles movies.dat --item-features movies.dat
    lerg-export run interactions.csv -o bundle --set selector=degree --set batch=1024
    lerg-export run interactions.csv --print-config > settings.toml
    lerg-export run interactions.csv -o bundle --config settings.toml --bits 4
    lerg-export run interactions.csv -o bundle --personal --storage-budget 500kB
    lerg-export run interactions.csv -o bundle --report report
    """
    settings = gathered(given_options(given), sets, config)
    if print_config:
        with progress(quiet=quiet) as tell, spelling(settings.speller):
            _print_config(data, settings, tell=tell, as_json=as_json)
        return
    if data is None or output is None:
        missing = "DATA" if data is None else "-o"
        raise InputError(f"{missing} is missing; write lerg-export run DATA -o BUNDLE")
    check_target(output, overwrite=force)
    reading = settings.reading
    sources = (data, reading.test, reading.item_titles, reading.item_features)
    if report_folder is not None:
        check_report_place(report_folder, bundle=output, sources=(*sources, save_test), overwrite=force)
    if save_test is not None:
        check_test_file(save_test, bundle=output, sources=sources, overwrite=force)
    before = inode_of(output)

    def left() -> str:
        if inode_of(output) != before:
            return f"the bundle in {output} is complete"
        if work_dir is not None:
            return f"the same command goes on from what is in {work_dir}"
        return "nothing was written"

    with telling(left), progress(quiet=quiet) as tell, spelling(settings.speller):
        dataset = read_data(data, values_of(settings.reading), seed=settings.options.seed, tell=tell)
        if save_test is not None and dataset.test is None:
            raise InputError.naming(
                "--save-test {}: there is no test set to write; leave it out or choose another {split}",
                save_test,
            )
        report = _export(dataset, output, settings, work_dir=work_dir, force=force, tell=tell)
        if save_test is not None and dataset.test is not None:
            write_test_file(save_test, dataset.test)
            tell.note(f"{dataset.test.pair_count:,} test pairs are in {save_test}")
        if report_folder is not None:
            tell.note(f"a report is in {_reported(report, dataset, report_folder, force=force)}")
    if as_json:
        print_json(_described(report))
        return
    _print(report)


def _print_config(data: str | None, settings: RunSettings, *, tell: Progress, as_json: bool) -> None:
    from lerg_exporter.programs.quiet_imports import quiet_imports

    with at_once(), quiet_imports():
        from lerg_exporter.exporting.pipeline import check_export
        from lerg_exporter.exporting.resolving import resolved
    dataset = (
        None
        if data is None
        else read_data(data, values_of(settings.reading), seed=settings.options.seed, tell=tell)
    )
    personal = settings.options.personal  # nothing of it is planned before people are asked
    plan = None if dataset is None or personal else check_export(dataset, settings.options)
    options = resolved(settings.options, plan=plan, dataset=dataset)
    values = {**values_of(settings.reading), **values_of(options)}
    if as_json:
        print_json({name: value for name, value in values.items() if value is not None})
        return
    click.echo(toml_text(values), nl=False)


def _export(
    dataset: Dataset,
    output: Path,
    settings: RunSettings,
    *,
    work_dir: Path | None,
    force: bool,
    tell: Progress,
) -> ExportReport | PersonalReport:
    from lerg_exporter.programs.quiet_imports import quiet_imports

    make: Callable[..., ExportReport | PersonalReport]
    with at_once(), quiet_imports():
        if settings.options.personal:
            from lerg_exporter.exporting.personal import export_personal as make
        else:
            from lerg_exporter.exporting.pipeline import export as make
    if not settings.options.personal and dataset.train.user_count > 1:
        tell.note(
            f"this bundle holds the ids and histories of {dataset.train.user_count:,} users for whoever has "
            "it; to give it to them one by one, make it with --personal"
        )
    return make(
        dataset,
        output,
        settings.options,
        reading=settings.reading,
        work_dir=work_dir,
        overwrite=force,
        progress=tell,
    )


def _reported(report: ExportReport | PersonalReport, dataset: Dataset, folder: Path, *, force: bool) -> Path:
    from lerg_exporter.reporting.writing import write_report

    return write_report(report, dataset, folder, overwrite=force)


def _one_person(report: PersonalReport) -> str:
    model, rule = report.manifest.model, report.chosen.choice.rule
    return (
        f"{model.own_rows:,} items have a row of their own and {model.items - model.own_rows:,} share "
        f"{model.placeholders:,}, stored as {report.chosen.coding}; histories of up to {model.max_history:,} "
        f"items are served by {rule}."
    )


def _described(report: ExportReport | PersonalReport) -> dict[str, Any]:
    document = report.manifest.document
    kept = ("data", "model", "storage", "metrics", "macs", "training")
    described = {"bundle": str(report.path), "programs": document["methods"]}
    return {**described, **{name: document[name] for name in kept if name in document}}


def _negatives(tuned: Tuned) -> str:
    count = tuned.negative_candidates
    return "uniform negatives" if count == 1 else f"the hardest of {count} negatives"


def _print(report: ExportReport | PersonalReport) -> None:
    from lerg_exporter.exporting.personal import PersonalReport

    document = report.manifest.document
    for sentence in data_sentences(document["data"]):
        click.echo(sentence)
    print_table(accuracy_rows(document))
    print_table(size_rows(document["storage"]))
    print_table(program_rows(document["methods"]))
    if isinstance(report, PersonalReport):
        click.echo(_one_person(report))
        click.echo(f"The bundle lies in {report.path}.")
        return
    print_table(cost_rows(document["macs"]))
    tuned = report.tuned
    if tuned is not None and tuned.scores:
        gained = (
            f"epoch {tuned.best_epoch} of {len(tuned.losses)} with {_negatives(tuned)} is kept"
            if tuned.best_epoch
            else "no epoch did better than before it, so the weights are as they were"
        )
        click.echo(f"Fine-tuning, by validation: {gained}.")
    click.echo(f"The bundle lies in {report.path}.")
