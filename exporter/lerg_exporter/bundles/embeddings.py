"""The rows that a device ranks by, as files that other tools read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lerg_edge.errors import InputError
from lerg_runtime import Recommender
from lerg_runtime.bundle import IdMap, Trust, new_folder

__all__ = ["FORMATS", "EmbeddingFiles", "write_embeddings"]

FORMATS = ("npy", "parquet")
_SIDES = (("user", "users"), ("item", "items"))


@dataclass(frozen=True, slots=True)
class EmbeddingFiles:
    """What was written.

    Attributes:
        path: the folder.
        files: names and bytes.
        users, items: rows of each side; a personal bundle has items alone.
        dim: length of a row.
    """

    path: Path
    files: dict[str, int]
    users: int
    items: int
    dim: int


def write_embeddings(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    form: str = "npy",
    trust: Trust | None = None,
) -> EmbeddingFiles:
    """Compute every row of a bundle through its programs and write a folder of them, whole or not at all.

    Of pruned users and items it is the row that serves them. A score is the product of a user's row and an
    item's, to the rounding of sums. A personal bundle has items alone.

    Args:
        bundle: its folder.
        output: a folder that is not there yet, or is empty.
        form: `npy` for `users.npy` and `items.npy`, float32 [n, d], with `user_ids.npy` and `item_ids.npy`
            beside them, int64 or texts of a fixed width; `parquet` for a file a side with the columns `id`
            and `vector`.
        trust: as `BundleFolder.open` takes it.

    Raises:
        lerg_edge.errors.InputError: no such form.
        lerg_runtime.errors.InputError: no such bundle, or something is in the way at `output`.
        BundleError: the bundle is damaged.
        OSError: the disk is full or not writable; names `output`.
    """
    if form not in FORMATS:
        raise InputError.naming("{form} is {!r}; choose one of {}", form, ", ".join(FORMATS))
    with new_folder(Path(output)) as beside:
        with Recommender.open(bundle, trust=trust) as recommender:
            rows = {"item": recommender.item_embeddings()}
            ids = {"item": _ids(recommender.item_ids)}
            if not recommender.is_personal:
                rows["user"] = recommender.user_embeddings()
                ids["user"] = _ids(recommender.user_ids)
        write = _write_npy if form == "npy" else _write_parquet
        for side, name in _SIDES:
            if side in rows:
                write(beside, side, name, ids[side], rows[side])
        files = {path.name: path.stat().st_size for path in sorted(beside.iterdir())}
    users = len(rows["user"]) if "user" in rows else 0
    return EmbeddingFiles(Path(output), files, users, *rows["item"].shape)


def _ids(ids: IdMap) -> np.ndarray:
    """Raw ids in index order: int64 [n], or texts of the longest one's width."""
    found = ids.take(np.arange(len(ids)))
    return found.astype(np.str_) if found.dtype == object else found


def _write_npy(folder: Path, side: str, name: str, ids: np.ndarray, rows: np.ndarray) -> None:
    for file, array in ((f"{name}.npy", rows), (f"{side}_ids.npy", ids)):
        with open(folder / file, "xb") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())


def _write_parquet(folder: Path, side: str, name: str, ids: np.ndarray, rows: np.ndarray) -> None:
    import polars as pl

    frame = pl.DataFrame({"id": ids, "vector": pl.Series(rows, dtype=pl.Array(pl.Float32, rows.shape[1]))})
    with open(folder / f"{name}.parquet", "xb") as stream:
        frame.write_parquet(stream)
        stream.flush()
        os.fsync(stream.fileno())
