"""The two ways in: one source as interactions, or a training and test set over the same ids."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data.features import ItemFeatures
from lerg_edge.data.interactions import Dataset, IdMap, Interactions, ReadReport, SplitReport
from lerg_edge.data.readers._columns import ColumnNames
from lerg_edge.data.readers._delimited import read_delimited
from lerg_edge.data.readers._encode import PairBuffer, id_map_of
from lerg_edge.data.readers._features import read_features
from lerg_edge.data.readers._formats import file_format
from lerg_edge.data.readers._lines import read_lines
from lerg_edge.data.readers._memory import called, is_in_memory, is_matrix, read_matrix, read_table
from lerg_edge.data.readers._parquet import read_parquet
from lerg_edge.data.readers._rows import BadRow, BadRowLog
from lerg_edge.data.readers._titles import read_titles
from lerg_edge.data.splits import CUTS, cut, cut_as_suits
from lerg_edge.data.synthetic import demo_features, demo_interactions, shaped_interactions
from lerg_edge.errors import InputError

__all__ = ["Split", "read_dataset", "read_interactions"]

Source = Any
"""A path, the name of a generated set, a table with named columns, or a sparse matrix."""

Split = Literal["auto", "given", "ratio", "last", "leave-last-out", "time", "none"]
_SPLITS = ("auto", "given", *CUTS)
_ALIASES = {"leave-last-out": "last"}
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
            raise InputError.naming(
                "{rating_threshold} is {}; it must be a finite number", self.rating_threshold
            )


def read_interactions(
    source: Source,
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
        source: "demo" or "demo:NAME" (the string: a generated set, with NAME that of a shape in
            ``lerg_edge.data.synthetic.SHAPES``), a folder with ``train.txt``, or one file: ``.txt`` with
            ``user item item ...`` lines, ``.csv``, ``.tsv``, ``.parquet``, RecBole's ``.inter``, MovieLens'
            ``u.data`` or ``ratings.dat``; text also with ``.gz`` after it. Or what is in memory: a table with
            named columns (a pandas or polars frame, an Arrow table, a structured array, a mapping of columns
            of equal lengths), whose strings stay strings; or a scipy sparse matrix [users, items], whose ids
            are the positions of rows and columns and whose values are ratings.
        rating_threshold: keep only pairs rated at least this much; users and items of the others stay known.
            Where the rows of a pair disagree the latest one counts, and without timestamps the last.
        skip_bad_rows: go on past rows that cannot be read, and count them in the report.
        on_bad_row: called with each skipped row.
        user_column: and the others: a table's column by its name, where the usual names do not find it;
            ``rating_column=""`` and ``timestamp_column=""`` leave a column out.
        seed: of a generated set.

    Raises:
        InputError: there is no such file, it has an unknown form, lacks a column, holds a bad row that is
            not to be skipped, or holds no interactions.
    """
    names = ColumnNames(user=user_column, item=item_column, rating=rating_column, timestamp=timestamp_column)
    options = _Options(
        names=names, rating_threshold=rating_threshold, skip_bad_rows=skip_bad_rows, on_bad_row=on_bad_row
    )
    if (generated := _generated(source, seed)) is not None:
        _check_generated(str(source), options)
        return generated
    buffer = _read(_training_source(source), options)
    liked, _ = _interactions(buffer, id_map_of([buffer.users]), id_map_of([buffer.items]))
    return liked


def read_dataset(
    source: Source,
    *,
    test: Source | None = None,
    split: Split = "auto",
    test_share: float | None = None,
    seed: int = 0,
    rating_threshold: float | None = None,
    skip_bad_rows: bool = False,
    on_bad_row: Callable[[BadRow], None] | None = None,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    timestamp_column: str | None = None,
    item_titles: Source | None = None,
    item_features: Source | None = None,
) -> Dataset:
    """Read a source and hold out a test set, or take the test set that comes with it.

    Args:
        source: as in ``read_interactions``.
        test: the test set, a file or in memory, in any form; a folder's own ``test.txt`` is taken without it.
        split: "given": the test set there is; "ratio": ``test_share`` of each user's pairs, drawn by
            ``seed``; "last" (or "leave-last-out"): each user's latest pair; "time": the latest
            ``test_share`` of all pairs; "none": no test set; "auto": given if there is one, else what
            :func:`lerg_edge.data.splits.cut_as_suits` says. A folder's ``test.txt`` is left aside by all but
            "given" and "auto".
        item_titles: a file with the items' titles: ``movies.dat``, ``u.item``, or a table with a header; a
            table in memory, or a mapping from id to title.
        item_features: what else is known of items, for those that nobody has touched: a file with a header
            and columns of categories, numbers or vectors, `movies.dat`, or a table in memory; "demo" for the
            items of "demo".
        test_share: of "ratio" and "time"; None for a fifth.

    The other arguments are those of ``read_interactions`` and hold for both files.

    Raises:
        InputError: as ``read_interactions``; the split is unknown or does not go with the source; nothing is
            left to test on; or titles or features cannot be read, or are of no item of the data.
    """
    names = ColumnNames(user=user_column, item=item_column, rating=rating_column, timestamp=timestamp_column)
    options = _Options(
        names=names, rating_threshold=rating_threshold, skip_bad_rows=skip_bad_rows, on_bad_row=on_bad_row
    )
    dataset = _read_dataset(source, options, test=test, split=split, test_share=test_share, seed=seed)
    ids = dataset.train.item_ids
    return replace(
        dataset,
        titles=None if item_titles is None else read_titles(item_titles, ids),
        features=None if item_features is None else _features(item_features, source, ids, seed=seed),
    )


