"""Interactions that a command reads, and what it tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lerg_exporter.bundles.summary import data_sentences
from lerg_exporter.exporting.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lerg_edge.data.interactions import Dataset

__all__ = ["read_data"]

_MOST_BAD_ROWS_SHOWN = 10


def read_data(data: str, arguments: Mapping[str, Any], *, seed: int, tell: Progress) -> Dataset:
    """Read a source, and say what came of it.

    Args:
        data: the source.
        arguments: others of `lerg_edge.data.readers.read_dataset`.
        seed: of what is drawn.
    """
    from lerg_edge.data.readers import BadRow, read_dataset
    from lerg_exporter.exporting.data_report import described_data

    shown = 0

    def on_bad_row(row: BadRow) -> None:
        nonlocal shown
        shown += 1
        if shown <= _MOST_BAD_ROWS_SHOWN:
            tell.note(f"skipped {row.path}, line {row.line}: {row.reason}")

    tell.stage("reading")
    dataset = read_dataset(data, seed=seed, on_bad_row=on_bad_row, **arguments)
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
