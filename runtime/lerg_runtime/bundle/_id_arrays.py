"""The ids of one side as arrays: consecutive integers take nothing, texts what they do not share.

Arrays hold ids by rank, ascending. Where indices are not ranks, the index order is cut into runs in which ids
ascend, and an array tells the run of each rank.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lerg_runtime._limits import MAX_ID_BYTES
from lerg_runtime.bundle._arrays import Allocate, ArrayReader, smallest_unsigned
from lerg_runtime.bundle._ids import IntegerIds, RawId, TextIds, ids_from_values
from lerg_runtime.errors import BundleError

__all__ = ["id_arrays", "id_bytes", "id_reading_bytes", "read_ids"]

_UNSIGNED = ("uint8", "uint16", "uint32")
_GAPS = (*_UNSIGNED, "uint64")
_PARTS = ("gaps", "shared", "lengths", "text", "runs")


def id_arrays(side: str, values: np.ndarray | list[RawId]) -> dict[str, np.ndarray]:
    """The arrays of a side's ids, which are given by index.

    Raises:
        BundleError: as `ids_from_values`.
    """
    ids = ids_from_values(values)
    if isinstance(ids, IntegerIds):
        ranked = ids.values if ids.ascending is None else ids.values[ids.ascending]
        return {**_integer_arrays(side, ranked), **_run_array(side, ids.ascending)}
    return {**_text_arrays(side, ids), **_run_array(side, ids.index_of)}


def id_bytes(arrays: ArrayReader, side: str, count: int) -> int:
    """Bytes of the map that `read_ids` makes.

    Raises:
        BundleError: more text than so many ids may have.
    """
    ordered = f"{side}_runs" in arrays.names
    if f"{side}_first" in arrays.names:
        return (12 if ordered else 8) * count
    text = _text_bytes(arrays, side, count)
    return text + 8 * (count + 1) + 8 * count * ordered


def id_reading_bytes(arrays: ArrayReader, side: str, count: int) -> int:
    """Most that is in memory besides while `read_ids` makes the map."""
    taken = 0
    for name in (f"{side}_{part}" for part in _PARTS):
        if name in arrays.names:
            dtype, shape = arrays.header(name)
            taken += int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize + arrays.reading_bytes(name)
    return taken + (16 * count if f"{side}_runs" in arrays.names else 0)


def read_ids(
    arrays: ArrayReader, side: str, count: int, *, allocate: Allocate = np.empty
) -> IntegerIds | TextIds:
    """The ids of a side, every one checked.

    Raises:
        BundleError: an array is absent or does not fit, or ids repeat.
    """
    index_of, rank_of = _read_order(arrays, side, count, allocate)
    if f"{side}_first" in arrays.names:
        return _read_integers(arrays, side, count, index_of, allocate)
    ids = _read_texts(arrays, side, count, allocate)
    if index_of is None or rank_of is None:
        return ids
    kept = allocate((count,), "int32")
    kept[:] = rank_of
    return replace(ids, index_of=index_of, rank_of=kept)


def _integer_arrays(side: str, ranked: np.ndarray) -> dict[str, np.ndarray]:
    arrays = {f"{side}_first": ranked[:1].reshape(())}
    gaps = np.diff(ranked.view(np.uint64))  # modulo 2^64, as far apart as they may be
    if len(gaps) and int(gaps.max()) != 1:
        largest = int(gaps.max())
        arrays[f"{side}_gaps"] = gaps.astype("uint64" if largest >= 2**32 else smallest_unsigned(largest))
    return arrays


def _text_arrays(side: str, ids: TextIds) -> dict[str, np.ndarray]:
    shared, own, text, before = [], [], bytearray(), b""
    for start, end in zip(ids.offsets[:-1].tolist(), ids.offsets[1:].tolist(), strict=True):
        current = ids.blob[start:end].tobytes()
        common = 0
        while common < min(len(before), len(current)) and before[common] == current[common]:
            common += 1
        shared.append(common)
        own.append(len(current) - common)
        text += current[common:]
        before = current
    return {
        f"{side}_text_bytes": np.array(int(ids.offsets[-1]), dtype=np.int64),
        f"{side}_shared": np.array(shared, dtype=smallest_unsigned(max(shared, default=0))),
        f"{side}_lengths": np.array(own, dtype=smallest_unsigned(max(own, default=0))),
        f"{side}_text": np.frombuffer(bytes(text), dtype=np.uint8),
    }


def _run_array(side: str, index_of: np.ndarray | None) -> dict[str, np.ndarray]:
    if index_of is None:
        return {}
    rank_of = np.empty_like(index_of)
    rank_of[index_of] = np.arange(len(index_of), dtype=index_of.dtype)
    run_at = np.concatenate(([0], np.cumsum(rank_of[1:] < rank_of[:-1])))
    return {f"{side}_runs": run_at[index_of].astype(smallest_unsigned(int(run_at[-1])))}


def _read_order(
    arrays: ArrayReader, side: str, count: int, allocate: Allocate
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """The index of each rank and the rank of each index."""
    if f"{side}_runs" not in arrays.names:
        return None, None
    runs = arrays.read(f"{side}_runs", dtypes=_UNSIGNED, shape=(count,), allocate=allocate)
    rank_of = np.argsort(runs, kind="stable")
    index_of = allocate((count,), "int32")
    index_of[rank_of] = np.arange(count, dtype=np.int32)
    return index_of, rank_of


def _read_integers(
    arrays: ArrayReader, side: str, count: int, index_of: np.ndarray | None, allocate: Allocate
) -> IntegerIds:
    values = allocate((count,), "int64")
    values[:1] = arrays.read(f"{side}_first", dtypes=("int64",), shape=())
    values[1:] = 1
    if f"{side}_gaps" in arrays.names:
        gaps = arrays.read(f"{side}_gaps", dtypes=_GAPS, shape=(count - 1,), allocate=allocate)
        values[1:].view(np.uint64)[:] = gaps
    np.cumsum(values, out=values)
    if index_of is None:
        return IntegerIds(values)
    placed = allocate((count,), "int64")
    placed[index_of] = values
    return IntegerIds(placed, index_of)


def _read_texts(arrays: ArrayReader, side: str, count: int, allocate: Allocate) -> TextIds:
    total = _text_bytes(arrays, side, count)
    shared, own = (
        arrays.read(f"{side}_{part}", dtypes=_UNSIGNED, shape=(count,), allocate=allocate)
        for part in ("shared", "lengths")
    )
    text = arrays.read(f"{side}_text", dtypes=("uint8",), shape=(None,), allocate=allocate)
    if int(shared.sum(dtype=np.uint64)) + int(own.sum(dtype=np.uint64)) != total or int(
        own.sum(dtype=np.uint64)
    ) != len(text):
        raise BundleError(f"the {side} ids do not add up to their text; export the bundle again")
    blob, offsets = allocate((total,), "uint8"), allocate((count + 1,), "int64")
    offsets[0] = place = taken = length = 0
    for rank, (common, rest) in enumerate(zip(shared, own, strict=True)):
        common, rest = int(common), int(rest)
        if common > length or common + rest > MAX_ID_BYTES:
            raise BundleError(f"{side} id number {rank} is longer than it may be; export the bundle again")
        blob[place : place + common] = blob[place - length : place - length + common]
        blob[place + common : place + common + rest] = text[taken : taken + rest]
        length = common + rest
        place, taken = place + length, taken + rest
        offsets[rank + 1] = place
    return TextIds.checked(blob, offsets)


def _text_bytes(arrays: ArrayReader, side: str, count: int) -> int:
    total = int(arrays.read(f"{side}_text_bytes", dtypes=("int64",), shape=()))
    if not 0 <= total <= count * MAX_ID_BYTES:
        raise BundleError(f"the {side} ids take {total} bytes, which {count} ids may not")
    return total