def _features(item_features: Source, source: Source, ids: IdMap, *, seed: int) -> ItemFeatures:
    if not (isinstance(item_features, str) and item_features == _DEMO):
        return read_features(item_features, ids)
    if not (isinstance(source, str) and source == _DEMO):
        raise InputError.naming("{item_features:demo} are the features of the data demo; give a file instead")
    return demo_features(seed)


def _read_dataset(
    source: Source,
    options: _Options,
    *,
    test: Source | None,
    split: Split,
    test_share: float | None,
    seed: int,
) -> Dataset:
    """Both sets, without titles."""
    split = _ALIASES.get(split, split)  # type: ignore[assignment]
    if split not in _SPLITS:
        raise InputError.naming("{split} is {!r}; choose one of {}", split, ", ".join(_SPLITS))
    generated = _generated(source, seed)
    if test is not None and (split not in ("auto", "given") or generated is not None):
        maker = "{}" if generated is not None else "{split:{}}"
        raise InputError.naming(
            f"{maker} makes its own test set; leave {{test}} out or give {{split:given}}",
            source if generated is not None else split,
        )
    if generated is not None:
        _check_generated(str(source), options)
        return _held_out(generated, split, test_share=test_share, seed=seed, source=str(source))
    train_source = _training_source(source)
    beside = None if is_in_memory(source) else _test_file_beside(train_source, folder=Path(source))
    test_source = test if test is not None else beside if split in ("auto", "given") else None
    train = _read(train_source, options)
    if test_source is None:
        liked, disliked = _interactions(train, id_map_of([train.users]), id_map_of([train.items]))
        dataset = _held_out(liked, split, test_share=test_share, seed=seed, source=called(source))
        if beside is not None and dataset.split is not None:
            reason = f"{dataset.split.reason}, and {beside.name} is left aside"
            dataset = replace(dataset, split=replace(dataset.split, reason=reason))
        return replace(dataset, disliked=disliked, rating_threshold=options.rating_threshold)
    if test_share is not None:
        raise InputError.naming("{test_share} has no effect with a given test set; leave one of them out")
    held_out = _read(test_source if is_in_memory(test_source) else Path(test_source), options)
    user_ids = id_map_of([train.users, held_out.users])
    item_ids = id_map_of([train.items, held_out.items])
    liked, disliked = _interactions(train, user_ids, item_ids)
    wanted, _ = _interactions(held_out, user_ids, item_ids)
    dataset = _without_overlap(liked, disliked, wanted, source=test_source)
    return replace(dataset, rating_threshold=options.rating_threshold)


def _generated(source: Source, seed: int) -> Interactions | None:
    """The set that "demo" or "demo:NAME" stands for; None for everything else."""
    if not isinstance(source, str):
        return None
    if source == _DEMO:
        return demo_interactions(seed)
    if source.startswith(f"{_DEMO}:"):
        return shaped_interactions(source.removeprefix(f"{_DEMO}:"), seed)
    return None


def _check_generated(source: str, options: _Options) -> None:
    if options.rating_threshold is not None or options.names.any_given:
        names = {f"{role}_column": name for role, name in asdict(options.names).items()}
        given = {"rating_threshold": options.rating_threshold, **names}
        named = " and ".join(f"{{{name}}}" for name, value in given.items() if value is not None)
        raise InputError.naming(
            f"{{}} is generated and has neither ratings nor columns; leave {named} out", source
        )


def _training_source(source: Source) -> Any:
    """What is in memory, a file's path, or that of a folder's ``train.txt`` (or ``train.txt.gz``)."""
    if is_in_memory(source):
        return source
    path = Path(source)
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


