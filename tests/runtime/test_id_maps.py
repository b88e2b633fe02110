"""Id maps against a dictionary."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_runtime.bundle import IntegerIds, TextIds, ids_from_values
from lerg_runtime.bundle._arrays import ArrayReader, array_bytes
from lerg_runtime.bundle._id_arrays import id_arrays, id_bytes, read_ids
from lerg_runtime.errors import BundleError

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
int64 = st.integers(-(2**63), 2**63 - 1)


@given(st.sets(texts, min_size=1, max_size=40), st.lists(texts, max_size=20))
def test_text_ids_answer_as_a_dictionary_does(known: set[str], others: list[str]) -> None:
    ordered = sorted(known)
    ids = ids_from_values(ordered)
    assert isinstance(ids, TextIds)
    table = {value: index for index, value in enumerate(ordered)}
    asked = [*others, *known]
    assert ids.find_many(asked).tolist() == [table.get(value, -1) for value in asked]
    assert [ids.find(value) for value in asked] == [table.get(value, -1) for value in asked]
    assert ids.take(np.arange(len(ordered))).tolist() == ordered


@given(st.sets(int64, min_size=1, max_size=40), st.lists(int64, max_size=20))
def test_integer_ids_answer_as_a_dictionary_does(known: set[int], others: list[int]) -> None:
    ordered = sorted(known)
    ids = ids_from_values(ordered)
    assert isinstance(ids, IntegerIds)
    table = {value: index for index, value in enumerate(ordered)}
    asked = [*others, *known]
    assert ids.find_many(asked).tolist() == [table.get(value, -1) for value in asked]
    assert ids.find_many([str(value) for value in asked]).tolist() == [
        table.get(value, -1) for value in asked
    ]
    assert ids.find_many(np.array(asked, dtype=np.int64)).tolist() == [
        table.get(value, -1) for value in asked
    ]
    assert ids.take(np.arange(len(ordered))).tolist() == ordered


@pytest.mark.parametrize(
    "raw", ["012", "+1", "1.0", " 1", "", "1_0", "\uff11", "99999999999999999999", 2**70, True, None, 1.0]
)
def test_only_the_canonical_text_of_an_integer_finds_it(raw: object) -> None:
    ids = ids_from_values([0, 1, 10, 12])
    assert ids.find(raw) == -1
    assert ids.find_many([raw]).tolist() == [-1]


def test_an_integer_finds_the_text_of_it() -> None:
    ids = ids_from_values(["12", "a"])
    assert [ids.find(raw) for raw in (12, "12", "a", 1, True, None, b"a", "\ud800")] == [
        0,
        0,
        1,
        -1,
        -1,
        -1,
        -1,
        -1,
    ]


def test_empty_maps_know_nothing() -> None:
    assert ids_from_values([]).find_many([1, "a"]).tolist() == [-1, -1]
    assert TextIds.from_lengths(np.empty(0, np.uint8), np.empty(0, np.uint32)).find("a") == -1


@pytest.mark.parametrize(
    "values",
    [["a", "a"], ["b", "a", "b"], [1, 1], [2, 1, 2], [1, "a"], ["a", None], [True, "x"], ["x" * 5000, "y"]],
)
def test_ids_that_no_bundle_can_hold(values: list[object]) -> None:
    with pytest.raises(BundleError):
        ids_from_values(values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("blob", "lengths"),
    [
        (b"ab", [1]),
        (b"ab", [1, 2]),
        (b"ba", [1, 1]),
        (b"\xff", [1]),
        (b"a", [0, 0, 1]),
        (b"ab", [2**32 - 1, 3]),
    ],
    ids=["short", "long", "unsorted", "not utf-8", "repeated", "overflowing"],
)
def test_stored_text_that_does_not_hold_together(blob: bytes, lengths: list[int]) -> None:
    with pytest.raises(BundleError):
        TextIds.from_lengths(np.frombuffer(blob, np.uint8), np.array(lengths, np.uint32))


@pytest.mark.parametrize("kind", ["consecutive", "integers", "text"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_ids_in_any_order_come_back_from_their_arrays(kind: str, shuffled: bool) -> None:
    rng = np.random.default_rng(3)
    numbers = np.arange(-5, 295) if kind == "consecutive" else np.unique(rng.integers(-(2**62), 2**62, 300))
    values: list[Any] = [f"tt{number:07d}é" for number in range(300)] if kind == "text" else numbers.tolist()
    if shuffled:
        values = [values[at] for at in rng.permutation(len(values))]
    given = ids_from_values(values)
    stored = array_bytes(id_arrays("item", values))
    arrays = ArrayReader(io.BytesIO(stored), "ids")
    found = read_ids(arrays, "item", len(values))
    for ids in (given, found):
        assert list(ids) == values
        assert ids.find_many(values).tolist() == list(range(len(values)))
        assert ids.find(values[7]) == 7
        assert ids.find("nothing") == -1
    assert found.nbytes == given.nbytes == id_bytes(arrays, "item", len(values))
    if not shuffled:
        assert ("item_runs" in arrays.names, "item_gaps" in arrays.names) == (False, kind == "integers")
    if kind == "consecutive" and not shuffled:
        assert arrays.names == ("item_first",)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("item_shared", np.full(300, 9, np.uint8), "do not add up"),
        ("item_text_bytes", np.array(2**40), "which 300 ids may not"),
        ("item_text_bytes", np.array(-1), "which 300 ids may not"),
        ("item_text", np.zeros(3, np.uint8), "do not add up"),
        ("item_runs", np.zeros(299, np.uint8), "expected"),
    ],
)
def test_id_arrays_that_cannot_be_are_refused(name: str, value: np.ndarray, says: str) -> None:
    arrays = id_arrays("item", [f"tt{number:07d}" for number in range(300)]) | {name: value}
    with pytest.raises(BundleError, match=says):
        read_ids(ArrayReader(io.BytesIO(array_bytes(arrays)), "ids"), "item", 300)


def test_ids_that_share_more_than_there_is_are_refused() -> None:
    arrays = id_arrays("item", ["aa", "ab", "b"])
    arrays["item_shared"], arrays["item_text_bytes"] = np.array([1, 1, 0], np.uint8), np.array(6)
    with pytest.raises(BundleError, match="is longer than it may be"):
        read_ids(ArrayReader(io.BytesIO(array_bytes(arrays)), "ids"), "item", 3)
