"""What a personal bundle learns from, batch by batch."""

from __future__ import annotations

import numpy as np
import pytest

from lerg_runtime import InputError
from lerg_runtime.learning._own_history import OwnHistory


def made(count: int, *, items: int = 50, batch: int = 16) -> OwnHistory:
    return OwnHistory(
        np.arange(count) * 2,
        np.linspace(1, 2, count),
        slots=np.arange(items, dtype=np.int32)[::-1],
        metric=np.eye(4, dtype=np.float32),
        scale=3.0,
        batch=batch,
        allocate=np.empty,
    )


def test_an_item_is_told_by_all_others_from_one_that_was_not_touched() -> None:
    data, random = made(4), np.random.default_rng(0)
    asked = []
    for positives, negatives, history, weights, metric in data.batches(16, random):
        assert history.tolist() == [49 - 2 * place for place in range(4)]
        assert metric.tolist() == np.eye(4).tolist()
        assert len(positives) == len(negatives) == len(weights)
        touched = set(history.tolist())
        assert not touched & set(negatives.tolist())
        for positive, row in zip(positives.tolist(), weights, strict=True):
            place = (49 - positive) // 2
            expected = 3.0 * np.linspace(1, 2, 4) / np.sqrt(3)
            expected[place] = 0
            assert row == pytest.approx(expected)
            asked.append(place)
    assert sorted(asked) == sorted([*range(4)] * 4), "as often as fills a batch"
    assert len(data) == 16


def test_the_latest_fifth_is_held_out() -> None:
    data, random = made(10), np.random.default_rng(0)
    assert data.held_out == 2
    found = data.held_out_triples(random)
    assert found is not None
    positives, negatives, history, weights, _ = found
    late = {49 - 2 * place for place in (8, 9)}
    assert set(positives.tolist()) == late
    assert len(positives) == 16
    assert len(history) == 8
    assert not late & set(negatives.tolist())
    assert (weights > 0).all()
    before = weights.copy()
    for batch in data.batches(16, random):
        assert not late & {*batch[0].tolist(), *batch[1].tolist()}
    np.testing.assert_array_equal(weights, before)
    few = made(4)
    assert few.held_out == 0
    assert few.held_out_triples(random) is None


def test_an_item_alone_is_asked_for_twice() -> None:
    data = made(4, batch=3)
    assert [len(batch[0]) for batch in data.batches(3, np.random.default_rng(0))] == [3, 2]


def test_where_nearly_all_was_touched_the_rest_is_found() -> None:
    data = made(24, items=49)
    for batch in data.batches(16, np.random.default_rng(0)):
        assert not set(batch[1].tolist()) & {48 - 2 * place for place in range(24)}
    with pytest.raises(InputError, match="holds every item"):
        made(25, items=25)
