"""The map from features to rows: what it computes, and when it is kept at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from lerg_edge import FeatureColumn, InputError, ItemFeatures, generate, generate_features
from lerg_edge.features.encoding import MOST_FEATURES, Encoding
from lerg_edge.features.mapping import choose_map

USERS, ITEMS, COMMUNITIES = 600, 400, 8


def rows_and_touched(seed: int) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Rows by a truncated decomposition of the normalised interactions, which knows no features."""
    touched = generate(USERS, ITEMS, 12_000, communities=COMMUNITIES, seed=seed).matrix()
    dense = touched.toarray().astype(np.float64)
    of_user, of_item = (1 / np.sqrt(np.maximum(dense.sum(axis=axis), 1)) for axis in (1, 0))
    _, values, right = np.linalg.svd(of_user[:, None] * dense * of_item)
    return (right[:16].T * values[:16]).astype(np.float32), touched


def single(column: FeatureColumn, items: int) -> ItemFeatures:
    return ItemFeatures((column,), np.ones(items, dtype=bool))


@pytest.mark.parametrize("seed", [0, 1])
def test_features_that_tell_something_are_kept_and_beat_chance(seed: int) -> None:
    rows, touched = rows_and_touched(seed)
    features = generate_features(ITEMS, communities=COMMUNITIES, seed=seed)
    found, trial = choose_map(features, rows, touched, seed=0)
    assert found is not None
    assert trial.penalty == found.penalty
    assert trial.scores[found.penalty] == max(trial.scores.values()) > 3 * trial.chance[0]
    again, _ = choose_map(features, rows, touched, seed=0)
    assert again is not None
    np.testing.assert_array_equal(again.weights, found.weights)


@pytest.mark.parametrize("seed", range(5))
def test_features_that_say_nothing_are_not_kept(seed: int) -> None:
    rows, touched = rows_and_touched(seed)
    features = generate_features(ITEMS, communities=COMMUNITIES, seed=seed, telling=0.0)
    found, trial = choose_map(features, rows, touched, seed=0)
    assert found is None
    assert trial.penalty is None
    assert trial.described()["penalty"] is None


def test_too_few_items_with_features_choose_nothing() -> None:
    rows, touched = rows_and_touched(0)
    features = generate_features(ITEMS, communities=COMMUNITIES, seed=0)
    few = replace(features, known=np.arange(ITEMS) < 49)
    found, trial = choose_map(few, rows, touched, seed=0)
    assert found is None
    assert trial.items <= 49
    assert not trial.scores


def test_the_regression_is_that_of_a_dense_solution() -> None:
    rng = np.random.default_rng(3)
    rows, touched = rows_and_touched(0)
    features = generate_features(ITEMS, communities=COMMUNITIES, seed=0)
    vector = FeatureColumn("text", "vector", numbers=rng.normal(size=(ITEMS, 5)))
    features = replace(features, columns=(*features.columns, vector))
    found, _ = choose_map(features, rows, touched, seed=0)
    assert found is not None
    items = np.flatnonzero(np.diff(touched.tocsc().indptr) > 0)
    vectors = found.encoding.matrix(features, items)
    centred, wanted = vectors - vectors.mean(axis=0), rows[items] - rows[items].mean(axis=0)
    # Ridge regression as least squares over rows that are added for the penalty.
    penalty = np.sqrt(found.penalty) * np.eye(found.encoding.size)
    stacked = np.concatenate([centred, penalty])
    weights = np.linalg.lstsq(
        stacked, np.concatenate([wanted, np.zeros((len(penalty), rows.shape[1]))]), rcond=None
    )[0]
    offset = rows[items].mean(axis=0) - vectors.mean(axis=0) @ weights
    kept = found.weights * found.scales[:, None]
    mapped = vectors @ weights + offset
    gain = np.sqrt((rows[items].astype(np.float64) ** 2).sum() / (mapped**2).sum())
    assert found.gain == pytest.approx(gain, rel=1e-4)
    assert gain > 1
    weights, offset = gain * weights, gain * offset
    np.testing.assert_allclose(found.offset, offset, rtol=1e-4, atol=1e-6)
    assert (np.abs(kept - weights) <= 0.51 * found.scales[:, None] + 1e-6).all()
    np.testing.assert_allclose(
        found.rows(features, items), vectors @ kept + found.offset, rtol=1e-4, atol=1e-5
    )


def test_encoding_is_what_it_says() -> None:
    genres = (("a", "b"), ("a",), ("b", "z"), (), ("a", "b"))
    years = np.array([[1.0], [3.0], [np.nan], [5.0], [3.0]])
    text = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0], [np.nan, np.nan]])
    columns = (
        FeatureColumn("genres", "category", texts=genres),
        FeatureColumn("year", "number", numbers=years),
        FeatureColumn("text", "vector", numbers=text),
        FeatureColumn("same", "number", numbers=np.ones((5, 1))),
    )
    features = ItemFeatures(columns, np.ones(5, dtype=bool))
    encoding = Encoding.of(features)
    assert [column.name for column in encoding.columns] == ["genres", "year", "text"]
    assert encoding.unused == ("same",)
    assert encoding.columns[0].left_out == 1
    found = encoding.matrix(features, np.arange(5))
    np.testing.assert_allclose(found[:, :2], [[0.5, 0.5], [1, 0], [0, 1], [0, 0], [0.5, 0.5]])
    np.testing.assert_allclose(found[:, 2], np.array([-2, 0, 0, 2, 0]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose((found[:4, 3:] ** 2).sum() / 4, 1.0, rtol=1e-6)
    assert (found[4, 3:] == 0).all()


def test_the_rarest_values_get_no_place_and_wide_vectors_are_refused() -> None:
    texts = tuple((f"value-{item // 3:04d}", "common") for item in range(3 * MOST_FEATURES))
    encoding = Encoding.of(single(FeatureColumn("tag", "category", texts=texts), len(texts)))
    assert encoding.size == MOST_FEATURES
    assert encoding.columns[0].left_out == 1
    assert "common" in encoding.columns[0].values
    assert "value-2047" not in encoding.columns[0].values
    wide = np.random.default_rng(0).normal(size=(4, MOST_FEATURES + 1))
    with pytest.raises(InputError, match=r"take 2,049 places and at most 2,048 may be"):
        Encoding.of(single(FeatureColumn("text", "vector", numbers=wide), 4))
    with pytest.raises(InputError, match="tells items apart"):
        Encoding.of(single(FeatureColumn("same", "number", numbers=np.ones((4, 1))), 4))
    with pytest.raises(InputError, match="texts or numbers to suit"):
        FeatureColumn("year", "number")


def test_generated_features_are_seeded_and_refuse_what_cannot_be() -> None:
    one, two = (generate_features(50, communities=5, seed=4) for _ in range(2))
    assert one.columns[0].texts == two.columns[0].texts
    np.testing.assert_array_equal(one.columns[1].numbers, two.columns[1].numbers)
    for wrong in ({"genres": 1}, {"telling": 1.5}, {"communities": 51}):
        with pytest.raises(InputError, match="they must be"):
            generate_features(50, **{"communities": 5, "seed": 0, **wrong})
