"""The report of an export, from what it found to a folder with one page."""

from __future__ import annotations

import os
from pathlib import Path

from lerg_edge.data.interactions import Dataset
from lerg_exporter.exporting.personal import PersonalReport
from lerg_exporter.exporting.pipeline import ExportReport
from lerg_exporter.reporting.found import gathered
from lerg_exporter.reporting.page import page
from lerg_exporter.reporting.place import PAGE, check_report_place, write_page

__all__ = ["write_report"]


def write_report(
    report: ExportReport | PersonalReport,
    dataset: Dataset,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write what an export has made as one HTML page that opens offline, whole or not at all.

    It shows what was read, accuracy by stage, bytes by part, planned memory by phase, training by epoch, and
    what a few people are recommended. It loads nothing and runs nothing. It names people of the data.

    Args:
        report: what `export` or `export_personal` gave.
        dataset: what it was given.
        output: a folder for `index.html`.
        overwrite: replace a report that is there; nothing else ever is.

    Returns:
        The path of the page.

    Raises:
        lerg_edge.errors.InputError: something is in the way at `output`.
        lerg_runtime.errors.BundleError: the bundle is not there any more.
        OSError: the disk is full or not writable; names `output`.
    """
    check_report_place(output, bundle=report.path, overwrite=overwrite)
    write_page(Path(output), page(gathered(report, dataset)), overwrite=overwrite)
    return Path(output) / PAGE
