"""Placeholders: clusters that are known, splits, and the step of least error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.codes.quantiser import dequantise, least_error_step, quantise
from lerg_edge.errors import InputError
from lerg_edge.pruning.placeholders import build_placeholders, split_count


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """40 users about 4 centres and 60 items about 6, far apart; the label of each entity."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(10, 8)) * 10
    labels = np.concatenate([np.arange(40) % 4, 4 + np.arange(60) % 6])
    return (centres[labels] + rng.normal(size=(100, 8)) * 0.01).astype(np.float32), labels


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_known_clusters_are_found(bits: int) -> None:
    embeddings, labels = blobs()
    retained = np.zeros(100, bool)
    retained[[0, 50]] = True
    found = build_placeholders(embeddings, retained, user_count=40, count=10, bits=bits, seed=3)
    assert (found.user_count, found.item_count, found.count) == (4, 6, 10)
    assert found.codes.dtype == (np.int16 if bits == 16 else np.int8)
    assert found.step.dtype == np.float32
    assert found.step.shape == (1,)
    assert found.index.dtype == np.int32
    assert (found.index[retained] == -1).all()
    for side, table in zip((slice(0, 40), slice(40, 100)), found.tables(), strict=True):
        pruned = np.flatnonzero(~retained[side])
        pairs = {*zip(labels[side][pruned].tolist(), found.index[side][pruned].tolist(), strict=True)}
        assert len(pairs) == len(table), "a cluster is one placeholder and a placeholder one cluster"
        difference = np.abs(embeddings[side][pruned] - table[found.index[side][pruned]]).max()
        assert difference <= {4: 0.8, 8: 0.55, 16: 0.05}[bits] * max(1.0, found.step[0])


def test_an_entity_is_given_the_nearest_placeholder() -> None:
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(300, 6)).astype(np.float32)
    found = build_placeholders(embeddings, np.zeros(300, bool), user_count=120, count=20, bits=4)
    users, items = found.tables()
    for row in range(300):
        table = users if row < 120 else items
        distances = np.square(table.astype(np.float64) - embeddings[row]).sum(axis=1)
        assert distances[found.index[row]] == pytest.approx(distances.min(), rel=1e-5)
    assert set(found.index[:120]) == set(range(found.user_count)), (
        "a placeholder that nobody uses is left out"
    )


def test_as_many_placeholders_as_entities_reproduce_them() -> None:
    embeddings = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    embeddings[3] = embeddings[4]
    retained = np.arange(30) >= 25
    found = build_placeholders(embeddings, retained, user_count=10, count=500, bits=16)
    assert (found.user_count, found.item_count) == (9, 15)
    assert found.index[3] == found.index[4]
    users, items = found.tables()
    np.testing.assert_allclose(users[found.index[:10]], embeddings[:10], atol=found.step[0])
    np.testing.assert_allclose(items[found.index[10:25]], embeddings[10:25], atol=found.step[0])


def test_same_seed_same_placeholders() -> None:
    embeddings = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    first, second, other = (
        build_placeholders(embeddings, np.zeros(500, bool), user_count=200, count=30, seed=seed)
        for seed in (5, 5, 6)
    )
    assert first.codes.tobytes() == second.codes.tobytes()
    assert first.index.tobytes() == second.index.tobytes()
    assert not np.array_equal(first.index, other.index)


def test_sides_without_pruned_entities_have_no_placeholders() -> None:
    embeddings = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    none = build_placeholders(embeddings, np.ones(20, bool), user_count=10)
    assert none.codes.shape == (0, 4)
    assert (none.index == -1).all()
    only_items = build_placeholders(embeddings, np.arange(20) < 10, user_count=10, count=3)
    assert (only_items.user_count, only_items.item_count) == (0, 3)
    assert only_items.tables()[0].shape == (0, 4)


@given(st.integers(0, 40), st.integers(0, 30), st.integers(0, 30))
def test_split_is_by_numbers_and_gives_every_side_its_one(count: int, users: int, items: int) -> None:
    if count < (users > 0) + (items > 0):
        with pytest.raises(InputError, match="too few"):
            split_count(count, users, items)
        return
    for_users, for_items = split_count(count, users, items)
    assert (users > 0) <= for_users <= users
    assert (items > 0) <= for_items <= items
    assert for_users + for_items == min(count, users + items)
    if 2 <= count <= min(users, items):
        assert abs(for_users - count * users / (users + items)) <= 1


@pytest.mark.parametrize("bits", [4, 8])
def test_step_has_the_least_squared_error(bits: int) -> None:
    values = np.random.default_rng(2).standard_t(4, size=(200, 8)).astype(np.float32)

    def error(step: float) -> float:
        array = np.array([step], np.float32)
        return float(np.square(dequantise(quantise(values, array, bits=bits), array) - values).sum())

    step = float(least_error_step(values, bits=bits)[0])
    widest = float(np.abs(values).max()) / (2 ** (bits - 1) - 1)
    scanned = min(error(widest * share) for share in np.linspace(0.05, 1.1, 2_000))
    assert error(step) <= scanned * 1.002


def test_all_zero_centroids_have_a_step() -> None:
    found = build_placeholders(np.zeros((6, 2), np.float32), np.zeros(6, bool), user_count=3)
    assert found.step[0] > 0
    assert (found.codes == 0).all()
    assert found.count == 2


def test_bad_arguments_are_named() -> None:
    embeddings = np.zeros((6, 2), np.float32)
    with pytest.raises(InputError, match="bits is 7"):
        build_placeholders(embeddings, np.zeros(6, bool), user_count=3, bits=7)
    with pytest.raises(InputError, match="1 placeholders are too few"):
        build_placeholders(embeddings, np.zeros(6, bool), user_count=3, count=1)
    with pytest.raises(InputError, match="5 rows"):
        build_placeholders(embeddings, np.zeros(5, bool), user_count=3)
