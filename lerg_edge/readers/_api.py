"""The two ways in: one source as interactions, or a training and test set over the same ids."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lerg_edge.errors import InputError
from lerg_edge.interactions import Dataset, IdMap, Interactions, ReadReport
from lerg_edge.readers._columns import ColumnNames
from lerg_edge.readers._delimited import read_delimited
from lerg_edge.readers._encode import PairBuffer, id_map_of
from lerg_edge.readers._formats import file_format
from lerg_edge.readers._lines import read_lines
from lerg_edge.readers._parquet import read_parquet
from lerg_edge.readers._rows import BadRow, BadRowLog
from lerg_edge.splits import split_leave_last_out, split_ratio
from lerg_edge.synthetic import demo_interactions, shaped_interactions

__all__ = ["Split", "read_dataset", "read_interactions"]

Split = Literal["auto", "given", "ratio", "leave-last-out", "none"]
_SPLITS = ("auto", "given", "ratio", "leave-last-out", "none")
_DEMO = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """How to read a source; see ``read_interactions``."""

    names: ColumnNames
    rating_threshold: float | None
    skip_bad_rows: bool
    on_bad_row: Callable[[BadRow], None] | None

    def __post_init__(self) -> None:
        if self.rating_threshold is not None and not math.isfinite(self.rating_threshold):
            raise InputError(f"rating_threshold is {self.rating_threshold}; it must be a finite number")


def read_interactions(
    path: str | Path,
    *,
    rating_threshold: float | None = None,
    skip_bad_rows: bool = False,
    on_bad_row: Callable[[BadRow], None] | None = None,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    timestamp_column: str | None = None,
    seed: int = 0,
) -> Interactions:
    """Read all interactions of one source.

    Args:
        path: "demo" or "demo:NAME" (the string: a generated set, with NAME that of a shape in
            ``lerg_edge.synthetic.SHAPES``), a folder with ``train.txt``, or one file: ``.txt`` with
            ``user item item ...`` lines, ``.csv``, ``.tsv``, ``.parquet``, RecBole's ``.inter``, MovieLens'
            ``u.data`` or ``ratings.dat``; text also with ``.gz`` after it.
        rating_threshold: keep only rows rated at least this much; users and items of the others stay known.
        skip_bad_rows: go on past rows that cannot be read, and count them in the report.
        on_bad_row: called with each skipped row.
        user_column: and the others: a table's column by its name, where the usual names do not find it;
            ``rating_column=""`` and ``timestamp_column=""`` leave a column out.
        seed: of a generated set.

    Raises:
        InputError: there is no such file, it has an unknown form, lacks a column, holds a bad row that is
            not to be skipped, or holds no interactions.
    """
    if (generated := _generated(path, seed)) is not None:
        return generated
    names = ColumnNames(user=user_column, item=item_column, rating=rating_column, timestamp=timestamp_column)
    options = _Options(
        names=names, rating_threshold=rating_threshold, skip_bad_rows=skip_bad_rows, on_bad_row=on_bad_row
    )
    buffer = _read(_training_file(Path(path)), options)
    return _interactions(buffer, id_map_of([buffer.users]), id_map_of([buffer.items]))


def read_dataset(
    path: str | Path,
    *,
    test: str | Path | None = None,
    split: Split = "auto",
    test_share: float = 0.2,
    seed: int = 0,
    rating_threshold: float | None = None,
    skip_bad_rows: bool = False,
    on_bad_row: Callable[[BadRow], None] | None = None,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    timestamp_column: str | None = None,
) -> Dataset:
    """Read a source and hold out a test set, or take the test set that comes with it.

    Args:
        path: as in ``read_interactions``.
        test: a file with the test set, in any form; a folder's own ``test.txt`` is taken without it.
        split: "given": the test set there is; "ratio": ``test_share`` of each user's pairs, drawn by
            ``seed``; "leave-last-out": each user's latest pair; "none": no test set; "auto": given if
            there is one, else leave-last-out if there are timestamps, else ratio. A folder's ``test.txt``
            is left aside by all but "given" and "auto".

    The other arguments are those of ``read_interactions`` and hold for both files.

    Raises:
        InputError: as ``read_interactions``; the split is unknown or does not go with the source; or nothing
            is left to test on.
    """
    if split not in _SPLITS:
        raise InputError(f"split {split!r} is unknown; use one of {', '.join(_SPLITS)}")
    generated = _generated(path, seed)
    if test is not None and (split not in ("auto", "given") or generated is not None):
        source = str(path) if generated is not None else f"split {split!r}"
        raise InputError(f"{source} makes its own test set; leave the test file out or use split 'given'")
    names = ColumnNames(user=user_column, item=item_column, rating=rating_column, timestamp=timestamp_column)
    options = _Options(
        names=names, rating_threshold=rating_threshold, skip_bad_rows=skip_bad_rows, on_bad_row=on_bad_row
    )
    if generated is not None:
        return _held_out(generated, split, test_share=test_share, seed=seed, source=str(path))
    train_path = _training_file(Path(path))
    test_path = Path(test) if test is not None else None
    if test_path is None and split in ("auto", "given"):
        test_path = _test_file_beside(train_path, folder=Path(path))
    train = _read(train_path, options)
    if test_path is None:
        interactions = _interactions(train, id_map_of([train.users]), id_map_of([train.items]))
        return _held_out(interactions, split, test_share=test_share, seed=seed, source=str(path))
    held_out = _read(test_path, options)
    user_ids = id_map_of([train.users, held_out.users])
    item_ids = id_map_of([train.items, held_out.items])
    return _without_overlap(
        _interactions(train, user_ids, item_ids), _interactions(held_out, user_ids, item_ids), path=test_path
    )


def _generated(path: str | Path, seed: int) -> Interactions | None:
    """The set that "demo" or "demo:NAME" stands for; None for the path of a file or folder."""
    if path == _DEMO:
        return demo_interactions(seed)
    if isinstance(path, str) and path.startswith(f"{_DEMO}:"):
        return shaped_interactions(path.removeprefix(f"{_DEMO}:"), seed)
    return None


def _training_file(path: Path) -> Path:
    """The file itself, or a folder's ``train.txt`` (or ``train.txt.gz``)."""
    if not os.path.isdir(path):
        return path
    for name in ("train.txt", "train.txt.gz"):
        if (path / name).exists():
            return path / name
    raise InputError(f"{path}: the folder has no train.txt; add one or give a single file")


