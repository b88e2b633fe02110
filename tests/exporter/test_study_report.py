"""Reports from results that were made up: means, spreads, what is shown and what is left out."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _studies import STUDY, record, write_study

from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.study import Outcome, Run, Store, Study, load_study, write_report
from lerg_exporter.study._columns import shown, shown_with_spread
from lerg_exporter.study._plots import drawable
from lerg_exporter.study._table import grouped, rows_of

SCORES = {(0.7, 0): 0.20, (0.7, 1): 0.24, (0.4, 0): 0.10, (0.4, 1): 0.10}


def study_of(folder: Path, text: str = STUDY) -> Study:
    return load_study(write_study(folder, text))


def outcome_of(study: Study, *, failures: tuple[tuple[Run, str], ...] = ()) -> Outcome:
    records = []
    for number, (cell, seed) in enumerate(study.runs()):
        options = cell.options(seed)
        run = Run(cell, seed, options, None, f"{number:064x}", f"run {number}")  # type: ignore[arg-type]
        records.append((run, record(options, ndcg=SCORES[cell.values["retention"], seed])))
    return Outcome(tuple(records), len(records), failures)


def written(folder: Path, study: Study, outcome: Outcome) -> str:
    store = Store.at(folder / "out")
    store.make()
    write_report(study, outcome, store, command="lerg-export study small.toml -o out")
    return (folder / "out" / "report.md").read_text(encoding="utf-8")


def table_rows(report: str, beginning: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in report.splitlines()
        if line.startswith(beginning)
    ]


def test_a_report_has_means_spreads_plots_and_every_run(tmp_path: Path) -> None:
    text = STUDY.replace(
        "[base]", 'seeds = [0, 1]\n[report]\ncolumns = ["ndcg@20", "bundle_bytes", "gap"]\n[base]'
    )
    study = study_of(tmp_path, text)
    report = written(tmp_path, study, outcome_of(study))
    head, *rows = table_rows(report.partition("## Plots")[0], "| 0.") or [[]]
    # 0.20 and 0.24: mean 0.22, sample standard deviation 0.0283; two equal scores have none to show.
    assert head == ["0.7", "0.2200 ± 0.0283", "35.0 KiB", "0"]
    assert rows == [["0.4", "0.1000", "35.0 KiB", "0"]]
    assert "means over seeds (0, 1), ± their sample standard deviation" in report
    assert (
        "# A small study\n\nDoes retention matter?\n\n```\nlerg-export study small.toml -o out\n```" in report
    )
    assert "2 abc64 cores (wide) with torch 9.9" in report
    assert "![ndcg](ndcg.png)" in report
    assert len(table_rows(report.partition("## Each run")[2], "| tiny |")) == 4
    for name, start in (("ndcg.png", b"\x89PNG"), ("ndcg.svg", b"<?xml")):
        assert (tmp_path / "out" / name).read_bytes().startswith(start)


def test_one_seed_has_no_spread_and_says_nothing_of_one(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    report = written(tmp_path, study, outcome_of(study))
    assert "±" not in report
    assert "seeds" not in report


def test_rows_are_tidy_and_hold_what_was_chosen(tmp_path: Path) -> None:
    study = study_of(tmp_path, STUDY.replace("codebook_rows = 24\n", "edge_share = 0.5\n"))
    outcome = outcome_of(study)
    written(tmp_path, study, outcome)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text(encoding="utf-8"))))
    assert [(row["data"], row["seed"], row["retention"]) for row in rows] == [
        ("tiny", "0", "0.7"),
        ("tiny", "0", "0.4"),
    ]
    first = rows[0]
    assert (first["codebook_rows"], first["edge_share"], first["min_users"]) == ("24", "0.5", "")
    assert float(first["ndcg@20"]) == 0.2
    assert float(first["embedding_share"]) == 1024 / 71680
    # 300 pairs that can be trained on in batches of 128 are three steps of 2 ms.
    assert float(first["finetune_epoch_s"]) == pytest.approx(0.006)
    assert (first["keep_users"], first["pruned_users"]) == ("[]", "placeholder")


def test_machines_and_failures_are_all_named(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    outcome = outcome_of(study)
    outcome.records[1][1]["machine"] |= {"cores": 64}
    failed = replace(outcome.records[0][0], title="the worst run")
    report = written(tmp_path, study, replace(outcome, failures=((failed, "it fell over"),)))
    assert "2 abc64 cores (wide) with torch 9.9; and on 64 abc64 cores" in report
    assert "3 runs, 1 of them failed" in report
    assert "- the worst run: it fell over" in report


def test_an_empty_outcome_is_still_a_report(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    failed = outcome_of(study).records[0][0]
    report = written(tmp_path, study, Outcome((), 0, ((failed, "no memory"),)))
    assert "1 run, 1 of them failed." in report
    assert not (tmp_path / "out" / "ndcg.png").exists()


PLOTS: dict[str, str] = {
    "bars with series": 'kind = "bar"\nx = "retention"\ny = "bundle_share"\nseries = "seed"',
    "points on logarithms": 'kind = "scatter"\nx = "bundle_bytes"\ny = "ndcg@20"\nlog = ["x", "y"]',
    "names on the axis": 'x = "selector"\ny = "ndcg@20"\nseries = "retention"',
    "only some rows": 'x = "retention"\ny = "ndcg@20"\nwhere = { retention = [0.4], data = "tiny" }',
}


@pytest.mark.parametrize("case", PLOTS)
def test_every_kind_of_plot_is_drawn(tmp_path: Path, case: str) -> None:
    study = study_of(tmp_path, STUDY.partition("[[plot]]")[0] + f'[[plot]]\nname = "p"\n{PLOTS[case]}\n')
    written(tmp_path, study, outcome_of(study))
    assert (tmp_path / "out" / "p.svg").stat().st_size > 2000


def test_a_plot_of_nothing_is_left_out(tmp_path: Path) -> None:
    plot = '[[plot]]\nname = "p"\nx = "retention"\ny = "ndcg_finetuned"\n'
    study = study_of(tmp_path, STUDY.partition("[[plot]]")[0] + plot)
    outcome = outcome_of(study)
    rows = [row for run, found in outcome.records for row in rows_of(study, run, found)]
    assert not drawable(study.plots[0], study, rows)
    assert "p.png" not in written(tmp_path, study, outcome)


ARRIVALS = STUDY.replace('data = ["tiny"]', 'data = ["tiny"]\nprotocol = "arrivals"', 1).replace(
    'x = "retention"', 'x = "history_share"\nseries = "way"'
)


def arrivals_outcome(study: Study) -> Outcome:
    outcome = outcome_of(study)
    for _, found in outcome.records:
        steps = [
            {
                "history_share": share,
                "history": 10 * share,
                "from_history": {"ndcg@20": share / 4, "recall@20": share / 2},
                "popularity": {"ndcg@20": 0.05, "recall@20": 0.06},
            }
            for share in (0.5, 1.0)
        ]
        trained = {"ndcg@20": 0.3, "recall@20": 0.4}
        found["arrivals"] = {"users": 8, "steps": steps, "trained": trained}
    return outcome


def test_arrivals_have_a_row_for_each_step_and_way(tmp_path: Path) -> None:
    study = study_of(tmp_path, ARRIVALS)
    outcome = arrivals_outcome(study)
    rows: list[dict[str, Any]] = rows_of(study, *outcome.records[0])
    assert [(row["way"], row["step"], row["ndcg@20"]) for row in rows] == [
        ("from history", 1, 0.125),
        ("from history", 2, 0.25),
        ("most touched", 1, 0.05),
        ("most touched", 2, 0.05),
        ("trained with them", 1, 0.3),
        ("trained with them", 2, 0.3),
    ]
    assert [row["history"] for row in rows] == [5.0, 10.0, None, None, 10.0, 10.0]
    assert len(grouped(study, rows)) == 6
    report = written(tmp_path, study, outcome)
    assert "| 0.7 | from history | 50 % | 0.1250 |" in report
    assert "| 0.7 | most touched | - | 0.0500 |" in report
    assert "| 0.7 | trained with them | all | 0.3000 |" in report
    # What is the same at every step has one line, and each run its own accuracy.
    assert report.count("most touched |") == 2
    assert "| tiny | 0.7 | 0 | 0.2100 | 0.2000 | - | 0.2000 |" in report
    assert (tmp_path / "out" / "ndcg.png").exists()


def test_figures_as_text() -> None:
    found = [
        shown(0.12345, "score"),
        shown(0.0534, "share"),
        shown(1536, "bytes"),
        shown(1234567, "count"),
        shown(None, "count"),
        shown(1178.8576, "number"),
        shown_with_spread(0.5, 0.0123, "share"),
        shown_with_spread(0.5, 0.0001, "share"),
        shown_with_spread(2.0, None, "ms"),
        shown_with_spread(1000.0, 20.0, "count"),
    ]
    assert found == [
        "0.1235", "5.3 %", "1.5 KiB", "1,234,567", "-", "1178.86", "50.0 ± 1.2 %", "50.0 %", "2.00 ms",
        "1,000",
    ]  # fmt: skip


def test_names_that_would_break_a_table_do_not(tmp_path: Path) -> None:
    variants = '[[variant]]\nname = "a|b"\n'
    study = study_of(tmp_path, STUDY + variants)
    assert "| a\\|b | 0.7 |" in written(tmp_path, study, outcome_of(study))


def test_options_of_a_record_are_those_of_the_run() -> None:
    assert record(ExportOptions(dim=32))["options"]["dim"] == 32
