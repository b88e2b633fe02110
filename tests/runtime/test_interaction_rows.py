"""Interactions on disk and in memory against sets of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_runtime.bundle import InteractionRows
from lerg_runtime.bundle._csr import decode_interactions, encode_interactions
from lerg_runtime.errors import BundleError


@st.composite
def pair_sets(draw: st.DrawFn) -> tuple[int, int, set[tuple[int, int]], set[tuple[int, int]]]:
    users = draw(st.integers(1, 6))
    items = draw(st.sampled_from([1, 7, 256, 257, 65_536, 65_537, 100_000]))
    pair = st.tuples(st.integers(0, users - 1), st.integers(0, items - 1))
    return users, items, draw(st.sets(pair, max_size=30)), draw(st.sets(pair, max_size=10))


def arrays(pairs: set[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    ordered = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return ordered[:, 0], ordered[:, 1]


def build(pairs: set[tuple[int, int]], users: int, items: int) -> InteractionRows:
    stored = encode_interactions(*arrays(pairs), user_count=users, item_count=items)
    return decode_interactions(stored, user_count=users, item_count=items, where="file")


def pairs_of(interactions: InteractionRows) -> list[tuple[int, int]]:
    return [
        (user, item)
        for user in range(interactions.user_count)
        for item in interactions.of_user(user).tolist()
    ]


@given(pair_sets())
def test_what_is_stored_comes_back_and_grows(
    case: tuple[int, int, set[tuple[int, int]], set[tuple[int, int]]],
) -> None:
    users, items, stored, more = case
    interactions = build(stored, users, items)
    assert pairs_of(interactions) == sorted(stored)
    assert interactions.users_of(np.arange(len(stored))).tolist() == [user for user, _ in sorted(stored)]
    assert interactions.items.dtype.itemsize == (1 if items <= 256 else 2 if items <= 65_536 else 4)

    asked = sorted(stored | more)
    found = interactions.find(*arrays(set(asked)))
    assert [(place >= 0) for place in found.tolist()] == [pair in stored for pair in asked]

    grown = interactions.with_pairs(*arrays(more - stored))
    assert pairs_of(grown) == sorted(stored | more)
    assert grown.find(*arrays(more)).tolist() == [sorted(stored | more).index(pair) for pair in sorted(more)]
    assert pairs_of(interactions) == sorted(stored)


def test_many_rows_are_decoded_in_blocks() -> None:
    random = np.random.default_rng(0)
    seen = random.random((3_000, 70)) < 0.1
    pairs = set(zip(*(part.tolist() for part in np.nonzero(seen)), strict=True))
    assert pairs_of(build(pairs, 3_000, 70)) == sorted(pairs)


PAIRS = {(0, 0), (0, 3), (1, 9), (3, 2), (3, 4), (3, 5)}


@pytest.mark.parametrize(
    ("users", "items", "cut", "reason"),
    [
        (5, 10, slice(None), "of 4 users and 10 items"),
        (4, 11, slice(None), "of 4 users and 10 items"),
        (4, 10, slice(0, 3), ""),
        (4, 10, slice(0, -1), ""),
    ],
)
def test_a_code_of_something_else_is_refused(users: int, items: int, cut: slice, reason: str) -> None:
    stored = encode_interactions(*arrays(PAIRS), user_count=4, item_count=10)
    with pytest.raises(BundleError, match=f"^file.*{reason}"):
        decode_interactions(stored[cut], user_count=users, item_count=items, where="file")


@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_a_code_that_was_changed_gives_rows_or_a_sentence(place: int, change: int) -> None:
    stored = np.array(encode_interactions(*arrays(PAIRS), user_count=4, item_count=10))
    stored[place % len(stored)] ^= change
    found: list[tuple[int, int]] = []
    refused = ""
    try:
        found = pairs_of(decode_interactions(stored, user_count=4, item_count=10, where="file"))
    except BundleError as error:
        refused = str(error)
    assert refused.startswith("file" if refused else "")
    assert found == sorted(set(found))
    assert all(0 <= item < 10 for _, item in found)


@pytest.mark.parametrize(
    ("users", "items"),
    [([0, 0], [1, 1]), ([1, 0], [0, 0]), ([0], [10]), ([2], [0]), ([-1], [0]), ([0], [-1]), ([0, 1], [0])],
)
def test_pairs_that_cannot_be_stored(users: list[int], items: list[int]) -> None:
    with pytest.raises(BundleError):
        encode_interactions(np.array(users), np.array(items), user_count=2, item_count=10)
