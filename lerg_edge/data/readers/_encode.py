"""Ids as they stream in, kept as small integers, so that millions of rows fit in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lerg_edge.data._arrays import distinct_sorted
from lerg_edge.data.interactions import IdMap
from lerg_edge.data.readers._times import TimeColumn, Times

__all__ = ["EncodedIds", "PairBuffer", "id_map_of"]


@dataclass(slots=True)
class EncodedIds:
    """One id column, batch by batch: the batch's distinct ids, and every row as an index into them.

    Attributes:
        distinct: per batch, the distinct ids (Int64 or String).
        codes: per batch, uint32 [rows], positions in ``distinct``; empty for ids that come without a row.
        from_text: the ids were read from text, so that "12" is the integer 12 if all others are integers too.
    """

    from_text: bool
    distinct: list[pl.Series] = field(default_factory=list)
    codes: list[NDArray[np.uint32]] = field(default_factory=list)

    def add(self, ids: pl.Series, keep: NDArray[np.bool_] | None = None) -> None:
        """Take a batch of ids; the ids of rows not kept stay known."""
        distinct = ids.unique()
        positions = pl.DataFrame({"id": distinct, "code": np.arange(len(distinct), dtype=np.uint32)})
        rows = pl.DataFrame({"id": ids}).join(positions, on="id", how="left", maintain_order="left")
        codes = rows["code"].to_numpy()
        self.distinct.append(distinct)
        self.codes.append(codes if keep is None else codes[keep])

    def indices(self, ids: IdMap) -> NDArray[np.int32]:
        """The rows as indices int32 [n] into ``ids``, which has them all."""
        table: dict[Any, int] = {}
        if not ids.integral:
            table = {value: index for index, value in enumerate(ids.values)}
        parts = [np.zeros(0, dtype=np.int32)]
        for distinct, codes in zip(self.distinct, self.codes, strict=True):
            if ids.integral:
                places = np.searchsorted(ids.values, distinct.cast(pl.Int64).to_numpy())
            else:
                texts = distinct.cast(pl.String).to_list()
                places = np.fromiter(map(table.__getitem__, texts), dtype=np.int32, count=len(texts))
            parts.append(places.astype(np.int32)[codes])
        return np.concatenate(parts)


@dataclass(slots=True)
class PairBuffer:
    """The rows of one source: ids encoded, timestamps if it has them, low ratings, and what was left out."""

    users: EncodedIds
    items: EncodedIds
    timestamps: Times = field(default_factory=Times)
    time_column: TimeColumn = field(default_factory=TimeColumn)
    liked: list[NDArray[np.bool_]] = field(default_factory=list)
    rows_read: int = 0
    below_threshold: int = 0
    bad_rows_skipped: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    form: str = ""

    @classmethod
    def of_text(cls) -> PairBuffer:
        """An empty buffer for ids read from text."""
        return cls(EncodedIds(from_text=True), EncodedIds(from_text=True))

    def add(self, rows: pl.DataFrame, *, rating_threshold: float | None = None) -> None:
        """Take a batch of usable rows, and note which are rated below the threshold."""
        if rating_threshold is not None:
            liked = (rows["rating"] >= rating_threshold).to_numpy()
            self.below_threshold += int(np.count_nonzero(~liked))
            self.liked.append(liked)
        self.users.add(rows["user"])
        self.items.add(rows["item"])
        self.timestamps.add(rows)
        self.rows_read += len(rows)

    @property
    def pair_count(self) -> int:
        """Rows taken so far, those rated below the threshold included."""
        return sum(len(codes) for codes in self.users.codes)

    def times(self) -> NDArray[np.int64] | None:
        """Timestamps int64 [pair_count], or None if the source has none."""
        return None if (found := self._times()) is None else found[0]

    @property
    def timestamp_unit(self) -> str | None:
        """``s``, ``ms``, ``us`` or ``ns`` since 1970, or None if the source has no timestamps."""
        return None if (found := self._times()) is None else found[1]

    def _times(self) -> tuple[NDArray[np.int64], str] | None:
        return self.timestamps.joined(dates=self.time_column.kind == "date")

    def ratings_allow(self) -> NDArray[np.bool_] | None:
        """Bool [pair_count], the rows rated at least the threshold, or None without one."""
        return np.concatenate(self.liked) if self.liked else None


def id_map_of(columns: Sequence[EncodedIds]) -> IdMap:
    """The map over all ids of one side, from every source (training and test)."""
    parts = [(column.from_text, distinct) for column in columns for distinct in column.distinct]
    if all(distinct.dtype == pl.Int64 for _, distinct in parts):
        numbers = [distinct.to_numpy() for _, distinct in parts]
        return IdMap(distinct_sorted(np.concatenate(numbers)))
    texts = pl.concat([distinct.cast(pl.String) for _, distinct in parts]).unique().to_list()
    # A typed string column (Parquet) says that its "12" is text, whatever the others look like.
    typed_text = any(not from_text and distinct.dtype == pl.String for from_text, distinct in parts)
    return IdMap.from_values(texts) if typed_text else IdMap.from_text(texts)
