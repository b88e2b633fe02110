"""The test pairs of an export as a file, by which a device can repeat the export's figure."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import InputError

__all__ = ["check_test_file", "write_test_file"]


def check_test_file(
    path: Path, *, bundle: Path, sources: Sequence[str | Path | None], overwrite: bool
) -> None:
    """Refuse a place that the file could not be written to, before hours of work.

    Args:
        path: of the file.
        bundle: the bundle's folder, which holds nothing else.
        sources: what is read, None for what is not there.
        overwrite: replace a file that is there.

    Raises:
        InputError: something is in the way, or the folder is not there or not writable.
    """
    place = path.resolve()
    if bundle.resolve() in (place, *place.parents):
        raise InputError(f"--save-test {path} lies in the bundle; name a file elsewhere")
    if any(source is not None and Path(source).resolve() == place for source in sources):
        raise InputError(f"--save-test {path} is what is read; name another file")
    if path.is_dir():
        raise InputError(f"--save-test {path} is a folder; name a file")
    if os.path.lexists(path) and not overwrite:
        raise InputError(
            f"--save-test {path} is there already; add --force to replace it, or name a new file"
        )
    if not place.parent.is_dir():
        raise InputError(f"--save-test {path}: there is no folder {place.parent}; make it first")
    if not os.access(place.parent, os.W_OK):
        raise InputError(f"--save-test {path}: the folder {place.parent} cannot be written to; name another")


def write_test_file(path: Path, test: Interactions) -> None:
    """Write `user,item` rows under a header, whole or not at all.

    Raises:
        OSError: the disk is full or not writable; names `path`, and what was there stays.
    """
    users = test.user_ids.values[test.users].tolist()
    items = test.item_ids.values[test.items].tolist()
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(beside, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("user", "item"))
            writer.writerows(zip(users, items, strict=True))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror}; the bundle is whole, its test pairs are not saved", str(path)
        ) from error
    finally:
        beside.unlink(missing_ok=True)
