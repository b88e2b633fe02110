"""Codes of pairs: against a reader of another make, byte for byte, damaged, and with threads."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from _pair_reference import VECTOR, VECTOR_ITEMS, VECTOR_USERS, decode_pairs
from hypothesis import given
from hypothesis import strategies as st

from lerg_runtime import _native
from lerg_runtime.bundle._csr import decode_interactions, encode_interactions
from lerg_runtime.errors import BundleError


def random_pairs(users: int, items: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a few groups that keep to themselves, with others between."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, count)
    item = (user * items // users + (rng.standard_normal(count) * items / 20).astype(int)) % items
    return np.divmod(np.unique(user * items + item), items)


def large() -> tuple[np.ndarray, np.ndarray]:
    return random_pairs(1_500, 1_000, 220_000)


def encoded(pairs: tuple[np.ndarray, np.ndarray], users: int, items: int) -> np.ndarray:
    return encode_interactions(*pairs, user_count=users, item_count=items)


@pytest.mark.parametrize(
    ("users", "items", "count"),
    [(1, 1, 0), (1, 1, 1), (3, 1, 3), (5, 2, 4), (40, 33, 200), (1, 1_000, 90), (900, 1_000, 20)],
)
def test_another_reader_reads_the_same(users: int, items: int, count: int) -> None:
    pairs = random_pairs(users, items, count)
    code = encoded(pairs, users, items)
    assert decode_pairs(code.tobytes()) == (
        users,
        items,
        list(zip(*(end.tolist() for end in pairs), strict=True)),
    )


def test_another_reader_reads_several_parts() -> None:
    pairs = large()
    code = encoded(pairs, 1_500, 1_000)
    assert code[12] == 16
    _, _, found = decode_pairs(code.tobytes())
    np.testing.assert_array_equal(found, np.stack(pairs, axis=1))


def test_the_bytes_are_those_of_the_format() -> None:
    code = encoded((np.array(VECTOR_USERS), np.array(VECTOR_ITEMS)), 4, 6)
    assert code.tobytes().hex() == VECTOR


@given(
    st.sampled_from([(1, 1), (4, 7), (6, 256), (5, 257), (3, 70_000), (300, 2)]).flatmap(
        lambda shape: st.tuples(
            st.just(shape),
            st.sets(st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1)), max_size=40),
        )
    )
)
def test_any_pairs_come_back(case: tuple[tuple[int, int], set[tuple[int, int]]]) -> None:
    (users, items), pairs = case
    ends = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    read = decode_interactions(
        encoded((ends[0], ends[1]), users, items), user_count=users, item_count=items, where="file"
    )
    np.testing.assert_array_equal(read.users_of(np.arange(len(pairs))), ends[0])
    np.testing.assert_array_equal(read.items, ends[1])


def test_threads_do_not_change_what_is_read() -> None:
    users, items = large()
    code = encoded((users, items), 1_500, 1_000)
    before = _native.build_info()["threads"]
    try:
        for threads in (1, 2, 3, 7):
            _native.set_threads(threads)
            read = decode_interactions(code, user_count=1_500, item_count=1_000, where="file")
            np.testing.assert_array_equal(read.items, items)
            np.testing.assert_array_equal(read.users_of(np.arange(len(users))), users)
    finally:
        _native.set_threads(before)


def test_neighbours_in_common_take_fewer_bits_than_none() -> None:
    users, items = large()
    shuffled = np.unique(np.random.default_rng(1).permutation(1_500)[users] * 1_000 + items)
    assert len(encoded((users, items), 1_500, 1_000)) < 0.9 * len(
        encoded(tuple(np.divmod(shuffled, 1_000)), 1_500, 1_000)
    )


@pytest.mark.parametrize(
    ("at", "number", "rule"),
    [
        (0, 2**30, "2.30 rows"),
        (4, 2**31, "2.31"),
        (8, 2**31, "2.31"),
        (8, 25, "more than rows and columns have"),
        (12, 0, "no power of two"),
        (12, 3, "no power of two"),
        (12, 8, "than there are columns"),
        (12, 128, "more than 64"),
        (12, 4, "end within their header"),
        (16, 2**32 - 1, "does not fit the whole"),
        (16, 7, "do not add up"),
        (20, 10, "does not fit the whole"),
        (20, 8, "do not add up"),
        (24, 9, "does not fit the whole"),
        (24, 7, "do not add up"),
    ],
)
def test_headers_that_cannot_be(at: int, number: int, rule: str) -> None:
    code = bytearray.fromhex(VECTOR)
    struct.pack_into("<I", code, at, number)
    with pytest.raises(BundleError, match=f"file.*{rule}"):
        decode_interactions(np.frombuffer(code, np.uint8), user_count=4, item_count=6, where="file")


def test_every_damage_is_refused_or_gives_as_many_pairs() -> None:
    pairs = random_pairs(40, 33, 200)
    code = encoded(pairs, 40, 33)
    refused = 0
    for place in range(28, len(code)):
        for flipped in (1, 0x80, 0xFF):
            damaged = code.copy()
            damaged[place] ^= flipped
            try:
                read = decode_interactions(damaged, user_count=40, item_count=33, where="file")
            except BundleError:
                refused += 1
                continue
            assert len(read) == len(pairs[0])
            for user in range(40):
                own = read.of_user(user).astype(int)
                assert bool(np.all(np.diff(own) > 0))
                assert len(own) == 0 or own[-1] < 33
    assert refused > 0


def test_damage_in_one_of_several_parts_is_refused_or_gives_as_many_pairs() -> None:
    pairs = large()
    code = encoded(pairs, 1_500, 1_000)
    places = np.random.default_rng(2).integers(20 + 8 * 16, len(code), 60)
    refused = 0
    for place in places:
        damaged = code.copy()
        damaged[place] ^= 0x55
        try:
            read = decode_interactions(damaged, user_count=1_500, item_count=1_000, where="file")
        except BundleError:
            refused += 1
        else:
            assert len(read) == len(pairs[0])
    assert refused > 30


@pytest.mark.parametrize("cut", [1, 8, 16])
def test_a_code_that_ends_early_or_late_is_refused(cut: int) -> None:
    code = bytearray.fromhex(VECTOR)
    for bytes_there in (code[: len(code) - cut], code + bytes(cut)):
        with pytest.raises(BundleError):
            decode_interactions(
                np.frombuffer(bytes_there, np.uint8), user_count=4, item_count=6, where="file"
            )


@pytest.mark.parametrize("change", [-4, 4])
def test_bytes_too_few_or_too_many_for_the_last_part_are_refused(change: int) -> None:
    code = bytearray.fromhex(VECTOR)
    struct.pack_into("<I", code, 24, 8 + change)
    body = code[:change] if change < 0 else code + bytes(change)
    with pytest.raises(BundleError, match="not as many as they say"):
        decode_interactions(np.frombuffer(body, np.uint8), user_count=4, item_count=6, where="file")
