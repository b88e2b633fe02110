"""The runs of a study: planned and checked all at once, then made one by one and kept as soon as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerg_edge.errors import BudgetError, InputError, LergError
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.pipeline import check_export, export
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.study._arrivals import arrivals_record
from lerg_exporter.study._data import Source, find_source, read_folds, read_source
from lerg_exporter.study._record import Stopwatch, record_of
from lerg_exporter.study._spec import Cell, Study
from lerg_exporter.study._store import Store, run_fingerprint
from lerg_runtime.errors import LergRuntimeError

__all__ = ["Outcome", "Run", "check_runs", "make_runs", "plan_runs"]

_ERRORS: dict[int, type[LergError]] = {2: InputError, 3: BudgetError}


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One export of a study, or the exports of one round of arrivals.

    Attributes:
        cell: its point in the study.
        seed: of its options.
        options: shares of the data resolved.
        source: the data.
        fingerprint: of all that its result depends on.
        title: for people.
        fold: its number, from 1; None without cross-validation.
    """

    cell: Cell
    seed: int
    options: ExportOptions
    source: Source
    fingerprint: str
    title: str
    fold: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of the runs.

    Attributes:
        records: each run that has a result, in the study's order.
        made: how many of them were made now.
        failures: each run that failed, and why.
    """

    records: tuple[tuple[Run, dict[str, Any]], ...]
    made: int
    failures: tuple[tuple[Run, str], ...]


def plan_runs(study: Study, file: Path, *, data_dir: Path | None, progress: Progress) -> list[Run]:
    """Read the data and say what there is to run.

    Args:
        file: of the study, which paths of data are read from.
        data_dir: see `lerg_exporter.study._data.find_source`.

    Raises:
        InputError: data that is not there or cannot be read, or options that cannot be.
    """
    places = {
        name: find_source(name, study=file, data_dir=data_dir)
        for name in dict.fromkeys(cell.data for cell in study.cells)
    }
    progress.stage("reading")
    sources = {name: _sources(study, name, place) for name, place in places.items()}
    runs = []
    for cell, seed in study.runs():
        for number, source in enumerate(sources[cell.data], start=1):
            fold = None if study.folds is None else number
            options = cell.options(seed, source.sizes)
            of_users = None if fold is None or study.arrivals is None else (fold, study.folds or 0)
            digest = run_fingerprint(
                data=source.digest, options=options, arrivals=study.arrivals, fold=of_users
            )
            runs.append(Run(cell, seed, options, source, digest, _title(study, cell, seed, fold), fold))
    return runs


def _sources(study: Study, name: str, place: str | Path) -> tuple[Source, ...]:
    """The data of each fold; of users, which arrivals are folds of, the same data for each."""
    if study.folds is None:
        return (read_source(name, place),)
    if study.arrivals is not None:
        return (read_source(name, place),) * study.folds
    return read_folds(name, place, study.folds)


def check_runs(study: Study, runs: Sequence[Run]) -> None:
    """Refuse what cannot be made, before hours go into what can.

    Raises:
        LergError: a run cannot be made; names it.
    """
    for run in runs:
        try:
            check_export(run.source.dataset, run.options)
        except (LergError, LergRuntimeError) as error:
            raise _named(run, error) from error


def make_runs(
    study: Study,
    runs: Sequence[Run],
    store: Store,
    *,
    work_dir: Path,
    keep_bundles: bool = False,
    keep_going: bool = False,
    progress: Progress,
) -> Outcome:
    """Take the results that are there, and make the others.

    Args:
        store: where results are kept.
        work_dir: where the stages of exports are kept.
        keep_bundles: keep bundles in the store; a result whose bundle is not there is made again.
        keep_going: go on after a run that failed.

    Raises:
        LergError: a run failed; what came before is kept.
    """
    store.make()
    records, failures, made = [], [], 0
    for number, run in enumerate(runs, start=1):
        record = None if keep_bundles and not _has_bundle(store, run) else store.load(run.fingerprint)
        if record is None:
            progress.note(f"run {number} of {len(runs)}: {run.title}")
            try:
                record = _made(study, run, store, work_dir, keep_bundle=keep_bundles, progress=progress)
            except Exception as error:
                if not keep_going and isinstance(error, (LergError, LergRuntimeError)):
                    raise _named(run, error) from error
                if not keep_going:
                    raise
                failures.append((run, " ".join(str(error).split()) or type(error).__name__))
                progress.note(f"run {number} failed: {failures[-1][1]}")
                continue
            made += 1
        records.append((run, record))
    return Outcome(tuple(records), made, tuple(failures))


def _made(
    study: Study, run: Run, store: Store, work_dir: Path, *, keep_bundle: bool, progress: Progress
) -> dict[str, Any]:
    clock = Stopwatch(progress)
    with tempfile.TemporaryDirectory(prefix="lerg-study-") as scratch:
        bundle = Path(scratch) / "bundle"
        if keep_bundle:
            bundle = store.bundle(run.fingerprint)
            bundle.parent.mkdir(exist_ok=True)
        if study.arrivals is not None:
            record = arrivals_record(
                run.source,
                run.options,
                study.arrivals,
                bundle,
                fold=None if run.fold is None else (run.fold, study.folds or 0),
                work_dir=work_dir,
                clock=clock,
            )
        else:
            report = export(
                run.source.dataset, bundle, run.options, work_dir=work_dir, overwrite=True, progress=clock
            )
            record = record_of(report, run.source, run.source.dataset.train, run.options, clock=clock)
    store.save(run.fingerprint, record)
    return record


def _has_bundle(store: Store, run: Run) -> bool:
    return (store.bundle(run.fingerprint) / "manifest.json").is_file()


def _title(study: Study, cell: Cell, seed: int, fold: int | None) -> str:
    part = "" if fold is None else f"fold {fold} of {study.folds}"
    varied = [f"{axis} {cell.values[axis]}" for axis in study.axes if axis in cell.values]
    return ", ".join(filter(None, (cell.data, cell.variant, *varied, f"seed {seed}", part)))


def _named(run: Run, error: LergError | LergRuntimeError) -> LergError:
    """The error with the run's title before it; bad input and budgets keep their exit status."""
    return _ERRORS.get(error.exit_code, LergError)(f"{run.title}: {error}")
