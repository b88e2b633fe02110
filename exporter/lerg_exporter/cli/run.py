"""`lerg-export run`: from a file of interactions to a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lerg_edge.errors import InputError
from lerg_exporter.bundles.summary import accuracy_rows, cost_rows, data_sentences, program_rows, size_rows
from lerg_exporter.cli._options import Size, json_option, options_named
from lerg_exporter.cli._output import print_json, print_table, progress
from lerg_exporter.export.kinds.assignments import ASSIGNMENTS, AUXILIARIES
from lerg_exporter.export.kinds.recommenders import RECOMMENDERS
from lerg_exporter.export.options import (
    BIT_WIDTHS,
    PRUNED_USERS,
    QUANTISATIONS,
    REWIRINGS,
    STEPS,
    ExportOptions,
)
from lerg_exporter.export.progress import Progress
from lerg_exporter.export.saved_test import check_test_file, write_test_file
from lerg_exporter.export.target import check_target
from lerg_exporter.programs.choice import LOWERINGS, PROPAGATIONS
from lerg_exporter.programs.limits import ITEM_TABLES, LAYER_STORAGES
from lerg_runtime.cli.signals import at_once, telling

if TYPE_CHECKING:
    from lerg_edge.data.interactions import Dataset
    from lerg_exporter.export.pipeline import ExportReport
    from lerg_exporter.export.tuning import Tuned

__all__ = ["run"]

_SPLITS = ("auto", "none", "given", "ratio", "last", "time")
_MOST_BAD_ROWS_SHOWN = 10
_DATA_OPTIONS = (
    "test",
    "split",
    "test_share",
    "rating_threshold",
    "skip_bad_rows",
    "user_column",
    "item_column",
    "rating_column",
    "timestamp_column",
)

_DEFAULTS = ExportOptions()


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option of an export; its default is that of `ExportOptions`."""
    name = names[-1].removeprefix("--").replace("-", "_")
    default = getattr(_DEFAULTS, name, None)
    return click.option(*names, default=default, show_default=default is not None, **settings)


_COUNT = click.IntRange(min=1)
_SHARE = click.FloatRange(min=0, max=1, min_open=True)


