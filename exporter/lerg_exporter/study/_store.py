"""Where the results of runs are kept: one JSON file each, by a fingerprint of all that it depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lerg_edge.errors import InputError
from lerg_edge.workdir import fingerprint
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.study._files import write_whole
from lerg_exporter.study._spec import Arrivals

__all__ = ["Store", "run_fingerprint"]

_FORMAT = "lerg-study-run"
_VERSION = 1


def run_fingerprint(
    *,
    data: str,
    options: ExportOptions,
    arrivals: Arrivals | None,
    fold: tuple[int, int] | None = None,
) -> str:
    """Of the data's content, the options, the protocol, the package's version and files of one's own.

    Args:
        data: the digest of its content.
        fold: of users, its number and how many there are; those of pairs are in the data.
    """
    places = [
        Path(name.rpartition(":")[0]) for name in (options.selector, options.assignment, options.recommender)
    ]
    return fingerprint(
        "study-run",
        version=_VERSION,
        package=version("lerg-edge"),
        data=data,
        options=options,
        arrivals=arrivals,
        own=[place.read_bytes() if place.is_file() else None for place in places],
        **({} if fold is None else {"fold": list(fold)}),
    )


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of a study.

    Attributes:
        root: holds `runs/`, `work/`, the report, its plots and its table.
    """

    root: Path

    @classmethod
    def at(cls, root: Path) -> Store:
        """Use a folder that is new, empty, or an earlier study's.

        Raises:
            InputError: it is a file, or a folder with other things in it.
        """
        if root.exists() and not root.is_dir():
            raise InputError(f"-o {root} is not a folder; name a new one")
        if root.is_dir() and any(root.iterdir()) and not (root / "runs").is_dir():
            raise InputError(f"-o {root} is a folder with other files in it; name a new one")
        return cls(root)

    def make(self) -> None:
        """Make the folders.

        Raises:
            OSError: they cannot be made.
        """
        (self.root / "runs").mkdir(parents=True, exist_ok=True)

    def bundle(self, fingerprint: str) -> Path:
        """Where a run's bundle lies, if it is kept."""
        return self.root / "bundles" / fingerprint[:20]

    def load(self, fingerprint: str) -> dict[str, Any] | None:
        """The record of a run; None if there is none, or what is there is not one."""
        try:
            found = json.loads(self._path(fingerprint).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        stated = _stated(fingerprint)
        if not isinstance(found, dict) or any(found.get(key) != value for key, value in stated.items()):
            return None
        record = found.get("record")
        return record if isinstance(record, dict) else None

    def save(self, fingerprint: str, record: Mapping[str, Any]) -> None:
        """Keep a record, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "fingerprint": fingerprint,
            "record": dict(record),
        }
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        write_whole(self._path(fingerprint), text + "\n")

    def _path(self, fingerprint: str) -> Path:
        return self.root / "runs" / f"{fingerprint}.json"


def _stated(fingerprint: str) -> dict[str, Any]:
    return {"format": _FORMAT, "version": _VERSION, "fingerprint": fingerprint}
