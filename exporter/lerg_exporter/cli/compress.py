"""`lerg-export compress`: somebody else's trained tables become a bundle."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lerg_edge.errors import InputError
from lerg_exporter.bundles.summary import accuracy_rows, program_rows, size_rows
from lerg_exporter.cli._options import json_option
from lerg_exporter.cli._output import inode_of, print_json, print_table, progress
from lerg_exporter.cli._reading import read_data
from lerg_exporter.cli._settings import SettingsCommand, given_options, heading, options_for, spelling
from lerg_exporter.exporting.config import RUN_SETTINGS, ThroughCommand, gathered, values_of
from lerg_exporter.exporting.table_settings import TABLE_SETTINGS, usual_settings
from lerg_exporter.exporting.target import check_target
from lerg_runtime.cli.signals import at_once, telling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lerg_edge.data.interactions import Dataset
    from lerg_edge.tables import GivenTables
    from lerg_exporter.exporting.compressing import CompressReport
    from lerg_exporter.exporting.personal import PersonalReport
    from lerg_exporter.exporting.progress import Progress
    from lerg_exporter.exporting.reading import ReadingOptions

__all__ = ["compress"]

_FILES = ("users", "items", "model", "user_ids", "item_ids", "interactions")
_HERE = ("layers", "codes_per_entity", "entries")  # settings of `run` that are options here
_NAMED = (*_FILES, *_HERE)
_OPTIONS = [name for name in TABLE_SETTINGS if RUN_SETTINGS[name].option or name in _HERE]
_DEFAULTS = {
    "bits": "8, and 4 with --assignment full",
    "dim": "the width of the tables, and zeros up to a multiple of the blocks",
    "retention": "1",
    "layers": "0, where the tables are known to be final",
    "codes_per_entity": "one for every 2, 4 or 8 dimensions, by validation",
    "entries": "8 or 4, by validation",
    "propagation": "product codes (graph) or folded, by validation",
    "split": "the given test set, else none",
}

heading("Tables", *_FILES)


def _file(name: str, help_text: str) -> Any:
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=help_text,
    )


@click.command(cls=SettingsCommand, short_help="Somebody else's trained tables in, a bundle out.")
@_file("users", "Rows of the users: .npy [U, d], or Parquet with the columns id and vector.")
@_file("items", "Rows of the items, likewise. Alone, users are served by what they have touched.")
@_file(
    "model",
    "In place of both, a model as its library saved it: implicit's .npz, LightGCN-PyTorch's or RecBole's "
    "weights, word2vec's text format. Its content tells which.",
)
@_file(
    "user_ids", "Ids of the users in the order of their rows: a text, one a line, or .npy. Default: numbers."
)
@_file("item_ids", "Ids of the items, likewise.")
@click.option(
    "--interactions",
    metavar="DATA",
    help="Who has touched what, as lerg-export run takes it: what users have seen, what validation chooses "
    "by, and what --layers propagates over.",
)
@click.option(
    "-o", "output", type=click.Path(path_type=Path), metavar="BUNDLE", help="Where to write the bundle."
)
@click.option("--force", is_flag=True, help="Replace a bundle that is at -o; nothing else is ever replaced.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="Take settings from this file.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=VALUE",
    help="Give a setting that has no option here, or any other; may be repeated.",
)
@options_for(_OPTIONS, defaults=_DEFAULTS)
def compress(
    users: Path | None,
    items: Path | None,
    model: Path | None,
    user_ids: Path | None,
    item_ids: Path | None,
    interactions: str | None,
    output: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    config: Path | None,
    sets: tuple[str, ...],
    **given: Any,
) -> None:
    """Code trained tables, trace the programs, and write a bundle; nothing is trained.

    A score is the product of a user's row and an item's. With --interactions, and --test to measure on, the
    accuracy of the given tables is told beside that of the bundle.

    \b
    lerg-export compress --users U.npy --items I.npy -o bundle
    lerg-export compress --users U.npy --items I.npy --interactions train.csv --test test.csv -o bundle
    lerg-export compress --model als.npz --item-ids items.txt --storage-budget 500kB -o bundle
    lerg-export compress --model lightgcn.pth.tar --layers 3 --interactions train.csv -o bundle
    lerg-export compress --model item2vec.txt --interactions train.csv --personal -o bundle
    """
    if output is None:
        raise InputError("-o is missing; write lerg-export compress --users U.npy --items I.npy -o BUNDLE")
    check_target(output, overwrite=force)
    sides = {"user_ids": user_ids, "item_ids": item_ids}
    before = inode_of(output)

    def left() -> str:
        return "nothing was written" if inode_of(output) == before else f"the bundle in {output} is complete"

    with telling(left), progress(quiet=quiet) as tell:
        tell.stage("reading tables")
        with spelling(ThroughCommand({}, {}, _NAMED)):
            tables = _read_tables(users, items, model, **sides)
        settings = gathered(
            given_options(given),
            sets,
            config,
            usual=partial(
                usual_settings,
                dim=tables.dim,
                layers=tables.layers,
                has_pairs=interactions is not None,
            ),
            command_options=_NAMED,
        )
        with spelling(settings.speller):
            dataset = _read_pairs(interactions, settings.reading, seed=settings.options.seed, tell=tell)
            if not settings.options.personal:
                tell.note(
                    "this bundle holds the ids of all users, and what they have touched where that is given, "
                    "for whoever has it; to give it to them one by one, make it with --personal"
                )
            report = _compressed(
                tables, output, settings.stated, dataset, settings.reading, force=force, tell=tell
            )
    document = report.manifest.document
    if as_json:
        kept = ("data", "model", "storage", "metrics", "training")
        print_json({"bundle": str(output), **{name: document[name] for name in kept if name in document}})
        return
    rows = len(tables.items) + (0 if tables.users is None else len(tables.users))
    click.echo(
        f"Read {tables.form}: {rows:,} rows of {tables.dim}, {4 * rows * tables.dim:,} bytes as float32."
    )
    print_table(accuracy_rows(document))
    print_table(size_rows(document["storage"]))
    print_table(program_rows(document["methods"]))
    click.echo(f"The bundle lies in {output}; its rows are stored as {document['training']['coding']}.")


def _read_tables(
    users: Path | None, items: Path | None, model: Path | None, **sides: Path | None
) -> GivenTables:
    from lerg_edge.tables import read_model, read_tables

    if model is not None and items is None and users is None:
        return read_model(model, **sides)
    if items is not None and model is None:
        return read_tables(items, users, **sides)
    raise InputError.naming("give {users} and {items}, or {items} alone, or {model} in place of both")


def _read_pairs(source: str | None, reading: ReadingOptions, *, seed: int, tell: Progress) -> Dataset | None:
    """The interactions, without a test set unless one is given or asked for: rows are trained already."""
    from lerg_exporter.exporting.table_data import pairs_to_measure_on, split_of_given

    arguments = {**values_of(reading), "item_titles": None, "item_features": None}
    if source is not None:
        arguments["split"] = split_of_given(source, reading)
        return read_data(source, arguments, seed=seed, tell=tell)
    if reading.test is None:
        return None
    return pairs_to_measure_on(
        read_data(reading.test, {**arguments, "test": None, "split": "none"}, seed=seed, tell=tell)
    )


def _compressed(
    tables: GivenTables,
    output: Path,
    stated: Mapping[str, Any],
    dataset: Dataset | None,
    reading: ReadingOptions,
    *,
    force: bool,
    tell: Progress,
) -> CompressReport | PersonalReport:
    from lerg_exporter.programs.quiet_imports import quiet_imports

    with at_once(), quiet_imports():
        from lerg_exporter.exporting.compressing import compress as make
    return make(tables, output, stated, dataset=dataset, reading=reading, overwrite=force, progress=tell)
