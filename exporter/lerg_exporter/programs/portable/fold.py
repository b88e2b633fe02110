"""Weighted sums of rows, and their adjoint, by stock operators that move whole rows.

What stock kernels do fast is `embedding`, which copies rows, and `bmm`, which adds k of them up with weights.
They add to rows of a table only one element at a time, so the adjoint is made of gathers too: `topk` sorts
the entries by the row that they add to, and each run of equal ones is cut into groups of `FIRST_GROUP`, whose
sums are cut into groups of `SECOND_GROUP`. The first of those is a row's own; the others are left to a
scatter, and of n entries there are fewer than n / (FIRST_GROUP * SECOND_GROUP).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lerg_exporter.programs.portable.gathers import FIRST_GROUP, SECOND_GROUP

__all__ = ["added", "fold", "unfold", "weighted_sums"]


def fold(table: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
    """Sums of weighted rows; table float32 [c, d], codes int32 and weights float32 [n, k], returns [n, d]."""
    count, parts = codes.shape[0], _parts(codes)
    # Parts are equal, so the last row fills them up; none has a single row, which tracing would specialise.
    rows = torch.arange(parts * (count // parts + 2)).clamp(max=count - 1)
    sums = _in_parts(table, codes.index_select(0, rows), weights.index_select(0, rows), parts=parts)
    return sums[:count]


def unfold(grad: Tensor, codes: Tensor, weights: Tensor, count: int) -> Tensor:
    """The adjoint of `fold` towards its table: float32 [count, d] from grad [n, d]."""
    entries, parts = codes.numel(), _parts(codes) + FIRST_GROUP
    flat = codes.reshape(-1)
    lengths = _counts(flat, count)
    order = torch.topk(flat, entries, largest=False)[1].to(torch.int32)

    room = parts * (entries // (parts * FIRST_GROUP) + count // parts + 2)
    groups = _grouped(_before(lengths), lengths, width=FIRST_GROUP, room=room)
    chosen = order.index_select(0, groups.places.clamp(max=entries - 1).reshape(-1)).reshape(-1, FIRST_GROUP)
    picked = weights.reshape(-1).index_select(0, chosen.reshape(-1)).reshape(-1, FIRST_GROUP) * groups.filled
    sums = _in_parts(grad, chosen // codes.shape[1], picked, parts=parts)

    own, filled = _places(groups.starts, groups.counts, width=SECOND_GROUP)
    most = SECOND_GROUP * (entries // (FIRST_GROUP * SECOND_GROUP**2) + -(-count // SECOND_GROUP) + 2)
    rest = _grouped(
        groups.starts + SECOND_GROUP,
        (groups.counts - SECOND_GROUP).clamp(min=0),
        width=SECOND_GROUP,
        room=most - count,
    )
    places = torch.cat([own, rest.places]).clamp(max=room - 1)
    sums = _in_parts(sums, places, torch.cat([filled, rest.filled]), parts=SECOND_GROUP)
    return added(sums[:count], rest.runs.to(torch.int64), sums[count:])


def added(table: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """`table` [m, d] with the rows of `values` [n, d] added where `rows`, int64 [n], says.

    The scatter runs over one dimension: of two, the stock kernel works out the coordinates of each element.
    Its places are a range and a number a row, which the stock sum adds fast; the stock `expand` is slow.
    """
    count, dim = values.shape
    moved = rows * dim - torch.arange(count) * dim
    places = torch.arange(count * dim).reshape(count, dim) + moved.unsqueeze(1)
    return table.reshape(-1).scatter_add(0, places.reshape(-1), values.reshape(-1)).reshape(table.shape)


def _parts(codes: Tensor) -> int:
    """So many that one of them gathers half as many rows as there are to be made."""
    return 2 * codes.shape[1]


def weighted_sums(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of k rows, a part at a time; returns float32 [parts * n, 1, d].

    Shapes:
        table: float32 [m, d]. rows: int32 [parts, n, k]. weights: float32 [parts, n, 1, k].
    """
    return torch.cat(
        [torch.bmm(weights[part], functional.embedding(rows[part], table)) for part in range(rows.shape[0])]
    )


def _in_parts(table: Tensor, rows: Tensor, weights: Tensor, *, parts: int) -> Tensor:
    """Float32 [n, d] from a table [m, d]; rows int32 and weights float32 [n, k], n a multiple of `parts`."""
    (count, width), dim = rows.shape, table.shape[1]
    sums: Tensor = torch.ops.lerg_portable.weighted_sums(
        table,
        rows.reshape(parts, count // parts, width),
        weights.reshape(parts, count // parts, 1, width),
    )
    return sums.reshape(count, dim)


class _Groups(NamedTuple):
    """Runs of places, cut into groups that stand in the order of the runs.

    Attributes:
        runs: int32 [room], the run that a group is of.
        places, filled: int32 and float32 [room, width], as `_places` says.
        starts, counts: int32 [runs], the first group of each run, and how many it has.
    """

    runs: Tensor
    places: Tensor
    filled: Tensor
    starts: Tensor
    counts: Tensor


def _grouped(starts: Tensor, lengths: Tensor, *, width: int, room: int) -> _Groups:
    """Groups of runs that start at `starts`; `room` is more than they can be, and the last ones are empty."""
    counts = (lengths + (width - 1)) // width
    before = _before(counts)
    runs = _counts(before, room).cumsum(0, dtype=torch.int32) - 1
    first = _range(room) * width + (starts - before * width).index_select(0, runs)
    places, filled = _places(first, (starts + lengths).index_select(0, runs) - first, width=width)
    return _Groups(runs, places, filled, before, counts)


def _places(starts: Tensor, lengths: Tensor, *, width: int) -> tuple[Tensor, Tensor]:
    """`width` places from each start on, and 1.0 for those within its length, 0.0 for the others.

    Stock kernels broadcast one dimension fast, and compare slowly.
    """
    groups = starts.shape[0]
    steps = _range(groups * width).reshape(groups, width)
    places = steps + (starts - _range(groups) * width).unsqueeze(1)
    left = (starts + lengths).unsqueeze(1) - places
    return places, left.clamp(0, 1).to(torch.float32)


def _counts(values: Tensor, count: int) -> Tensor:
    """How often each integer below `count` is there, int32 [count]; values int32 [n]."""
    ones = torch.ones_like(values)
    return values.new_zeros(count).scatter_add(0, values.to(torch.int64), ones)


def _before(counts: Tensor) -> Tensor:
    """Sums of all earlier ones, int32."""
    return counts.cumsum(0, dtype=torch.int32) - counts


def _range(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.int32)
