"""Which meta-embeddings make up which entity, and how: the fixed sparse matrix S."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

from lerg_edge.codes._metis import partition
from lerg_edge.codes.compositions import COMPOSITIONS, check_composition
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The rows of S as small integers; weights follow from ``anchor_weight``.

    With the composition ``sum`` an entity's row is the weighted sum of its t codebook rows. With ``blocks``
    the d columns are cut into t equal blocks, and block j is that of the codebook row ``codes[e, j]``: every
    block has c rows of its own to choose from, and weights there are none.

    Shapes:
        codes: int32 [N, t], users first; for sums column 0 is the anchor and no code repeats within a row.

    Raises:
        InputError: a composition that is not offered.

    Source: LEGCF, arXiv 2403.18479; LERG, arXiv 2505.18999, section 3.3. Blocks are this project's own, after
    product quantisation (Jégou, Douze and Schmid, IEEE TPAMI 33(1), 2011).
    """

    codes: np.ndarray
    codebook_rows: int
    anchor_weight: float
    composition: str = "sum"

    def __post_init__(self) -> None:
        check_composition(self.composition)

    @classmethod
    def of_blocks(cls, codes: np.ndarray, codebook_rows: int) -> Assignment:
        """Give each entity one of ``codebook_rows`` codes for each block, integer [N, t]."""
        return cls(np.asarray(codes, np.int32), codebook_rows, 1.0, "blocks")

    @property
    def entity_count(self) -> int:
        return self.codes.shape[0]

    @property
    def codes_per_entity(self) -> int:
        return self.codes.shape[1]

    @property
    def weights(self) -> np.ndarray:
        """float32 [t], of sums: the anchor's weight, then equal shares of the rest; [1] for an anchor alone.

        Raises:
            InputError: the composition is by blocks, which have no weights.
        """
        if not COMPOSITIONS[self.composition].weighted:
            raise InputError(f"an assignment composed by {self.composition} has no weights; only sums have")
        others = self.codes_per_entity - 1
        if others == 0:
            return np.ones(1, np.float32)
        share = (1.0 - self.anchor_weight) / others
        return np.array([self.anchor_weight] + [share] * others, np.float32)

    @property
    def blocks(self) -> int:
        """Parts that a row is cut into: t, or 1 for sums."""
        return COMPOSITIONS[self.composition].blocks(self.codes_per_entity)

    def matrix(self) -> sparse.csr_matrix:
        """S itself, float32 [N * b, c * b] for b ``blocks``, entries of a row in the order of ``codes``.

        It multiplies a codebook [c, d] that is read as [c * b, d / b], to rows [N, d] read as [N * b, d / b]:
        block j of code k is row k * b + j.
        """
        kind = COMPOSITIONS[self.composition]
        weights = self.weights if kind.weighted else np.ones(self.codes_per_entity, np.float32)
        return kind.matrix(self.codes, self.codebook_rows, weights)

    def to_stage(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Take it apart into arrays and a JSON object, for :class:`lerg_edge.workdir.WorkDir`."""
        numbers = {
            "codebook_rows": self.codebook_rows,
            "anchor_weight": self.anchor_weight,
            "composition": self.composition,
        }
        return {"codes": self.codes}, numbers

    @classmethod
    def from_stage(cls, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> Assignment:
        """Put together what :meth:`to_stage` took apart."""
        return cls(
            tensors["codes"], numbers["codebook_rows"], numbers["anchor_weight"], numbers["composition"]
        )


@dataclass(frozen=True, slots=True, eq=False)
class LearnedAssignment:
    """An assignment, and the codebook that was found with it.

    Attributes:
        assignment: S.
        codebook: float32 [c, d] to start training from, or None where the assignment says nothing about it.
    """

    assignment: Assignment
    codebook: np.ndarray | None = None


def identity_assignment(entities: int) -> Assignment:
    """Give every entity a code of its own: the full table as an assignment."""
    return Assignment(np.arange(entities, dtype=np.int32)[:, None], entities, 1.0)


def metis_assignment(
    matrix: sparse.csr_matrix,
    *,
    codebook_rows: int,
    codes_per_entity: int = 2,
    anchor_weight: float = 0.6,
    auxiliaries: Literal["neighbours", "random"] = "neighbours",
    seed: int,
) -> Assignment:
    """Cut the interaction graph into one part for each code and add auxiliaries.

    Every code anchors at least one entity: METIS gives no such promise when parts are small, so empty parts
    are filled first with entities that have no interaction, then with members of the largest parts.

    Auxiliaries are the other parts that an entity's interactions lead to, heaviest first, or random ones as
    in the paper. On lastfm the former gave 2 to 9 % more validation NDCG@20, the more the fewer the codes.

    Args:
        matrix: interactions [U, I].
        codebook_rows: c, number of meta-embeddings, 1 <= c <= U + I.
        codes_per_entity: t, codes of an entity, 1 <= t <= c.
        anchor_weight: w*, in (0, 1].
        auxiliaries: how columns 1 to t - 1 are chosen; entities whose interactions lead to too few other
            parts are filled up at random.
        seed: the same seed gives the same assignment.

    Raises:
        InputError: a value outside the range stated.
    """
    total = sum(matrix.shape)
    if not 1 <= codebook_rows <= total:
        raise InputError(
            f"codebook_rows is {codebook_rows}; it must lie between 1 and the number of entities, {total}"
        )
    if not 1 <= codes_per_entity <= codebook_rows:
        raise InputError(
            f"codes_per_entity is {codes_per_entity}; it must lie between 1 and codebook_rows, which is "
            f"{codebook_rows}"
        )
    if not 0.0 < anchor_weight <= 1.0:
        raise InputError(f"anchor_weight is {anchor_weight}; it must be above 0 and at most 1")
    if auxiliaries not in ("neighbours", "random"):
        raise InputError(f"auxiliaries is {auxiliaries!r}; choose neighbours or random")
    rows = np.full((total, codes_per_entity), -1, np.int32)
    rows[:, 0] = _partition(full_adjacency(matrix), codebook_rows, seed=seed)
    if auxiliaries == "neighbours":
        _add_neighbouring_parts(rows, full_adjacency(normalised_bipartite(matrix)), codebook_rows)
    _fill_at_random(rows, codebook_rows, np.random.default_rng([seed, 1]))
    return Assignment(rows, codebook_rows, float(anchor_weight))


def _add_neighbouring_parts(rows: np.ndarray, adjacency: sparse.csr_matrix, codebook_rows: int) -> None:
    """Fill in the parts that weigh most among an entity's neighbours, the largest first.

    A part's weight is the sum of its normalised edges, over the root of the part's size.
    """
    count, width = rows.shape
    anchors = rows[:, 0]
    parts = sparse.csr_matrix(
        (np.ones(count, np.float32), (np.arange(count), anchors)), shape=(count, codebook_rows)
    )
    reached = (adjacency @ parts).tocoo()
    sizes = np.bincount(anchors, minlength=codebook_rows)
    strength = reached.data / np.sqrt(sizes[reached.col])
    other = reached.col != anchors[reached.row]
    row, column, strength = reached.row[other], reached.col[other], strength[other]
    order = np.lexsort((column, -strength, row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    taken = rank < width - 1
    rows[row[taken], rank[taken] + 1] = column[taken]


def _fill_at_random(rows: np.ndarray, codebook_rows: int, rng: np.random.Generator) -> None:
    """Replace each -1 by a code that its row does not have, uniform over those.

    A draw from the c - j codes left is shifted past the j codes taken, in ascending order, so nothing is
    rejected and small codebooks cost no more than large ones.
    """
    for column in range(1, rows.shape[1]):
        missing = np.flatnonzero(rows[:, column] < 0)
        drawn = rng.integers(0, codebook_rows - column, len(missing))
        for taken in np.sort(rows[missing, :column], axis=1).T:
            drawn += drawn >= taken
        rows[missing, column] = drawn


def _partition(adjacency: sparse.csr_matrix, parts: int, *, seed: int) -> np.ndarray:
    """Give each entity a part in 0..parts-1, none of them empty; int64 [N]."""
    connected = np.flatnonzero(np.diff(adjacency.indptr))
    isolated = np.flatnonzero(np.diff(adjacency.indptr) == 0)
    labels = np.full(adjacency.shape[0], -1, np.int64)
    if 1 < parts < len(connected):
        graph = adjacency[connected][:, connected]
        labels[connected] = partition(graph.indptr, graph.indices, parts=parts, seed=seed % 2**31)
    else:
        labels[connected] = np.arange(len(connected)) % parts
    _place_isolated(labels, isolated, parts)
    _fill_empty(labels, parts)
    return labels


def _place_isolated(labels: np.ndarray, isolated: np.ndarray, parts: int) -> None:
    """Put each unlabelled entity into the part that is smallest at its turn, the lowest number first."""
    sizes = np.bincount(labels[labels >= 0], minlength=parts)
    heap = [(int(size), part) for part, size in enumerate(sizes)]
    heapq.heapify(heap)
    for entity in isolated:
        size, part = heap[0]
        labels[entity] = part
        heapq.heapreplace(heap, (size + 1, part))


def _fill_empty(labels: np.ndarray, parts: int) -> None:
    """Move the last member of the largest part into each empty part, in order of part number."""
    sizes = np.bincount(labels, minlength=parts)
    empty = np.flatnonzero(sizes == 0)
    if not len(empty):
        return
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    heap = [(-int(size), part) for part, size in enumerate(sizes) if size > 1]
    heapq.heapify(heap)
    for target in empty:
        size, part = heap[0]
        labels[members[part][-size - 1]] = target
        heapq.heapreplace(heap, (size + 1, part))
