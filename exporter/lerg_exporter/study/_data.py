"""Data sets by the names that studies give them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lerg_edge.data.interactions import Dataset, SplitReport
from lerg_edge.data.readers import read_dataset
from lerg_edge.data.splits import split_folds
from lerg_edge.errors import InputError
from lerg_edge.workdir import fingerprint

__all__ = ["Source", "find_source", "read_folds", "read_source"]

_VARIABLE = "LERG_DATA"
_DEALT_BY = 0  # the seed, whatever those of a study are: all its runs see the same folds
_BESIDE = Path("..") / "shared" / "data"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A data set that has been read.

    Attributes:
        name: as the study gives it.
        dataset: training and test pairs.
        digest: of all that they are, raw ids included.
    """

    name: str
    dataset: Dataset
    digest: str

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Users, items and training pairs."""
        train = self.dataset.train
        return train.user_count, train.item_count, train.pair_count


def find_source(name: str, *, study: Path, data_dir: Path | None) -> str | Path:
    """Where a data set lies, or its name where it is generated.

    Args:
        name: `demo` or `demo:...`; a path with a slash in it, from the study's folder; or the name of a
            folder or file in `data_dir`.
        study: the study's file.
        data_dir: None for the folder that LERG_DATA names, else `../shared/data`.

    Raises:
        InputError: it is not there.
    """
    if name == "demo" or name.startswith("demo:"):
        return name
    if "/" in name:
        path = study.parent / name
        if path.exists():
            return path
        raise InputError(f"{study}: data '{name}' is not there; a path is read from the folder of the study")
    folder = data_dir or Path(os.environ.get(_VARIABLE) or _BESIDE)
    if (folder / name).exists():
        return folder / name
    raise InputError(
        f"{study}: data '{name}' is not in the folder {folder}; "
        f"name the folder with --data-dir or {_VARIABLE}"
    )


def read_source(name: str, place: str | Path) -> Source:
    """Read a data set; what is generated or split by chance is the same for all seeds of a study.

    Raises:
        InputError: it cannot be read, or has no test pairs.
    """
    dataset = read_dataset(place)
    return Source(name, dataset, fingerprint("study-data", **_content(dataset)))


def read_folds(name: str, place: str | Path, folds: int) -> tuple[Source, ...]:
    """Read a data set without the test set that it may bring, and deal its pairs into folds, always alike.

    Raises:
        InputError: it cannot be read, or has too few pairs.
    """
    pairs = read_dataset(place, split="none").train
    return tuple(
        Source(name, dataset, fingerprint("study-data", **_content(dataset)))
        for dataset in (
            Dataset(train, test, split=SplitReport(kind="given", reason=f"fold {number} of {folds}"))
            for number, (train, test) in enumerate(split_folds(pairs, folds=folds, seed=_DEALT_BY), start=1)
        )
    )


def _content(dataset: Dataset) -> Mapping[str, object]:
    train, test = dataset.train, dataset.test
    if test is None:
        raise InputError("a study measures on test pairs and there are none; give data with a test set")
    return {
        "train": train.matrix(),
        "test": test.matrix(),
        "timestamps": train.timestamps,
        "users": train.user_ids.values,
        "items": train.item_ids.values,
    }
