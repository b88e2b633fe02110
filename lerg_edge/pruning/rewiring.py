"""Edges for the entities that lost some: the rewired graph over the retained.

Source: LERG, arXiv 2505.18999, the section on rewiring. Which paths count, how many edges an entity gets and
what happens when no path leads anywhere are choices of this project, stated at :func:`rewire`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.selection.contributions import unit_rows

DEFAULT_CAP = 1
_FAN_OUT = 64
_BLOCK_ENTRIES = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class RewiredGraph:
    """The graph A' is made of; it is normalised by its own degrees.

    Attributes:
        matrix: float32 [m_u, m_i] of ones, retained users by retained items in entity order, sorted indices.
        retained_users: int32 [m_u], user indices.
        retained_items: int32 [m_i], item indices.
        removed: edges of the full graph with a pruned end.
        added: edges that the full graph does not have.
        added_by_hops: of these, (three hops, five hops, by similarity alone); an edge counts where it was
            proposed first.
    """

    matrix: sparse.csr_matrix
    retained_users: np.ndarray
    retained_items: np.ndarray
    removed: int
    added: int
    added_by_hops: tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """Blocks of the normalised adjacency: r retained, p pruned; and the edges that the retained have."""

    users_to_pruned: sparse.csr_matrix
    pruned_to_items: sparse.csr_matrix
    pruned_to_pruned: sparse.csr_matrix
    induced: sparse.csr_matrix
    user_rows: np.ndarray
    item_rows: np.ndarray

    def turned(self) -> _Parts:
        """The same graph with users and items in each other's place."""
        return _Parts(
            self.pruned_to_items.T.tocsr(),
            self.users_to_pruned.T.tocsr(),
            self.pruned_to_pruned.T.tocsr(),
            self.induced.T.tocsr(),
            self.item_rows,
            self.user_rows,
        )


def rewire(
    matrix: sparse.csr_matrix, retained: np.ndarray, embeddings: np.ndarray, *, cap: int = DEFAULT_CAP
) -> RewiredGraph:
    """Drop pruned entities and re-route the retained ones around them.

    An entity that lost edges proposes edges to retained entities of the other side that it reaches over three
    hops whose inner two are pruned; where there are none, over five whose inner four are. It proposes at most
    as many as it lost and at most ``cap``, by path weight (the product of Â along a path, summed over paths),
    then by cosine of the propagated embeddings, then by index. A pruned hub passes on its 64 strongest links
    only: the paths beyond are many, weak and a matter of minutes on large graphs. The proposals of both sides
    are united with the edges that survived. Who is then still without an edge and had one is linked to the
    most similar retained entity of the other side, so nobody who was connected ends up isolated.

    Args:
        matrix: interactions [U, I], values ignored.
        retained: bool [U + I].
        embeddings: float32 [U + I, d], propagated over the full graph, users first.
        cap: most edges that an entity proposes, 0 to re-route nobody but the isolated.

    Raises:
        InputError: sizes that do not match, a negative cap, or a side with nobody retained.
    """
    users, items = matrix.shape
    if retained.shape != (users + items,) or len(embeddings) != users + items:
        raise InputError(
            f"retained has {len(retained)} and embeddings {len(embeddings)} rows; the interactions have "
            f"{users + items} entities."
        )
    if cap < 0:
        raise InputError(f"cap is {cap}; it must be at least 0.")
    kept_users, kept_items = np.flatnonzero(retained[:users]), np.flatnonzero(retained[users:])
    if matrix.nnz and not (len(kept_users) and len(kept_items)):
        raise InputError("no user or no item is retained; raise retention or the floors.")
    parts = _split(matrix, retained, unit_rows(embeddings))
    lost_by_users = np.diff(matrix.indptr)[kept_users] - np.diff(parts.induced.indptr)
    item_degrees = np.bincount(matrix.indices, minlength=items)[kept_items]
    turned = parts.turned()
    lost_by_items = item_degrees - np.diff(turned.induced.indptr)
    graph = parts.induced
    counts = []
    from_users = _proposals(parts, np.minimum(lost_by_users, cap))
    from_items = _proposals(turned, np.minimum(lost_by_items, cap))
    for one, other in zip(from_users, from_items, strict=True):
        graph, added = _united(graph, one + other.T)
        counts.append(added)
    graph, added = _link_isolated(graph, parts, lost_by_users, lost_by_items)
    counts.append(added)
    graph.data[:] = 1.0
    return RewiredGraph(
        graph.sorted_indices(),
        kept_users.astype(np.int32),
        kept_items.astype(np.int32),
        matrix.nnz - parts.induced.nnz,
        sum(counts),
        (counts[0], counts[1], counts[2]),
    )


