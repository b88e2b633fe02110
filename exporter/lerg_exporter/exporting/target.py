"""Where a bundle may be written: looked at before hours of work, not after."""

from __future__ import annotations

import os
from pathlib import Path

from lerg_edge.errors import InputError
from lerg_runtime.bundle import check_replaceable

__all__ = ["check_target"]


def check_target(output: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a place that the bundle could not be written to.

    A free path or an empty folder is fine; a bundle is replaced only if `overwrite` says so; anything else
    is never touched.

    Raises:
        InputError: something is in the way, or the folder above is not there or not writable.
    """
    path = Path(output)
    parent = path.resolve().parent
    if not parent.is_dir():
        raise InputError(f"-o {path}: there is no folder {parent}; make it first")
    if not os.access(parent, os.W_OK):
        raise InputError(f"-o {path}: the folder {parent} cannot be written to; name another")
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise InputError(f"-o {path} is not a folder; name a new one")
    if not any(path.iterdir()):
        return
    if not (path / "manifest.json").is_file() or not (path / "SHA256SUMS").is_file():
        raise InputError(f"-o {path} is a folder with other files in it; name a new one")
    if not overwrite:
        raise InputError(f"-o {path} is a bundle already; add --force to replace it, or name a new folder")
    check_replaceable(path)
