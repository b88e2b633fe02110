"""The methods of a personal model, which has items and nobody else: what both lowerings have in common.

`encode` makes the item table and the metric M by which a history is compared with items; `recommend` takes
a history as slots and weights. With h_u the weighted sum of its rows, the score of item j is h_u' M h_j. M is
`lerg_edge.histories.rule.ridge_metric`: (G + lambda I)^-1 with G the items' H'H over its mean eigenvalue, or
I where there is no lambda. It is made of the rows as they are stored, by

    X <- X (2 I - A X),

which doubles the number of right digits each time (Schulz, ZAMM 13, 1933). A = G + lambda I has eigenvalues
from lambda to lambda + d, so with lambda of 1 and more some ten rounds do, and stock operators are enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional

from lerg_edge.codes.assignment import Assignment
from lerg_edge.errors import InputError
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.personal.coded_items import CodedItems
from lerg_edge.personal.model import PersonalModel
from lerg_exporter.programs.limits import ProgramLimits
from lerg_exporter.programs.method import Method
from lerg_runtime.bundle import pack

__all__ = [
    "Encode",
    "FineTune",
    "Learning",
    "Recommend",
    "TableModules",
    "inverse_by_products",
    "personal_methods",
]

_ROWS_AT_ONCE = 4096
_MOST_PARTS = 32
_DIGITS = 1e-7


class Learning(NamedTuple):
    """Operators of one lowering that `FineTune` is made of.

    Attributes:
        quantise: of (codebook, step, bits), with LSQ's gradients.
        stored: of codes and how many there may be, as `encode` stores them, and what is to be added to them.
    """

    quantise: Callable[[Tensor, Tensor, int], Tensor]
    stored: Callable[[np.ndarray, int], tuple[Tensor, int]]


class FineTune(torch.nn.Module):
    """BPR loss of items of a history, each told from another by the rest; only `codebook` and `step` learn.

    The row of an item's question is what `Recommend` makes of the history by the weights that are given for
    it, 0 for the item itself. The metric is taken as it is: it has no gradient.

    Args:
        items: whose rows they are.
        learning: operators of the lowering.

    Shapes:
        positives, negatives: int64 [B] slots; history: int64 [n] slots; weights: float32 [B, n];
        metric: float32 [d, d]; returns (float32 scalar,).
        codebook: float32 [c, d], latent; step: float32 [1] or [c].
    """

    codes: Tensor | None
    weights: Tensor
    scales: Tensor
    scale_table: Tensor

    def __init__(self, items: CodedItems, learning: Learning) -> None:
        super().__init__()
        self.codebook = torch.nn.Parameter(torch.tensor(items.codebook))
        self.step = torch.nn.Parameter(torch.tensor(items.step, dtype=torch.float32).reshape(-1))
        self.bits, self.quantise, self.kind, self._width = (
            items.bits,
            learning.quantise,
            items.kind,
            items.width,
        )
        codes, self._offset = None, 0
        if items.kind != "rows":
            codes, self._offset = learning.stored(items.parts.codes, len(items.codebook))
        self.register_buffer("codes", codes)
        if isinstance(items.parts, FoldedRows):
            for name in ("weights", "scales", "scale_table"):
                self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(getattr(items.parts, name))))

    def forward(
        self, positives: Tensor, negatives: Tensor, history: Tensor, weights: Tensor, metric: Tensor
    ) -> tuple[Tensor]:
        quantised = self.quantise(self.codebook, self.step, self.bits)
        batch, count = weights.shape
        rows = self._rows(quantised, torch.cat([positives, negatives, history]))
        positive, negative, touched = rows.split([batch, batch, count])
        asked = torch.mm(torch.mm(weights, touched), metric)
        margin = (asked * (negative - positive)).sum(1)
        return (functional.softplus(margin).mean(),)

    def _rows(self, codebook: Tensor, slots: Tensor) -> Tensor:
        """Rows of slots [n], float32 [n, d]: gathered, so that the gradient is scattered."""
        if self.codes is None:
            return _gathered(codebook, slots)
        dim = codebook.shape[1]
        codes = self.codes.index_select(0, slots).to(torch.int64) + self._offset
        if self.kind == "product":
            places = codes * self._width + torch.arange(self._width)
            blocks = _gathered(codebook.reshape(-1, dim // self._width), places.reshape(-1))
            return blocks.reshape(-1, dim)
        parts = _gathered(codebook, codes.reshape(-1)).reshape(-1, self._width, dim)
        factor = self.scale_table.gather(0, self.scales.index_select(0, slots).to(torch.int64))
        shares = self.weights.index_select(0, slots).to(torch.float32) * factor.unsqueeze(1)
        return (parts * shares.unsqueeze(2)).sum(1)


def _gathered(table: Tensor, rows: Tensor) -> Tensor:
    return table.gather(0, rows.unsqueeze(1).expand(-1, table.shape[1]))


class TableModules(NamedTuple):
    """What makes an item table, by how its rows are stored; each gives a module of (packed, step).

    Attributes:
        rows: of the bits, for a codebook row an item.
        product: of the assignment and the bits, for blocks of codebook rows.
        folded: of the entries and the bits, for weighted sums of codebook rows.
    """

    rows: Callable[[int], torch.nn.Module]
    product: Callable[[Assignment, int], torch.nn.Module]
    folded: Callable[[FoldedRows, int], torch.nn.Module]

    def of(self, items: CodedItems) -> torch.nn.Module:
        """The module for these items."""
        if isinstance(items.parts, FoldedRows):
            return self.folded(items.parts, items.bits)
        return self.product(items.parts, items.bits) if items.kind == "product" else self.rows(items.bits)


class Encode(torch.nn.Module):
    """Packed codebook and step to the item table and the metric.

    Args:
        table: the module that makes the item table of them.
        counts: items of each placeholder, the last rows of the table.
        ridge: lambda, at least 1, or None for no metric.

    Shapes:
        packed: int8 or int16 [c, d], or uint8 [c, d / 2] for 4 bits; step: float32 [1] or [c].
        returns (float32 [S, d], float32 [d, d]).
    """

    extra: Tensor | None

    def __init__(self, table: torch.nn.Module, counts: np.ndarray, *, ridge: float | None) -> None:
        super().__init__()
        self.table, self.ridge = table, ridge
        # Every row counts once; a placeholder for its other items too. No constant can be of no bytes.
        extra = torch.tensor(counts - 1, dtype=torch.float32) if len(counts) and ridge is not None else None
        self.register_buffer("extra", extra)

    def forward(self, packed: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        table = self.table(packed, step)
        one = _identity(table.shape[1])
        if self.ridge is None:
            return table, one
        gram = _gram(table)
        if self.extra is not None:
            shared = table[table.shape[0] - self.extra.shape[0] :]
            gram = gram + torch.mm(shared.t(), shared * self.extra.unsqueeze(1))
        return table, inverse_by_products(_normalised(gram, one) + self.ridge * one, ridge=self.ridge)


class Recommend(torch.nn.Module):
    """The best items for a history, by descending score and then ascending item index.

    Args:
        rank: ranks for rows: (user rows [1, d], item table, item slots int32 [I], seen, ranks).

    Shapes:
        item_table: float32 [S, d]; metric: float32 [d, d]; item_slots: int32 [I]; history: int64 [n] slots;
        weights: float32 [n]; seen: bool or uint8 [1, I], what may not come: the items that are denied, and
        those that are not among the allowed; ranks: int64 [K], of which only the length matters.
        returns (int64 [1, K] item indices, -1 where candidates ran out; float32 [1, K], -inf there).
    """

    def __init__(self, rank: torch.nn.Module) -> None:
        super().__init__()
        self.rank = rank

    def forward(
        self,
        item_table: Tensor,
        metric: Tensor,
        item_slots: Tensor,
        history: Tensor,
        weights: Tensor,
        seen: Tensor,
        ranks: Tensor,
    ) -> tuple[Tensor, Tensor]:
        touched = functional.embedding(history, item_table)
        row = torch.mm(torch.mm(weights.unsqueeze(0), touched), metric)
        found: tuple[Tensor, Tensor] = self.rank(row, item_table, item_slots, seen, ranks)
        return found


def inverse_by_products(matrix: Tensor, *, ridge: float) -> Tensor:
    """The inverse of a symmetric [d, d] with eigenvalues from `ridge` to `ridge` + d, by matrix products."""
    dim = matrix.shape[0]
    two = 2.0 * _identity(dim)
    # The start that is best for these bounds leaves (k - 1) / (k + 1) of the error, k = 1 + d / ridge.
    left = dim / (2.0 * ridge + dim)
    rounds = 1 + math.ceil(math.log2(max(2.0, math.log(_DIGITS) / math.log(left))))
    inverse = _identity(dim) * (2.0 / (2.0 * ridge + dim))
    for _ in range(rounds):
        inverse = torch.mm(inverse, two - torch.mm(matrix, inverse))
    return inverse


def personal_methods(
    tables: TableModules,
    rank: torch.nn.Module,
    model: PersonalModel,
    limits: ProgramLimits,
    *,
    max_history: int,
    learning: Learning,
    max_batch: int = 0,
) -> dict[str, Method]:
    """`encode` and `recommend`, and `finetune` where it is asked for; lengths of histories and ranks vary.

    Args:
        tables: what makes the item table.
        rank: what ranks for rows.
        model: whose item rows and rule they are.
        limits: of which `max_k` counts.
        max_history: most items of a history.
        max_batch: most items that are learned from at a time; 0 for no `finetune`.
        learning: what that is made of.

    Raises:
        InputError: lambda is below 1, there is no item, or no history is allowed.
    """
    items, ridge, count = model.items, model.rule.ridge, model.item_count
    batch = Dim("batch", min=2, max=max_batch) if max_batch > 2 else None
    if ridge is not None and ridge < 1:
        raise InputError(f"ridge is {ridge}; it must be at least 1, for the metric is made in a fixed time")
    if count < 1 or max_history < 1:
        raise InputError(f"there are {count} items and histories of {max_history}; both must be 1 at least")
    max_k = min(count, limits.max_k)
    packed = pack(np.zeros(items.codebook.shape, np.int8), bits=items.bits)
    history, ranks = _dimension("history", max_history), _dimension("ranks", max_k)
    methods = {
        "encode": Method(
            module=Encode(tables.of(items), model.counts, ridge=ridge),
            inputs={
                "codebook": torch.from_numpy(packed),
                "step": torch.tensor(items.step, dtype=torch.float32).reshape(-1),
            },
            dynamic={},
            outputs=("item_table", "metric"),
        ),
        "recommend": Method(
            module=Recommend(rank),
            inputs={
                "item_table": torch.zeros(items.item_count, items.dim),
                "metric": torch.zeros(items.dim, items.dim),
                "item_slots": torch.zeros(count, dtype=torch.int32),
                "history": torch.zeros(min(3, max_history), dtype=torch.int64),
                "weights": torch.zeros(min(3, max_history)),
                "seen": torch.zeros(1, count, dtype=torch.bool),
                "ranks": torch.arange(min(5, max_k)),
            },
            dynamic={"history": history, "weights": history, "ranks": ranks},
            outputs=("items", "scores"),
        ),
    }
    if not max_batch:
        return methods
    few = min(3, max_history)
    methods["finetune"] = Method(
        module=FineTune(items, learning),
        inputs={
            "positives": torch.zeros(min(5, max_batch), dtype=torch.int64),
            "negatives": torch.zeros(min(5, max_batch), dtype=torch.int64),
            "history": torch.zeros(few, dtype=torch.int64),
            "weights": torch.zeros(min(5, max_batch), few),
            "metric": torch.zeros(items.dim, items.dim),
        },
        dynamic={
            "positives": {} if batch is None else {0: batch},
            "negatives": {} if batch is None else {0: batch},
            "history": history,
            "weights": ({} if batch is None else {0: batch})
            | {axis + 1: dim for axis, dim in history.items()},
        },
        outputs=("loss",),
        trains=True,
    )
    return methods


def _identity(dim: int) -> Tensor:
    """Float32 [dim, dim], made by operators that a program may call, and not stored."""
    places = torch.arange(dim, dtype=torch.float32)
    return (places.unsqueeze(1) == places.unsqueeze(0)).to(torch.float32)


def _gram(table: Tensor) -> Tensor:
    """H'H, some rows at a time: a transposed copy of all of them would take as much as they do."""
    count = table.shape[0]
    size = max(_ROWS_AT_ONCE, -(-count // _MOST_PARTS))
    total = torch.zeros(table.shape[1], table.shape[1])
    for start in range(0, count, size):
        part = table[start : min(start + size, count)]
        total = total + torch.mm(part.t(), part)
    return total


def _normalised(gram: Tensor, one: Tensor) -> Tensor:
    """Divided by the mean of its eigenvalues; a table of zeros leaves zeros."""
    mean = (gram * one).reshape(1, -1).sum(1) * (1.0 / gram.shape[0])
    return gram / mean.clamp(min=torch.finfo(torch.float32).tiny).reshape(1, 1)


def _dimension(name: str, most: int) -> dict[int, Any]:
    return {0: Dim(name, min=1, max=most)} if most > 1 else {}
