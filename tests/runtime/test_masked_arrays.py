"""numpy's masked arrays, a megabyte, are never imported; what stands in for them gives the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from _tiny import others, raw_ids, tiny_model, write_tiny

from lerg_runtime import Recommender
from lerg_runtime._numbers import distinct, quantiles

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


def test_nothing_asks_for_them(tmp_path: Path, fake_native: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    bundle = write_tiny(tmp_path / "b", model, seen_only=others(model, "held_out", "disliked"))
    monkeypatch.setitem(sys.modules, "numpy.ma", None)  # an import fails
    monkeypatch.delitem(np.__dict__, "ma", raising=False)
    with pytest.raises(ImportError):
        np.unique(np.arange(3))
    rec = Recommender.open(bundle)
    held_out = [
        (USERS[user], ITEMS[item])
        for user, item in zip(*(part.tolist() for part in others(model, "held_out")["held_out"]), strict=True)
    ]
    measured = rec.evaluate(held_out, k=[5, 10], per_user=True)
    assert measured.users
    measured.intervals(resamples=10)
    measured.compare(measured, resamples=10)
    rec.recommend(USERS, k=5, items=ITEMS[:20])
    rec.recommend(["nobody"], on_unknown="popular")
    rec.recommend_from_history(ITEMS[:3], k=5)
    rec.similar_items(ITEMS[:2])
    rec.similar_users(USERS[:2])
    rec.score(USERS[:3], ITEMS[:3])
    rec.explain(USERS[0], ITEMS[0])
    rec.profile(runs=2, seconds=0.01)
    rec.finetune([(USERS[0], ITEMS[1])], epochs=1)
    rec.save()


@pytest.mark.parametrize("seed", range(5))
def test_distinct_values_are_numpys(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 30, size=random.integers(0, 60)).astype(np.int32)
    assert np.array_equal(distinct(values), np.unique(values))
    assert distinct(values).dtype == np.int32


@pytest.mark.parametrize("shape", [(1,), (2,), (101,), (40, 3), (7, 2, 3)])
def test_quantiles_are_numpys(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    shares = [0.0, 0.025, 0.5, 0.95, 1.0]
    assert quantiles(values, shares) == pytest.approx(
        np.quantile(values, shares, axis=0), rel=1e-12, abs=1e-15
    )
    values[0] = np.nan
    assert np.isnan(quantiles(values, shares)).all()
