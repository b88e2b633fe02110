"""Filters, scores, likeness, shares and popularity of traced bundles, whatever computes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from _oracles import reseal
from _person import ITEMS, MAX_HISTORY, PersonBundle, write_person
from _real import RealBundle, write_real

from lerg_runtime import InputError, Recommender

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> RealBundle:
    return write_real(tmp_path_factory.mktemp("int8") / "bundle", item_table="int8")


def seen(real: RealBundle) -> np.ndarray:
    seen = np.zeros((real.model.user_count, real.model.item_count), bool)
    seen[real.users, real.items] = True
    return seen


def check_filters(rec: Recommender, real: RealBundle) -> None:
    """Against the whole ranking of the same program, cut by hand."""
    users, items = rec.user_ids[:], rec.item_ids[:]
    whole, points = rec.recommend(users, k=90, include_seen=True)
    only, never = items[5:60:3], items[8:30:2]
    ids, scores = rec.recommend(users, k=40, items=only, exclude=never)
    for user in range(len(users)):
        touched = {items[item] for item in np.flatnonzero(seen(real)[user])}
        left = [
            (item, score)
            for item, score in zip(whole[user].tolist(), points[user].tolist(), strict=True)
            if item in only and item not in never and item not in touched
        ]
        there = scores[user] > -np.inf
        assert ids[user][there].tolist() == [item for item, _ in left]
        assert scores[user][there].tolist() == [score for _, score in left]
    alone, _ = rec.recommend(users[7], k=40, items=only, exclude=never)
    assert alone.tolist() == ids[7][scores[7] > -np.inf].tolist()
    # In a batch and alone the sums of portable programs may differ in their last bits.
    assert np.allclose(rec.score(users[7], whole[7]), points[7], rtol=1e-5, atol=1e-7)
    assert np.allclose(rec.score(users, items[3]), points[whole == items[3]], rtol=1e-5, atol=1e-7)


def check_likeness(rec: Recommender, real: RealBundle) -> None:
    user_rows, item_rows = (rows.astype(np.float64) for rows in real.model.entity_rows())
    for ask, names, rows in (
        (rec.similar_items, rec.item_ids[:], item_rows),
        (rec.similar_users, rec.user_ids[:], user_rows),
    ):
        asked = [4, 0, len(names) - 1]
        ids, cosines = ask([names[at] for at in asked], k=30)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for row, at in enumerate(asked):
            exact = unit @ unit[at]
            others = [names.index(name) for name in ids[row].tolist()]
            assert at not in others
            assert np.allclose(cosines[row], exact[others], atol=0.01)
            assert np.allclose(cosines[row], np.sort(np.delete(exact, at))[::-1][:30], atol=0.01)


def check_shares(rec: Recommender, *, rounding: float) -> None:
    items = rec.item_ids[:]
    for user in (4, 9):  # pruned, so that they are served from their history
        found = rec.explain(rec.user_ids[user], items[33])
        assert found.served_by == "history"
        assert found.shares.sum() + found.rest == pytest.approx(found.score, rel=1e-9, abs=1e-12)
        assert abs(found.rest) <= rounding * np.abs(found.shares).sum()
    found = rec.explain(items[3:20], items[33])
    assert abs(found.rest) <= rounding * np.abs(found.shares).sum()
    assert found.score == rec.score_from_history(items[3:20], items[33])
    assert rec.explain(rec.user_ids[0], items[33]).served_by == "table"


def check_popular(rec: Recommender, real: RealBundle) -> None:
    counts = seen(real).sum(0)
    order = np.argsort(-counts, kind="stable")
    ids, points = rec.recommend("nobody", k=50, on_unknown="popular")
    assert ids.tolist() == [rec.item_ids[item] for item in order[:50].tolist()]
    assert points.tolist() == counts[order[:50]].tolist()


def from_history(bundle: Path) -> Path:
    """The bundle with pruned users served from their history, by a metric."""
    document = json.loads((bundle / "manifest.json").read_bytes())
    document["serving"] = {"pruned_users": "history", "known": {"ridge": 2.0}, "unknown": {"half_life": 5.0}}
    (bundle / "manifest.json").write_text(json.dumps(document))
    reseal(bundle)
    return bundle


def test_a_shared_bundle(real: RealBundle, bundle: Path) -> None:
    with Recommender.open(bundle) as rec:
        check_filters(rec, real)
        check_likeness(rec, real)
        check_popular(rec, real)
    with Recommender.open(from_history(bundle)) as rec:
        check_shares(rec, rounding=1e-5)
        check_filters(rec, real)


def test_an_int8_item_table(int8: RealBundle, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(int8.folder, tmp_path / "bundle"))
    with Recommender.open(bundle) as rec:
        check_filters(rec, int8)
        check_likeness(rec, int8)
        check_popular(rec, int8)
    with Recommender.open(from_history(bundle)) as rec:
        check_shares(rec, rounding=0.02)
        # Integer sums have no order: alone as in a batch, to the last bit.
        users, items = rec.user_ids[:], rec.item_ids[:]
        whole, points = rec.recommend(users, k=90, include_seen=True)
        assert np.array_equal(rec.score(users[11], whole[11]), points[11])
        assert np.array_equal(rec.score(users, items[3]), points[whole == items[3]])


PERSONAL = {
    "rows": ("rows", {}),
    "portable, no metric": ("product", {"lowering": "portable", "ridge": None}),
    "folded, portable, no half-life": ("folded", {"lowering": "portable", "half_life": None}),
}
HISTORY = [3, 70, 12, 41, 66]


@pytest.fixture(scope="module", params=PERSONAL)
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    coding, options = PERSONAL[request.param]
    return write_person(tmp_path_factory.mktemp("person") / "bundle", coding, **options)


def test_a_personal_bundle(person: PersonBundle) -> None:
    names = person.ids
    history = [names[item] for item in HISTORY]
    wanted, scores = person.wanted(HISTORY, barred=[], k=ITEMS)
    with Recommender.open(person.folder) as rec:
        degrees = rec._personal.items.degrees
        popular = np.argsort(-degrees.astype(int), kind="stable")
        found, _ = rec.recommend(k=9, on_unknown="popular", exclude=names[:20])
        assert found.tolist() == [names[item] for item in popular.tolist() if item >= 20][:9]
        assert rec.recommend_from_history([], k=4, on_unknown="popular")[0].tolist() == [
            names[item] for item in popular[:4].tolist()
        ]
        for call in (lambda: rec.score(None, names[0]), lambda: rec.explain(None, names[0])):
            with pytest.raises(InputError, match="the history is empty"):
                call()
        rec.observe(history, when=1_000)
        points = rec.score(None, names)
        assert np.allclose(points, [scores[wanted.index(name)] for name in names], rtol=1e-3, atol=1e-5)
        assert np.array_equal(rec.score_from_history(history, names), points)
        barred = [item for item in range(ITEMS) if item not in range(10, 50) or item % 3 == 0]
        left, _ = person.wanted(HISTORY, barred=barred + HISTORY, k=12)
        found, _ = rec.recommend_from_history(history, k=12, items=names[10:50], exclude=names[::3])
        assert found.tolist() == left
        check_shares_of_person(rec, person)
        rows = person.model.item_rows().astype(np.float64)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        ids, cosines = rec.similar_items(names[:6], k=9)
        for row in range(6):
            exact = np.delete(unit @ unit[row], row)
            assert np.allclose(cosines[row], np.sort(exact)[::-1][:9], atol=1e-4)
        assert rec.similar_items(names[4], k=9)[0].tolist() == ids[4].tolist()


def check_shares_of_person(rec: Recommender, person: PersonBundle) -> None:
    names = person.ids
    history = [names[item] for item in HISTORY]
    kept = rec.explain(None, names[20])
    assert kept.shares.sum() + kept.rest == pytest.approx(kept.score, rel=1e-9, abs=1e-12)
    assert abs(kept.rest) < 1e-4 * np.abs(kept.shares).sum()
    assert kept.score == rec.score(None, names[20])
    given = rec.explain(history, names[20])
    assert given.items.tolist() == kept.items.tolist()
    assert np.array_equal(given.shares, kept.shares)
    # An item's share is what the score loses without its weight: of one item alone it is all of it.
    alone = rec.explain(history[:1], names[20])
    assert alone.shares[0] == pytest.approx(rec.score_from_history(history[:1], names[20]), rel=1e-4)
    # Of a history that is longer than what the bundle counts, the earlier items add nothing.
    longer = rec.explain(names[: MAX_HISTORY + 3], names[20])
    assert (longer.shares == 0).sum() == 3
    assert set(longer.items[longer.shares == 0]) == set(names[:3])
    assert abs(longer.rest) < 1e-4 * np.abs(longer.shares).sum()
