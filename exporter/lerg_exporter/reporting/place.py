"""Where a report may be written, looked at before hours of work; and writing it, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lerg_edge.errors import InputError
from lerg_runtime.bundle import new_folder

__all__ = ["PAGE", "SIGN", "check_report_place", "write_page"]

PAGE = "index.html"
SIGN = "<!-- lerg-export: report of an export -->"
"""On the second line of every report: a folder that holds such a page alone may be replaced."""


def check_report_place(
    path: str | os.PathLike[str],
    *,
    bundle: str | os.PathLike[str],
    sources: Sequence[str | os.PathLike[str] | None] = (),
    overwrite: bool,
) -> None:
    """Refuse a place that a report could not be written to.

    A free path or an empty folder is fine; a report is replaced only if `overwrite` says so; anything else
    is never touched.

    Args:
        path: the report's folder.
        bundle: the bundle's folder, which holds nothing else.
        sources: what is read, None for what is not there.

    Raises:
        InputError: something is in the way, or the folder above is not there or not writable.
    """
    folder = Path(path)
    place, other = folder.resolve(), Path(bundle).resolve()
    if other in (place, *place.parents) or place in other.parents:
        raise InputError(f"--report {folder} and the bundle {bundle} lie in each other; name another folder")
    if any(source is not None and place in Path(source).resolve().parents for source in sources):
        raise InputError(f"--report {folder} holds what is read; name another folder")
    if not place.parent.is_dir():
        raise InputError(f"--report {folder}: there is no folder {place.parent}; make it first")
    if not os.access(place.parent, os.W_OK):
        raise InputError(f"--report {folder}: the folder {place.parent} cannot be written to; name another")
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"--report {folder} is not a folder; name a new one")
    found = sorted(each.name for each in folder.iterdir())
    if not found:
        return
    if found != [PAGE] or not _is_report(folder / PAGE):
        raise InputError(f"--report {folder} is a folder with other files in it; name a new one")
    if not overwrite:
        raise InputError(
            f"--report {folder} is a report already; add --force to replace it, or name a new folder"
        )


def write_page(folder: Path, page: str, *, overwrite: bool) -> None:
    """Write a folder with one page.

    Raises:
        lerg_runtime.errors.InputError: something is in the way.
        OSError: the disk is full or not writable; names `folder`, and what was there stays.
    """
    with new_folder(folder, overwrite=overwrite) as beside, open(beside / PAGE, "xb") as stream:
        stream.write(page.encode("utf-8"))
        stream.flush()
        os.fsync(stream.fileno())


def _is_report(page: Path) -> bool:
    if page.is_symlink() or not page.is_file():
        return False
    with page.open("rb") as stream:
        return SIGN.encode() in stream.read(200)