@click.command(short_help="Interactions in, a bundle out.")
@click.argument("data", metavar="DATA")
@click.option(
    "-o", "output", type=click.Path(path_type=Path), required=True, metavar="BUNDLE", help="Where to write."
)
@click.option("--force", is_flag=True, help="Replace a bundle that is at -o; nothing else is ever replaced.")
@click.option(
    "--test", type=click.Path(exists=True, path_type=Path), metavar="FILE", help="Held-out interactions."
)
@click.option(
    "--split",
    type=click.Choice(_SPLITS),
    default="auto",
    show_default=True,
    help="The test set: none, the given one, or cut out of DATA: a ratio of each user's pairs, the last of "
    "each, or what came after one moment; auto takes the given one, else last where timestamps tell it, else "
    "ratio. What is cut out counts as seen.",
)
@click.option(
    "--test-share",
    type=float,
    metavar="SHARE",
    help="Part held out by --split ratio and time.  [default: 0.2]",
)
@click.option(
    "--save-test",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the test pairs as CSV, so that lerg-edge evaluate --test FILE measures the same.",
)
@click.option(
    "--refit/--no-refit",
    default=None,
    help="Once measured, train the model that ships on everything, the pairs cut out for testing and "
    "validation too; a given test set stays out.  [default: only with --split none]",
)
@click.option(
    "--rating-threshold",
    type=float,
    metavar="RATING",
    help="Pairs rated below this count as seen, and nothing is learned from them.",
)
@click.option("--skip-bad-rows", is_flag=True, help="Go on after rows that cannot be read, and count them.")
@click.option(
    "--user-column", metavar="NAME", help="Column of a table, where the usual names do not find it."
)
@click.option("--item-column", metavar="NAME")
@click.option("--rating-column", metavar="NAME")
@click.option("--timestamp-column", metavar="NAME")
@click.option(
    "--bits",
    type=click.Choice(tuple(map(str, BIT_WIDTHS))),
    help="Width of a codebook element; 32 is float32; default: 8, and 4 without product codes.",
)
@_option("--steps", type=click.Choice(STEPS), help="Of the quantiser: one, or one a row of the codebook.")
@_option(
    "--quantisation",
    type=click.Choice(QUANTISATIONS),
    help="Learned while training, or rounded after a training in 32 bits.",
)
@_option("--assignment", type=click.Choice(tuple(ASSIGNMENTS)), help="How entities come by their codes.")
@_option("--auxiliaries", type=click.Choice(AUXILIARIES), help="How an entity's other codes are chosen.")
@_option("--recommender", type=click.Choice(RECOMMENDERS), help="What is pretrained: a base recommender.")
@_option(
    "--codes", type=_COUNT, metavar="C", help="Rows of the codebook; default: by the number of entities."
)
@click.option(
    "--dim",
    type=_COUNT,
    metavar="D",
    help="Length of an embedding; default: 112, and 64 without product codes.",
)
@_option(
    "--per-entity",
    type=_COUNT,
    metavar="T",
    help="Codes that make up an entity; default: one for 8 columns, and 2 without product codes.",
)
@_option("--anchor-weight", type=_SHARE, metavar="W", help="Weight of the first of them.")
@_option("--layers", type=click.IntRange(min=0), metavar="L", help="Of propagation; default: 3.")
@_option(
    "--entries",
    type=_COUNT,
    metavar="K",
    help="Codes that make up an entity's row with --propagation folded; default: 8.",
)
@_option("--retention", type=_SHARE, metavar="R", help="Part of users and items that stay; default: 0.7.")
@_option(
    "--placeholders",
    type=click.IntRange(min=0),
    metavar="R",
    help="Rows that stand for the others; default: 500.",
)
@_option(
    "--pruned-users",
    type=click.Choice(PRUNED_USERS),
    help="How users who do not stay are served: by what they have touched or what stands for them.",
)
@_option(
    "--selector",
    metavar="NAME",
    help="auto, bip, bip-reach, bip-norm, bip-global, random, degree, norm, pagerank, or file.py:function.",
)
@_option(
    "--rounding-boundary",
    type=_SHARE,
    metavar="O",
    help="Share of itself in the relaxation from which selectors that solve the binary program round up.",
)
@_option("--min-users", type=click.IntRange(min=0), metavar="N", help="Least users that stay.")
@_option("--min-items", type=click.IntRange(min=0), metavar="N", help="Least items that stay.")
@click.option(
    "--keep-user", "keep_users", multiple=True, metavar="ID", help="A user who must stay; may be repeated."
)
@click.option(
    "--keep-item", "keep_items", multiple=True, metavar="ID", help="An item that must stay; may be repeated."
)
@_option(
    "--edge-budget",
    type=click.IntRange(min=0),
    metavar="N",
    help="Most that the degrees of who stays add up to.",
)
@_option(
    "--rewiring",
    type=click.Choice(REWIRINGS),
    help="Of edges that pruning took; with none a retained entity may end up without an edge.",
)
@_option("--propagation", type=click.Choice(PROPAGATIONS), help="How an entity's row comes about.")
@_option("--lowering", type=click.Choice(LOWERINGS), help="By which operators the programs compute.")
@_option("--layer-storage", type=click.Choice(LAYER_STORAGES), help="Of rows between layers of a graph.")
@_option("--item-table", type=click.Choice(ITEM_TABLES), help="Type of the items' rows that ranking reads.")
@_option("--memory-budget", type=Size(), metavar="SIZE", help="Most memory that running the bundle may take.")
@_option(
    "--storage-budget", type=Size(), metavar="SIZE", help="Most that the bundle's files may take together."
)
@_option(
    "--batch",
    type=click.IntRange(min=2),
    metavar="N",
    help="Most triples in a fine-tuning step; default: 4096.",
)
@_option(
    "--epochs",
    type=_COUNT,
    metavar="N",
    help="Most epochs of pretraining; default: 80, and 100 without product codes.",
)
@_option("--pretrain-batch", type=_COUNT, metavar="N", help="Interactions in a step of pretraining.")
@_option("--learning-rate", type=float, metavar="RATE", help="Of pretraining.")
@_option(
    "--finetune-epochs",
    type=click.IntRange(min=0),
    metavar="N",
    help="Most epochs of fine-tuning; 0 for none; default: 8, and none with --propagation folded.",
)
@_option(
    "--finetune-learning-rate", type=float, metavar="RATE", help="Of fine-tuning, here and on the device."
)
@_option(
    "--finetune-candidates",
    type=click.IntRange(min=1),
    metavar="N",
    help="Items drawn for a negative of fine-tuning; the hardest is taken; default: 1 or 16, by validation.",
)
@_option("--seed", type=click.IntRange(min=0), metavar="N", help="The same seed gives the same bundle.")
@_option(
    "--threads",
    type=click.IntRange(min=1, max=1024),
    metavar="N",
    help="Threads to compute on; a bundle depends on their number. Default: OMP_NUM_THREADS, else the cores.",
)
@_option("--device", type=click.Choice(("auto", "cpu", "cuda")), help="Where pretraining runs.")
@click.option(
    "--work-dir", type=click.Path(path_type=Path), metavar="DIR", help="Keep stages here for another run."
)
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def run(
    data: str,
    output: Path,
    force: bool,
    save_test: Path | None,
    work_dir: Path | None,
    quiet: bool,
    as_json: bool,
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
    """
    reading = {name: given.pop(name) for name in _DATA_OPTIONS}
    for name in ("bits", "dim"):
        given[name] = int(given[name] or 0)  # 0: what suits the assignment
    options = ExportOptions(**given)
    check_target(output, overwrite=force)
    if save_test is not None:
        check_test_file(save_test, bundle=output, sources=(data, reading["test"]), overwrite=force)
    before = _inode(output)

    def left() -> str:
        if _inode(output) != before:
            return f"the bundle in {output} is complete"
        if work_dir is not None:
            return f"the same command goes on from what is in {work_dir}"
        return "nothing was written"

    with (
        telling(left),
        progress(quiet=quiet) as tell,
        options_named(click.get_current_context().command.params),
    ):
        dataset = _read(data, reading, seed=options.seed, tell=tell)
        if save_test is not None and dataset.test is None:
            raise InputError(
                f"--save-test {save_test}: there is no test set to write; leave the option out or choose "
                "another --split"
            )
        report = _export(dataset, output, options, work_dir=work_dir, force=force, tell=tell)
        if save_test is not None and dataset.test is not None:
            write_test_file(save_test, dataset.test)
            tell.note(f"{dataset.test.pair_count:,} test pairs are in {save_test}")
    if as_json:
        print_json(_described(report))
        return
    _print(report)


def _inode(output: Path) -> int:
    """What tells whether a bundle has been put there; 0 without one."""
    return output.stat().st_ino if (output / "manifest.json").exists() else 0


def _read(data: str, reading: dict[str, Any], *, seed: int, tell: Progress) -> Dataset:
    from lerg_edge.data.readers import BadRow, read_dataset
    from lerg_exporter.export.data_report import described_data

    shown = 0

    def on_bad_row(row: BadRow) -> None:
        nonlocal shown
        shown += 1
        if shown <= _MOST_BAD_ROWS_SHOWN:
            tell.note(f"skipped {row.path}, line {row.line}: {row.reason}")

    tell.stage("reading")
    dataset = read_dataset(data, seed=seed, on_bad_row=on_bad_row, **reading)
    train, report = dataset.train, dataset.train.report
    tests = dataset.test.pair_count if dataset.test else 0
    tell.note(
        f"{train.user_count:,} users ({report.users_without:,} without a training pair), "
        f"{train.item_count:,} items ({report.items_without:,} without); {train.pair_count:,} training and "
        f"{tests:,} test pairs; {report.duplicates_merged:,} duplicates merged, "
        f"{report.bad_rows_skipped:,} bad rows skipped"
    )
    for sentence in data_sentences(described_data(dataset)):
        tell.note(sentence)
    return dataset


def _export(
    dataset: Dataset,
    output: Path,
    options: ExportOptions,
    *,
    work_dir: Path | None,
    force: bool,
    tell: Progress,
) -> ExportReport:
    from lerg_exporter.programs.quiet_imports import quiet_imports

    with at_once(), quiet_imports():
        from lerg_exporter.export.pipeline import export
    return export(dataset, output, options, work_dir=work_dir, overwrite=force, progress=tell)


def _described(report: ExportReport) -> dict[str, Any]:
    document = report.manifest.document
    kept = ("data", "model", "programs", "storage", "metrics", "macs", "training")
    return {"bundle": str(report.path), **{name: document[name] for name in kept}}


def _negatives(tuned: Tuned) -> str:
    count = tuned.negative_candidates
    return "uniform negatives" if count == 1 else f"the hardest of {count} negatives"


def _print(report: ExportReport) -> None:
    document = report.manifest.document
    for sentence in data_sentences(document["data"]):
        click.echo(sentence)
    print_table(accuracy_rows(document))
    print_table(size_rows(document["storage"]))
    print_table(program_rows(document["programs"]))
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