def induced(matrix: sparse.csr_matrix, retained: np.ndarray) -> RewiredGraph:
    """Drop pruned entities and re-route nobody: the induced subgraph, what rewiring is compared with.

    A retained entity that has lost every edge stays in the model without one.

    Args:
        matrix: interactions [U, I], values ignored.
        retained: bool [U + I].

    Raises:
        InputError: sizes that do not match.
    """
    users, items = matrix.shape
    if retained.shape != (users + items,):
        raise InputError(
            f"retained has {len(retained)} rows; the interactions have {users + items} entities."
        )
    kept_users, kept_items = np.flatnonzero(retained[:users]), np.flatnonzero(retained[users:])
    graph = matrix[kept_users][:, kept_items].tocsr().astype(np.float32)
    graph.data[:] = 1.0
    return RewiredGraph(
        graph.sorted_indices(),
        kept_users.astype(np.int32),
        kept_items.astype(np.int32),
        matrix.nnz - graph.nnz,
        0,
        (0, 0, 0),
    )


def _split(matrix: sparse.csr_matrix, retained: np.ndarray, rows: np.ndarray) -> _Parts:
    half = normalised_bipartite(matrix).astype(np.float64)
    users, items = retained[: matrix.shape[0]], retained[matrix.shape[0] :]
    induced = half[users][:, items]
    induced.data[:] = 1.0
    return _Parts(
        half[users][:, ~items],
        half[~users][:, items],
        half[~users][:, ~items].T.tocsr(),
        induced,
        rows[: matrix.shape[0]][users],
        rows[matrix.shape[0] :][items],
    )


def _proposals(parts: _Parts, limits: np.ndarray) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """New edges [m_u, m_i] that the users of ``parts`` propose, over three hops and over five."""
    across, last = _strongest(parts.pruned_to_pruned), _strongest(parts.pruned_to_items)
    three = _best_ends(parts, [parts.users_to_pruned, across, last], limits)
    without = np.where(np.diff(three.indptr) == 0, limits, 0)
    chain = [parts.users_to_pruned, across, _strongest(parts.pruned_to_pruned.T.tocsr()), across, last]
    return three, _best_ends(parts, chain, without)


def _strongest(hop: sparse.csr_matrix) -> sparse.csr_matrix:
    """Keep the fan-out's number of largest entries of each row; the lowest columns of equals."""
    counts = np.diff(hop.indptr)
    if counts.max(initial=0) <= _FAN_OUT:
        return hop
    rows = np.repeat(np.arange(hop.shape[0]), counts)
    order = np.lexsort((hop.indices, -hop.data, rows))
    rank = np.arange(hop.nnz) - hop.indptr[rows]
    kept = np.sort(order[rank < _FAN_OUT])
    offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, _FAN_OUT))])
    return sparse.csr_matrix((hop.data[kept], hop.indices[kept], offsets), shape=hop.shape)


def _best_ends(parts: _Parts, chain: Sequence[sparse.csr_matrix], limits: np.ndarray) -> sparse.csr_matrix:
    """For each user the best new ends of a chain of hops, as ones [m_u, m_i]."""
    found_rows, found_columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for rows in _blocks(chain, np.flatnonzero(limits)):
        ends = chain[0][rows]
        for hop in chain[1:]:
            ends = ends @ hop
        # No sum of path weights exceeds 1, the largest eigenvalue of Â: what is known turns negative.
        ends = (ends - 2.0 * parts.induced[rows]).tocsr()
        local, columns = _best_of_rows(ends, limits[rows], parts, rows)
        found_rows.append(rows[local])
        found_columns.append(columns)
    pair = (np.concatenate(found_rows), np.concatenate(found_columns))
    return sparse.csr_matrix((np.ones(len(pair[0])), pair), shape=parts.induced.shape)


