"""An order of entities in which those with common neighbours lie near each other.

Propagation reads rows of neighbours: in such an order they lie in the same lines of a cache. And a user's
items lie in few places of the item order, so that the graph takes fewer bytes.

Source: recursive bisection by the log-gap cost, Dhulipala et al., arXiv 1602.08820, algorithms 1 and 2, all
parts of a level at a time and with sums of integers, so that the outcome depends on neither the ids nor the
order of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

__all__ = ["ITEM_CLUSTER", "USER_CLUSTER", "EntityOrder", "order_entities"]

USER_CLUSTER, ITEM_CLUSTER = 128, 16
"""Entities a cluster, at most: within one the order gains less than the bytes it takes to tell."""

_ROUNDS = 20  # of exchanges between two halves, at most
_FEW = 500  # a level is left when fewer than one entity in so many still changes places
_UNIT = 1 << 16  # of a bit, in which costs are counted


@dataclass(frozen=True, slots=True, eq=False)
class EntityOrder:
    """Where each entity of a graph goes.

    Attributes:
        users: int64 [U], the old indices of users in their new order; items: int64 [I] likewise.
    """

    users: np.ndarray
    items: np.ndarray


def order_entities(matrix: sparse.csr_matrix) -> EntityOrder:
    """The order of both sides of an interaction matrix [U, I]; values are ignored, duplicates must be merged.

    Entities are bisected into clusters of at most `USER_CLUSTER` and `ITEM_CLUSTER`, in which the old order
    stays. Which cluster an entity comes to depends on the graph alone, not on the order it is given in,
    except between entities whose neighbourhoods are alike.
    """
    pattern = matrix.tocsr()
    users = np.repeat(np.arange(pattern.shape[0], dtype=np.int64), np.diff(pattern.indptr))
    items = pattern.indices.astype(np.int64)
    marks = _marks(users, items, pattern.shape)
    return EntityOrder(
        _bisected(users, items, marks[0], pattern.shape[1], most=USER_CLUSTER),
        _bisected(items, users, marks[1], pattern.shape[0], most=ITEM_CLUSTER),
    )


def _marks(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A number for each user and item by degrees up to four steps away."""
    of_users, of_items = np.zeros(shape[0], dtype=np.uint64), np.zeros(shape[1], dtype=np.uint64)
    for _ in range(4):
        of_users, of_items = (
            _mixed(of_users) + _summed(users, _mixed(of_items)[items], shape[0]),
            _mixed(of_items) + _summed(items, _mixed(of_users)[users], shape[1]),
        )
    return of_users, of_items


def _mixed(values: np.ndarray) -> np.ndarray:
    """Numbers as if drawn at random, the same for the same value (the finaliser of SplitMix64)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _summed(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Sums modulo 2^64 of the values of each group, uint64 [count]."""
    low = np.bincount(groups, weights=(values & np.uint64(0xFFFFFFFF)).astype(np.float64), minlength=count)
    high = np.bincount(groups, weights=(values >> np.uint64(32)).astype(np.float64), minlength=count)
    return low.astype(np.uint64) + (high.astype(np.uint64) << np.uint64(32))


def _bisected(
    rows: np.ndarray, columns: np.ndarray, marks: np.ndarray, column_count: int, *, most: int
) -> np.ndarray:
    """The order of one side.

    Args:
        rows, columns: int64 [n], the pairs; rows are of the side that is ordered.
        marks: uint64 [rows], what the order begins with.
        column_count: entities of the other side.
        most: rows in a part that is not cut any more.
    """
    count = len(marks)
    order = np.argsort(marks, kind="stable")
    logarithms = np.rint(_UNIT * np.log2(np.arange(1, max(count, len(rows)) + 3, dtype=np.float64)))
    bounds = np.array([0, count], dtype=np.int64)
    while int(np.diff(bounds).max(initial=0)) > most:
        middles = (bounds[:-1] + bounds[1:] + 1) // 2
        order = _level(order, bounds, middles, rows, columns, column_count, logarithms)
        bounds = np.unique(np.concatenate((bounds, middles)))
    cluster = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    return order[np.lexsort((order, cluster))]


def _level(
    order: np.ndarray,
    bounds: np.ndarray,
    middles: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    column_count: int,
    logarithms: np.ndarray,
) -> np.ndarray:
    """The order after the two halves of every part have exchanged rows until hardly any gains by it."""
    count, parts = len(order), len(middles)
    places = np.arange(count)
    part_at = np.repeat(np.arange(parts), np.diff(bounds))
    part_of = np.empty(count, dtype=np.int64)
    part_of[order] = part_at
    groups, group = np.unique(part_of[rows] * column_count + columns, return_inverse=True)
    total = np.bincount(group, minlength=len(groups))
    part_of_group = groups // max(column_count, 1)
    left_log = logarithms[middles - bounds[:-1] - 1][part_of_group]
    right_log = logarithms[np.maximum(bounds[1:] - middles, 1) - 1][part_of_group]

    def cost(left: np.ndarray) -> np.ndarray:
        """Of the gaps that columns with so many rows to the left have in both halves."""
        right = total - left
        return left * (left_log - logarithms[left]) + right * (right_log - logarithms[right])

    is_left = places < middles[part_at]
    rank = np.where(is_left, places - bounds[part_at], places - middles[part_at])
    paired = np.flatnonzero(is_left & (rank < (bounds[1:] - middles)[part_at]))
    partners = middles[part_at[paired]] + rank[paired]
    half = 2 * part_at + ~is_left
    for _ in range(_ROUNDS):
        side = np.empty(count, dtype=bool)
        side[order] = is_left
        on_left = side[rows]
        left = np.bincount(group[on_left], minlength=len(groups))
        now = cost(left)
        leaves, enters = now - cost(np.maximum(left - 1, 0)), now - cost(np.minimum(left + 1, total))
        gained = np.bincount(rows, weights=np.where(on_left, leaves[group], enters[group]), minlength=count)
        order = order[np.lexsort((-gained[order], half))]
        swaps = gained[order[paired]] + gained[order[partners]] > 0
        ones, others = paired[swaps], partners[swaps]
        order[ones], order[others] = order[others], order[ones]
        if len(ones) * _FEW <= count:
            break
    return order
