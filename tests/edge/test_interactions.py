"""Id maps and interactions: order, merging, and what must be refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lerg_edge
from lerg_edge.data.interactions import IdMap, Interactions, ReadReport
from lerg_edge.errors import BudgetError, InputError, LergError

TEXT_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
INT64 = st.integers(-(2**63), 2**63 - 1)


def test_integer_ids_are_in_numerical_order() -> None:
    ids = IdMap.from_values([10, 9, 9, -3])
    assert ids.values.tolist() == [-3, 9, 10]
    assert ids.values.dtype == np.int64
    assert ids.integral


def test_text_of_canonical_integers_becomes_integers() -> None:
    assert IdMap.from_text(["10", "9", "-3", "0"]).values.tolist() == [-3, 0, 9, 10]
    assert IdMap.from_text(["9223372036854775807"]).values.tolist() == [2**63 - 1]


def test_an_id_that_no_bundle_could_hold_is_refused() -> None:
    IdMap.from_values(["é" * 2048])
    with pytest.raises(InputError, match=r"begins with 'éé.*' has 4,098 bytes; .* up to 4,096"):
        IdMap.from_values(["é" * 2049])


@pytest.mark.parametrize(
    "odd", ["007", "+5", "-0", "1.0", " 1", "1e3", "9223372036854775808", "٣", "x", "1_000", "-", "9" * 4_000]
)
def test_one_id_that_is_no_canonical_integer_makes_all_strings(odd: str) -> None:
    ids = IdMap.from_text(["10", "9", odd])
    assert ids.values.tolist() == sorted(["10", "9", odd])
    assert not ids.integral


def test_strings_given_as_strings_stay_strings() -> None:
    assert IdMap.from_values(["2", "10"]).values.tolist() == ["10", "2"]
    assert IdMap.from_values(["b", 7]).values.tolist() == ["7", "b"]


@given(st.one_of(st.lists(TEXT_IDS), st.lists(INT64)))
def test_ids_come_back_as_they_went_in(raws: list[Any]) -> None:
    ids = IdMap.from_values(raws)
    assert ids.values.tolist() == sorted(set(raws))  # python's order of strings is by code point
    assert [ids.values[index] for index in ids.indices_of(raws)] == raws
    assert [ids.index_of(raw) for raw in raws] == ids.indices_of(raws).tolist()


def test_index_of_takes_the_other_type_from_a_command_line() -> None:
    assert IdMap.from_values([5, 12]).index_of("12") == 1
    assert IdMap.from_values(["12", "a"]).index_of(12) == 0
    assert IdMap.from_values([5, 12]).indices_of(["12", 5]).tolist() == [1, 0]
    assert IdMap.from_values(np.array([5, 12], dtype=np.int32)).index_of(12) == 1


@pytest.mark.parametrize("raw", ["nobody", "012", 13, "", True, 1.5, None, 2**70, "\ud800"])
def test_index_of_refuses_what_is_not_there(raw: object) -> None:
    for ids in (IdMap.from_values([5, 12]), IdMap.from_values(["5", "12"]), IdMap.from_values([])):
        with pytest.raises(InputError):
            ids.index_of(raw)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 1]),
        np.array(["a", "b", "a"], dtype=object),
        np.array([1, "a"], dtype=object),
        np.array([1.0, 2.0]),
        np.array([[1]]),
    ],
)
def test_id_map_refuses_repeated_values_and_other_types(values: np.ndarray) -> None:
    with pytest.raises(InputError):
        IdMap(values)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(-(2**62), 2**62))),
    st.booleans(),
)
def test_from_pairs_sorts_and_keeps_the_latest(rows: list[tuple[int, int, int]], timed: bool) -> None:
    latest: dict[tuple[int, int], int] = {}
    for user, item, time in rows:
        latest[user, item] = max(time, latest.get((user, item), time))
    users, items, times = (np.array([row[part] for row in rows], dtype=np.int64) for part in range(3))
    pairs = Interactions.from_pairs(
        users,
        items,
        user_ids=IdMap(np.arange(5)),
        item_ids=IdMap(np.arange(6)),
        timestamps=times if timed else None,
    )
    assert list(zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)) == sorted(latest)
    if timed:
        assert pairs.timestamps is not None
        assert pairs.timestamps.tolist() == [latest[pair] for pair in sorted(latest)]
    else:
        assert pairs.timestamps is None
    assert pairs.report == ReadReport(
        rows_read=len(rows),
        duplicates_merged=len(rows) - len(latest),
        users_without=5 - len({user for user, _ in latest}),
        items_without=6 - len({item for _, item in latest}),
    )


def test_matrix_is_the_dense_truth_and_its_own_memory(interactions: Interactions) -> None:
    dense = np.zeros((interactions.user_count, interactions.item_count), dtype=np.float32)
    dense[interactions.users, interactions.items] = 1.0
    matrix = interactions.matrix()
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert np.array_equal(matrix.toarray(), dense)
    matrix.indices[:] = 0
    assert np.array_equal(interactions.matrix().toarray(), dense)


def test_from_raw_maps_ids_and_merges() -> None:
    pairs = Interactions.from_raw(["b", "a", "b"], [10, 9, 10], timestamps=[1, 5, 3])
    assert pairs.user_ids.values.tolist() == ["a", "b"]
    assert pairs.item_ids.values.tolist() == [9, 10]
    assert pairs.users.tolist() == [0, 1]
    assert pairs.items.tolist() == [0, 1]
    assert pairs.timestamps is not None
    assert pairs.timestamps.tolist() == [5, 3]
    assert pairs.report.duplicates_merged == 1


@pytest.mark.parametrize(("users", "items"), [([], []), (["a"], []), (["a", None], [1, 2]), ([1.5], [1])])
def test_from_raw_refuses(users: list[object], items: list[object]) -> None:
    with pytest.raises(InputError):
        Interactions.from_raw(users, items)


def test_subset_keeps_the_entities_and_counts_them(interactions: Interactions) -> None:
    first_user = interactions.subset(interactions.users == 0)
    assert first_user.user_count == interactions.user_count
    assert first_user.report.users_without == interactions.user_count - 1
    assert first_user.pair_count == np.count_nonzero(interactions.users == 0)


def test_interactions_refuse_arrays_that_break_their_promise() -> None:
    ids = IdMap(np.arange(3))

    def made(
        users: list[int], items: list[int], times: list[int] | None = None, dtype: type = np.int32
    ) -> None:
        stamps = None if times is None else np.array(times, dtype=np.int64)
        Interactions(np.array(users, dtype=dtype), np.array(items, dtype=dtype), ids, ids, stamps)

    made([0, 0, 1], [1, 2, 0], [5, 5, 5])
    for users, items in [
        ([1, 0], [0, 0]),
        ([0, 0], [1, 1]),
        ([0], [0, 1]),
        ([3], [0]),
        ([0], [3]),
        ([-1], [0]),
    ]:
        with pytest.raises(InputError):
            made(users, items)
    with pytest.raises(InputError):
        made([0], [0], times=[1, 2])
    with pytest.raises(InputError):
        made([0], [0], dtype=np.int64)
    with pytest.raises(InputError):
        Interactions.from_pairs(np.array([0]), np.array([3]), user_ids=ids, item_ids=ids)
    with pytest.raises(InputError):
        Interactions.from_pairs(np.array([0]), np.array([1, 2]), user_ids=ids, item_ids=ids)


def test_interactions_are_frozen(interactions: Interactions) -> None:
    with pytest.raises(FrozenInstanceError):
        interactions.users = interactions.items  # type: ignore[misc]


def test_errors_carry_the_exit_codes() -> None:
    assert (LergError.exit_code, InputError.exit_code, BudgetError.exit_code) == (1, 2, 3)
    assert issubclass(InputError, LergError)
    assert issubclass(BudgetError, LergError)


def test_every_public_name_is_there() -> None:
    for name in lerg_edge.__all__:
        assert getattr(lerg_edge, name) is not None
        assert name in dir(lerg_edge)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = lerg_edge.no_such_name


def test_importing_interactions_loads_nothing_heavy() -> None:
    code = "import sys, lerg_edge.data.interactions; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "numpy" in loaded
    assert not {"torch", "scipy", "polars", "pyarrow"} & set(loaded)


@pytest.mark.parametrize("ids", [IdMap.from_values([1, 2, 7]), IdMap.from_values(["1", "2", "x"])])
def test_ids_are_found_by_type_and_never_by_equality(ids: IdMap) -> None:
    assert list(ids) == ids.values.tolist()
    assert (ids[0], ids[-1]) == (ids.values.tolist()[0], ids.values.tolist()[-1])
    assert ids.indices_of(["1", 2, np.int64(1)]).tolist() == [0, 1, 0]
    assert "1" in ids
    assert 2 in ids
    for raw in (1.0, True, None, np.float64(2), b"1"):
        assert raw not in ids
        with pytest.raises(InputError):
            ids.indices_of([1, raw])