def _blocks(chain: Sequence[sparse.csr_matrix], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Cut rows into runs whose ends, counted with every path, stay near a fixed number of entries."""
    bound = np.diff(chain[-1].indptr).astype(np.float64)
    for hop in reversed(chain[:-1]):
        pattern = sparse.csr_matrix((np.ones(hop.nnz), hop.indices, hop.indptr), shape=hop.shape)
        bound = np.minimum(pattern @ bound, chain[-1].shape[1])
    reaching = rows[bound[rows] > 0]
    number = (np.cumsum(bound[reaching]) // _BLOCK_ENTRIES).astype(np.int64)
    yield from np.split(reaching, np.flatnonzero(np.diff(number)) + 1) if len(reaching) else ()


def _best_of_rows(
    ends: sparse.csr_matrix, limits: np.ndarray, parts: _Parts, users: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best ``limits[row]`` entries of each row by weight, similarity, column: rows and columns."""
    new = ends.data > 0
    row_of_end = np.repeat(np.arange(ends.shape[0], dtype=np.int64), np.diff(ends.indptr))[new]
    starts = np.searchsorted(row_of_end, np.arange(ends.shape[0] + 1))
    # Equal weights summed in another order differ in the last bits of a double; as floats they are equal.
    weights = ends.data[new].astype(np.float32)
    # The bits of positive floats rise with them, so one sort of integers orders by row, then largest first:
    # ten times faster than sorting positions, and only the weight at the limit is needed.
    keys = (row_of_end << 32) | (0xFFFFFFFF - weights.view(np.uint32).astype(np.int64))
    ranked = np.sort(keys)
    last = starts[:-1] + np.minimum(limits, np.diff(starts)) - 1
    reached = last >= starts[:-1]
    worst = np.full(ends.shape[0], -1)
    worst[reached] = ranked[last[reached]]
    short = np.flatnonzero(keys <= worst[row_of_end])
    rows, columns, weights = row_of_end[short], ends.indices[new][short].astype(np.int64), weights[short]
    similarity = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), 1 << 16):
        part = slice(start, start + (1 << 16))
        similarity[part] = np.einsum(
            "ij,ij->i", parts.user_rows[users[rows[part]]], parts.item_rows[columns[part]]
        )
    order = np.lexsort((columns, -similarity, -weights, rows))
    rows, columns = rows[order], columns[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    best = rank < limits[rows]
    return rows[best], columns[best]


def _united(graph: sparse.csr_matrix, proposed: sparse.csr_matrix) -> tuple[sparse.csr_matrix, int]:
    """Union of two sets of edges, and by how many it grew."""
    union = (graph + proposed).tocsr()
    union.data[:] = 1.0
    return union, union.nnz - graph.nnz


def _link_isolated(
    graph: sparse.csr_matrix, parts: _Parts, lost_by_users: np.ndarray, lost_by_items: np.ndarray
) -> tuple[sparse.csr_matrix, int]:
    """Link who lost every edge and got none to the most similar retained entity of the other side."""
    before = graph.nnz
    alone = np.flatnonzero((np.diff(graph.indptr) == 0) & (lost_by_users > 0))
    pair = (alone, _most_similar(parts.user_rows[alone], parts.item_rows))
    graph, _ = _united(graph, sparse.csr_matrix((np.ones(len(alone)), pair), shape=graph.shape))
    degree = np.bincount(graph.indices, minlength=graph.shape[1])
    alone = np.flatnonzero((degree == 0) & (lost_by_items > 0))
    pair = (_most_similar(parts.item_rows[alone], parts.user_rows), alone)
    graph, _ = _united(graph, sparse.csr_matrix((np.ones(len(alone)), pair), shape=graph.shape))
    return graph, graph.nnz - before


def _most_similar(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Index of the most similar of ``others`` for each row, int64; the lowest of equals."""
    step = max(1, _BLOCK_ENTRIES // max(1, len(others)))
    best = [np.argmax(rows[start : start + step] @ others.T, axis=1) for start in range(0, len(rows), step)]
    return np.concatenate(best) if best else np.zeros(0, np.int64)