def _test_file_beside(train_path: Path, *, folder: Path) -> Path | None:
    """The ``test.txt`` of the folder that ``train_path`` was found in, if it has one."""
    if train_path == folder:
        return None
    found = [folder / name for name in ("test.txt", "test.txt.gz") if (folder / name).exists()]
    return found[0] if found else None


def _read(path: Path, options: _Options) -> PairBuffer:
    """The rows of one file."""
    threshold = options.rating_threshold
    form = file_format(path, options.names, threshold=threshold is not None)
    log = BadRowLog(
        path,
        skip=options.skip_bad_rows,
        on_bad_row=options.on_bad_row,
        unit="row" if form.layout == "parquet" else "line",
    )
    if form.layout == "lines":
        buffer = read_lines(path, log=log)
    elif form.layout == "parquet":
        buffer = read_parquet(path, options.names, rating_threshold=threshold, log=log)
    else:
        buffer = read_delimited(path, form, options.names, rating_threshold=threshold, log=log)
    buffer.form = str(form)
    if not buffer.pair_count:
        left_out = f" ({log.count:,} bad rows, {buffer.below_threshold:,} rated below the threshold)"
        raise InputError(
            f"{path}: holds no interactions{left_out if buffer.below_threshold or log.count else ''};"
            " give a file with at least one user and item"
        )
    return buffer


def _interactions(buffer: PairBuffer, user_ids: IdMap, item_ids: IdMap) -> Interactions:
    return Interactions.from_pairs(
        buffer.users.indices(user_ids),
        buffer.items.indices(item_ids),
        user_ids=user_ids,
        item_ids=item_ids,
        timestamps=buffer.times(),
        report=ReadReport(
            rows_read=buffer.rows_read,
            bad_rows_skipped=buffer.bad_rows_skipped,
            below_threshold=buffer.below_threshold,
            form=buffer.form,
            columns=buffer.columns,
            timestamp_unit=buffer.timestamp_unit,
        ),
    )


def _held_out(
    interactions: Interactions, split: Split, *, test_share: float, seed: int, source: str
) -> Dataset:
    """Cut a test set as ``split`` says; "auto" goes by time where there are timestamps."""
    if split == "given":
        raise InputError(f"{source}: brings no test set; give a test file or another split")
    if split == "none":
        return Dataset(interactions)
    if split == "leave-last-out" or (split == "auto" and interactions.timestamps is not None):
        return Dataset(*split_leave_last_out(interactions))
    return Dataset(*split_ratio(interactions, test_share=test_share, seed=seed))


def _without_overlap(train: Interactions, test: Interactions, *, path: Path) -> Dataset:
    """Leave out of the test set what training has: it would be masked when measured, and counts as a miss."""
    width = train.item_count
    train_keys = train.users.astype(np.int64) * width + train.items
    test_keys = test.users.astype(np.int64) * width + test.items
    fresh = np.isin(test_keys, train_keys, assume_unique=True, invert=True)
    if not fresh.any():
        raise InputError(f"{path}: every pair is in the training set too; give a test set of other pairs")
    return Dataset(train, test.subset(fresh), pairs_in_both=int(np.count_nonzero(~fresh)))
