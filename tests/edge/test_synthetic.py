"""Generated interactions: exact counts, heavy tails, communities that can be learnt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_edge.data.interactions import Interactions
from lerg_edge.data.synthetic import SHAPES, demo_dataset, demo_interactions, generate, shaped_interactions
from lerg_edge.errors import InputError


def same(left: Interactions, right: Interactions) -> bool:
    return np.array_equal(left.users, right.users) and np.array_equal(left.items, right.items)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.0, 1.0), st.data())
def test_any_size_gives_exactly_the_pairs_asked_for(
    users: int, items: int, density: float, data: st.DataObject
) -> None:
    wanted = max(1, int(users * items // 2 * density))
    communities = data.draw(st.integers(1, min(users, items)))
    made = generate(users, items, wanted, communities=communities, seed=data.draw(st.integers(0, 9)))
    assert (made.user_count, made.item_count, made.pair_count) == (users, items, wanted)
    assert made.report.duplicates_merged == 0  # every pair is distinct by construction
    if wanted >= users:
        assert made.report.users_without == 0


def test_same_seed_same_pairs() -> None:
    first, again, other = (generate(200, 150, 3_000, communities=5, seed=seed) for seed in (4, 4, 5))
    assert same(first, again)
    assert not same(first, other)


def test_degrees_have_heavy_tails() -> None:
    made = generate(5_000, 2_000, 60_000, communities=40, seed=1)
    for indices, size in ((made.users, 5_000), (made.items, 2_000)):
        degrees = np.sort(np.bincount(indices, minlength=size))[::-1]
        top_tenth = degrees[: size // 10].sum() / degrees.sum()
        assert top_tenth > 0.25  # a Poisson law of this mean would put about 0.15 there
        assert degrees[0] > 4 * np.median(degrees)


def test_pairs_stay_in_their_community_as_told() -> None:
    def concentration(share: float) -> float:
        """The part of a user's overlaps with all others that lies in the closest tenth of them."""
        matrix = generate(1_000, 1_000, 20_000, communities=10, seed=2, within_share=share).matrix()
        overlap = (matrix @ matrix.T).toarray()
        np.fill_diagonal(overlap, 0)
        return float(np.sort(overlap, axis=1)[:, -100:].sum() / overlap.sum())

    none, half, most, all_within = (concentration(share) for share in (0.0, 0.5, 0.85, 1.0))
    assert none + 0.02 < half < most - 0.1 < all_within - 0.2
    # A community is a tenth of the users, so the closest tenth shares nearly everything; the most active
    # users run out of items and leave.
    assert all_within > 0.8


def test_demo_is_as_documented_and_can_be_learnt() -> None:
    dataset = demo_dataset(0)
    train, test = dataset.train, dataset.test
    assert test is not None
    assert (train.user_count, train.item_count) == (1_200, 800)
    assert train.pair_count + test.pair_count == 30_000
    assert train.user_ids.values[0] == "user-0001"
    assert train.item_ids.values[-1] == "item-0800"
    assert same(train, demo_dataset(0).train)
    assert not same(train, demo_dataset(1).train)
    assert demo_interactions(0).pair_count == 30_000

    seen, wanted = train.matrix().toarray() > 0, test.matrix().toarray() > 0
    popularity = np.tile(seen.sum(axis=0, dtype=np.float32), (len(seen), 1))
    together = seen.astype(np.float32).T @ seen.astype(np.float32)
    degrees = np.maximum(np.diag(together), 1.0)
    neighbours = seen.astype(np.float32) @ (together / np.sqrt(np.outer(degrees, degrees)))

    def recall(scores: np.ndarray) -> float:
        top = np.argsort(-np.where(seen, -np.inf, scores), axis=1)[:, :20]
        hits = np.take_along_axis(wanted, top, axis=1).sum(axis=1)
        some = wanted.any(axis=1)
        return float(np.mean(hits[some] / wanted.sum(axis=1)[some]))

    assert recall(neighbours) > 1.5 * recall(popularity)
    assert recall(neighbours) > 0.25


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"users": 0}, "user"),
        ({"items": 0}, "item"),
        ({"interactions": 0}, "interactions"),
        ({"interactions": 51}, "interactions"),
        ({"communities": 0}, "communities"),
        ({"communities": 11}, "communities"),
        ({"seed": -1}, "seed"),
        ({"within_share": 1.1}, "within_share"),
    ],
)
def test_sizes_out_of_range_are_refused(changed: dict[str, float], named: str) -> None:
    arguments = {"users": 10, "items": 10, "interactions": 20, "communities": 2, "seed": 0} | changed
    with pytest.raises(InputError, match=named):
        generate(**arguments)  # type: ignore[arg-type]


def _tail_exponent(degrees: np.ndarray, *, share: float) -> float:
    """Hill's estimate of a power law's exponent from the largest degrees, those at the very top left out."""
    ordered = np.sort(degrees)[::-1].astype(np.float64)
    top = ordered[len(ordered) // 2000 : int(share * len(ordered))]
    return float(1.0 / np.mean(np.log(top / top[-1])))


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_their_sizes_and_power_law_degrees(name: str) -> None:
    shape, made = SHAPES[name], shaped_interactions(name)
    sizes = (made.user_count, made.item_count, made.pair_count)
    assert sizes == (shape.users, shape.items, shape.interactions)
    users = np.bincount(made.users, minlength=shape.users)
    items = np.bincount(made.items, minlength=shape.items)
    assert users.min() >= 1
    # Drawn with 1.6 and 1.3, and flattened where users run out of items; light tails give 5 and more.
    assert 1.2 < _tail_exponent(users, share=0.02) < 2.2
    assert 1.0 < _tail_exponent(items, share=0.02) < 2.2


def test_the_tail_estimate_tells_light_tails_apart() -> None:
    rng = np.random.default_rng(0)
    assert _tail_exponent(rng.poisson(30, 50_000), share=0.02) > 5
    assert _tail_exponent(rng.pareto(1.5, 50_000) + 1, share=0.02) == pytest.approx(1.5, abs=0.2)


def test_an_unknown_shape_is_told_the_known_ones() -> None:
    with pytest.raises(InputError, match="demo:yelp2020, demo:amazon-book, demo:ifashion"):
        shaped_interactions("netflix")