def _read(source: Source, options: _Options) -> PairBuffer:
    """The rows of one source."""
    buffer, skipped = _of_memory(source, options) if is_in_memory(source) else _of_file(source, options)
    if buffer.pair_count <= buffer.below_threshold:
        left_out = f" ({skipped:,} bad rows, {buffer.below_threshold:,} rated below the threshold)"
        raise InputError(
            f"{called(source)}: holds no interactions{left_out if buffer.below_threshold or skipped else ''};"
            f" give a {'table' if is_in_memory(source) else 'file'} with at least one user and item"
        )
    return buffer


def _of_memory(source: Any, options: _Options) -> tuple[PairBuffer, int]:
    """A table or a matrix, and its bad rows."""
    threshold = options.rating_threshold
    log = BadRowLog(called(source), skip=options.skip_bad_rows, on_bad_row=options.on_bad_row, unit="row")
    if is_matrix(source):
        buffer = read_matrix(source, options.names, rating_threshold=threshold)
    else:
        buffer = read_table(source, options.names, rating_threshold=threshold, log=log)
    buffer.form = called(source).removeprefix("the ")
    return buffer, log.count


def _of_file(path: Path, options: _Options) -> tuple[PairBuffer, int]:
    """A file, and its bad rows."""
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
    return buffer, log.count


def _interactions(
    buffer: PairBuffer, user_ids: IdMap, item_ids: IdMap
) -> tuple[Interactions, Interactions | None]:
    """The pairs rated well enough, and those rated below the threshold if there is one."""
    users, items, times = buffer.users.indices(user_ids), buffer.items.indices(item_ids), buffer.times()
    liked = buffer.ratings_allow()
    report = ReadReport(
        rows_read=buffer.rows_read,
        bad_rows_skipped=buffer.bad_rows_skipped,
        below_threshold=buffer.below_threshold,
        form=buffer.form,
        columns=buffer.columns,
        timestamp_unit=buffer.timestamp_unit,
    )

    def part(rows: NDArray[np.int64] | None, report: ReadReport | None) -> Interactions:
        chosen = slice(None) if rows is None else rows
        return Interactions.from_pairs(
            users[chosen],
            items[chosen],
            user_ids=user_ids,
            item_ids=item_ids,
            timestamps=None if times is None else times[chosen],
            rows=rows,
            report=report,
        )

    if liked is None:
        return part(None, report), None
    keys = users.astype(np.int64) * max(len(item_ids), 1) + items
    # Stable: of equally late rows, and without times of all rows, the last one of the file speaks.
    order = np.argsort(keys, kind="stable") if times is None else np.lexsort((times, keys))
    speaks = np.sort(order[np.flatnonzero(np.diff(keys[order], append=-1))])
    positive, negative = speaks[liked[speaks]], speaks[~liked[speaks]]
    if not positive.size:
        raise InputError(
            f"every pair is rated below the threshold in its latest row ({buffer.below_threshold:,} such "
            "rows); lower the threshold"
        )
    repeats = int(np.count_nonzero(liked)) - positive.size
    return part(positive, replace(report, duplicates_merged=repeats)), part(negative, None)


def _held_out(
    interactions: Interactions, split: Split, *, test_share: float | None, seed: int, source: str
) -> Dataset:
    """Cut a test set as ``split`` says."""
    if split == "given":
        raise InputError.naming("{}: brings no test set; give a {test} or another {split}", source)
    if split == "auto":
        return cut_as_suits(interactions, share=test_share, seed=seed)
    return cut(interactions, split, share=test_share, seed=seed)


def _without_overlap(
    train: Interactions, disliked: Interactions | None, test: Interactions, *, source: Source
) -> Dataset:
    """Leave out of the test set what the data has: it is never recommended, and would count as a miss."""
    width = train.item_count
    known = [
        part.users.astype(np.int64) * width + part.items for part in (train, disliked) if part is not None
    ]
    test_keys = test.users.astype(np.int64) * width + test.items
    fresh = np.isin(test_keys, np.concatenate(known), assume_unique=True, invert=True)
    if not fresh.any():
        raise InputError(
            f"{called(source)}: every pair is in the training set too; give a test set of other pairs"
        )
    reason = "a test set was given" if is_in_memory(source) else f"{Path(source).name} is there"
    return Dataset(
        train,
        test.subset(fresh),
        pairs_in_both=int(np.count_nonzero(~fresh)),
        disliked=disliked,
        split=SplitReport(kind="given", reason=reason),
    )
