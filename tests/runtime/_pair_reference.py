"""A reader of codes of pairs in plain Python, made after docs/bundle-format.md alone."""

from __future__ import annotations

import struct
from functools import cache

MEMORY = 6

VECTOR_USERS, VECTOR_ITEMS = [0, 0, 1, 3, 3, 3, 3, 3, 3], [1, 4, 4, 0, 1, 2, 3, 4, 5]
"""Pairs of 4 users and 6 items that every reader is tried on: the third user has none, the last one all."""

VECTOR = "040000000600000009000000010000000800000009000000080000001fffffffffff80003383474b68ce6ea0"
"""Their code."""


class _Coder:
    def __init__(self, code: bytes) -> None:
        self._code = code + bytes(16)
        self._size = len(code)
        self._range, self._at, self._read = 2**64 - 1, 0, 0
        self._next()
        self._next()

    def symbol(self, *chances: int) -> int:
        """How many of the chances, falling ones, the place in the range is below."""
        ends = [self._range, *((self._range >> 16) * chance for chance in chances), 0]
        symbol = sum(self._at < end for end in ends[1:-1])
        self._range, self._at = ends[symbol] - ends[symbol + 1], self._at - ends[symbol + 1]
        if self._range < 2**32:
            self._range <<= 32
            self._next()
        return symbol

    def ended_well(self) -> bool:
        return self._read == self._size

    def _next(self) -> None:
        (word,) = struct.unpack_from(">I", self._code, self._read)
        self._at = self._at << 32 | word
        self._read += 4


def _after(counts: tuple[int, ...], symbol: int) -> tuple[int, ...]:
    now = list(counts)
    if sum(now) == MEMORY:
        others = [other for other in range(3) if other != symbol and now[other]]
        now[max(others, key=lambda other: (now[other], -other)) if others else symbol] -= 1
    now[symbol] += 1
    return tuple(now)


@cache
def _first_chances(counts: tuple[int, ...]) -> tuple[int, int]:
    none, one, two = counts
    left = 65535 * (5 * (one + two) + 2) // (5 * (none + one + two) + 4)
    return left, left * (10 * two + 3) // (10 * (one + two) + 6)


def _halve(first: int, end: int) -> int:
    return (first + end + 1) // 2


def _tree(coder: _Coder, first: int, end: int, rows: list[int]) -> dict[int, list[int]]:
    """Rows of each leaf."""
    chances: dict[tuple[tuple[int, ...], int], tuple[int, int]] = {}
    found: dict[int, list[int]] = {}
    waiting = [(first, end, [(row, 0) for row in rows])]
    while waiting:
        low, high, listed = waiting.pop()
        if not listed:
            continue
        if high - low == 1:
            found[low] = [row for row, _ in listed]
            continue
        halves: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        counts: tuple[int, ...] = (0, 0, 0)
        for row, turn in listed:
            left, both = chances.get((counts, turn), _first_chances(counts))
            symbol = coder.symbol(left + 32, both)
            chances[counts, turn] = (
                left - (left >> 6) + 1023 * (symbol > 0),
                both - (both >> 6) + 1023 * (symbol == 2),
            )
            counts = _after(counts, symbol)
            if symbol > 0:
                halves[0].append((row, symbol & 2))
            if symbol != 1:
                halves[1].append((row, symbol & 2 | 1))
        middle = _halve(low, high)
        waiting += [(low, middle, halves[0]), (middle, high, halves[1])]
    return found


def decode_pairs(code: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """Rows, columns, and the pairs in order."""
    rows, columns, pairs, parts, top_bytes = struct.unpack_from("<5I", code)
    sizes = [struct.unpack_from("<2I", code, 20 + 8 * part) for part in range(parts)]
    place = 20 + 8 * parts
    top = _Coder(code[place : place + top_bytes])
    place += top_bytes
    chances, last, listed = [32768] * 4, 0, []
    for row in range(rows):
        bit = top.symbol(chances[last])
        chances[last] += 2047 * bit - (chances[last] >> 5)
        last = (2 * last + bit) & 3
        if bit:
            listed.append(row)
    of_parts = _tree(top, 0, parts, listed)
    assert top.ended_well()
    ends = [0, columns]
    while len(ends) <= parts:
        ends = [
            end for pair in zip(ends[:-1], map(_halve, ends[:-1], ends[1:]), strict=True) for end in pair
        ] + [columns]
    found = []
    for part, (count, size) in enumerate(sizes):
        coder = _Coder(code[place : place + size])
        place += size
        leaves = _tree(coder, ends[part], ends[part + 1], of_parts.get(part, []))
        here = [(row, column) for column, rows_of_it in leaves.items() for row in rows_of_it]
        assert len(here) == count
        assert coder.ended_well()
        found += here
    assert place == len(code)
    assert len(found) == pairs
    return rows, columns, sorted(found)
