"""The report of a study: Markdown with its tables and plots, and the rows as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lerg_exporter.study._columns import ARRIVAL_COLUMNS, COLUMNS, shown, shown_with_spread
from lerg_exporter.study._files import write_whole
from lerg_exporter.study._plots import draw, drawable, title_of
from lerg_exporter.study._runs import Outcome
from lerg_exporter.study._spec import Study
from lerg_exporter.study._store import Store
from lerg_exporter.study._table import Row, Spread, csv_text, grouped, rows_of

__all__ = ["report_text", "write_report"]

_ONE_STEP_FOR_ALL = ("most touched", "trained with them")
_EACH_RUN = (
    "ndcg_before_pruning", "ndcg_before_finetuning", "ndcg_finetuned", "ndcg@20", "recall@20",
    "validation_ndcg", "validation_ndcg_finetuned", "best_epoch", "pretraining_epochs", "epoch_s", "seconds",
    "kept_users", "kept_items", "edges", "embedding_bytes", "bundle_bytes", "relaxation_value",
    "rounded_value", "gap",
)  # fmt: skip


def write_report(study: Study, outcome: Outcome, store: Store, *, command: str) -> None:
    """Write `report.md`, `results.csv` and the plots, each file whole, the report last.

    Args:
        command: that makes the study, as the report shows it.

    Raises:
        OSError: a file cannot be written.
    """
    rows = [row for run, record in outcome.records for row in rows_of(study, run, record)]
    plots = [plot for plot in study.plots if drawable(plot, study, rows)]
    write_whole(store.root / "results.csv", csv_text(study, rows))
    for plot in plots:
        for name, content in draw(plot, study, rows).items():
            write_whole(store.root / name, content)
    text = report_text(study, outcome, rows, plots=[plot.name for plot in plots], command=command)
    write_whole(store.root / "report.md", text)


def report_text(
    study: Study, outcome: Outcome, rows: Sequence[Row], *, plots: Sequence[str], command: str
) -> str:
    """The report as Markdown.

    Args:
        rows: of all records.
        plots: names of those that were drawn.
    """
    titles = {plot.name: plot.title or plot.name for plot in study.plots}
    parts = [
        f"# {study.title}",
        study.about,
        f"```\n{command}\n```",
        _made_on(outcome),
        _reading(study, rows),
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        parts += [f"## {data}", _described(data, outcome), _main_table(study, data, rows)]
    if plots:
        parts.append("## Plots")
        parts += [f"![{titles[name]}]({name}.png)" for name in plots]
    if outcome.failures:
        parts += ["## Runs that failed", *(f"- {run.title}: {why}" for run, why in outcome.failures)]
    if outcome.records:
        parts += ["## Each run", _each_run(study, outcome)]
    return "\n\n".join(parts) + "\n"


def _made_on(outcome: Outcome) -> str:
    """Runs may come from several machines or versions; every one is named."""
    notes = dict.fromkeys(_machine(record["machine"]) for _, record in outcome.records)
    failed = len(outcome.failures)
    count = len(outcome.records) + failed
    runs = f"{count} run{'' if count == 1 else 's'}" + (f", {failed} of them failed" if failed else "")
    return f"{runs}. Made on {'; and on '.join(notes)}." if notes else f"{runs}."


def _machine(found: Mapping[str, Any]) -> str:
    named = {"architecture", "instruction_set", "cores"}
    versions = ", ".join(f"{name} {number}" for name, number in found.items() if name not in named)
    return f"{found['cores']} {found['architecture']} cores ({found['instruction_set']}) with {versions}"


def _reading(study: Study, rows: Sequence[Row]) -> str:
    said = (
        "Accuracy is over the full catalogue, on the test pairs, training pairs left out, through the "
        "exported programs; NDCG@20 and Recall@20 are those of the bundle as it was written. Sizes are "
        "compared with a full table of 128 float32 numbers per entity. Times depend on the machine and on "
        "what else it does."
    )
    seeds, over = sorted({row["seed"] for row in rows}), []
    if len(seeds) > 1:
        over.append(f"seeds ({', '.join(map(str, seeds))})")
    if study.folds is not None:
        over.insert(0, f"{study.folds} folds")
    if over:
        said += (
            f" Figures are means over {' and '.join(over)}, ± their sample standard deviation where it shows."
        )
    if study.folds is not None and study.arrivals is None:
        said += (
            " Each user's pairs are dealt into the folds, every fold is the test set of a run, and test sets "
            "that came with the data are left aside."
        )
    if study.arrivals is not None:
        said += (
            f" {_arriving(study)} after the export: *from history* ranks "
            "for them by the part of their training pairs that is known, *most touched* by popularity alone, "
            "and *trained with them* is a bundle that was made with all their pairs."
        )
    if study.arrivals is not None and study.arrivals.peers:
        said += (
            " Peers are made of the same pairs as the bundle, their settings chosen on users held out of "
            "these, and know the same part of each history; ALS is implicit's, with rows as long as the "
            "bundle's. EASE is left out where there are more than 20,000 items."
        )
    return said


def _arriving(study: Study) -> str:
    if study.folds is not None:
        return (
            f"The users who can be asked are dealt into {study.folds} folds, one of which at a time arrives"
        )
    return f"{100 * study.arrivals.share:g} % of the users arrive" if study.arrivals else ""


def _described(data: str, outcome: Outcome) -> str:
    run, found = next((run, record["data"]) for run, record in outcome.records if run.cell.data == data)
    of_fold = "" if run.fold is None else f" in fold {run.fold}"
    return (
        f"{found['users']:,} users, {found['items']:,} items, {found['pairs']:,} training pairs{of_fold}, "
        f"density {100 * found['density']:.3g} %."
    )


def _main_table(study: Study, data: str, rows: Sequence[Row]) -> str:
    columns = [column for column in study.columns if column not in study.keys]
    table = [[*map(title_of, study.keys), *map(title_of, columns)]]
    for row, figures in grouped(study, [row for row in rows if row["data"] == data]):
        if row.get("way") in _ONE_STEP_FOR_ALL and row["step"] > 1:
            continue
        keys = [_key(key, row) for key in study.keys]
        table.append([*keys, *(_figure(column, row, figures) for column in columns)])
    return _markdown(table, names=len(study.keys))


def _key(key: str, row: Row) -> str:
    if key == "history_share":
        return (
            "all"
            if row["way"] == "trained with them"
            else "-"
            if row["way"] == "most touched"
            else (f"{100 * row[key]:g} %")
        )
    value = row[key]
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)


def _figure(column: str, row: Row, figures: Mapping[str, Spread]) -> str:
    unit = (COLUMNS.get(column) or ARRIVAL_COLUMNS[column]).unit
    found = figures.get(column)
    if found is None:
        return shown(row.get(column), unit)
    return shown_with_spread(found.mean, found.spread, unit)


def _each_run(study: Study, outcome: Outcome) -> str:
    """Every run by itself, what it was chosen by included."""
    axes = [key for key in study.keys if key not in ARRIVAL_COLUMNS]
    folded = study.folds is not None
    table = [["data", *axes, "seed", *(["fold"] if folded else []), *map(title_of, _EACH_RUN), "result"]]
    for run, record in outcome.records:
        row = rows_of(study, run, record)[0]
        if study.arrivals is not None:
            row |= {name: COLUMNS[name].of(record) for name in ("ndcg@20", "recall@20")}
        figures = [shown(row[name], COLUMNS[name].unit) for name in _EACH_RUN]
        if record["pretraining"]["epoch_s"] is None:
            figures[_EACH_RUN.index("epoch_s")] = "cached"
        keys = [_key(key, row) for key in axes]
        part = [str(run.fold)] if folded else []
        table.append([run.cell.data, *keys, str(run.seed), *part, *figures, f"`{run.fingerprint[:12]}`"])
    said = (
        "*cached*: pretraining was taken from the work folder. The relaxation, its rounding and the gap are "
        "of the selection. *result* begins the name of the run's file under `runs/`."
    )
    return f"{_markdown(table, names=len(axes) + 1)}\n\n{said}"


def _markdown(table: Sequence[Sequence[str]], *, names: int) -> str:
    """Rows as a Markdown table, the first as its head; names to the left, figures to the right."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in table]
    rule = ["---" if number < names else "---:" for number in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))
