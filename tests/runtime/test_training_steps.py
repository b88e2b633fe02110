"""Which triples an epoch has, and how the parameters move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _tiny import TinyModel, write_tiny

from lerg_runtime import InputError
from lerg_runtime.bundle import BundleFolder, FineTuneDefaults
from lerg_runtime.learning._negatives import Negatives
from lerg_runtime.learning._optimiser import OptimiserOptions, Updater
from lerg_runtime.learning._training_set import TrainingSet


@pytest.fixture
def folder(tmp_path: Any, model: TinyModel) -> BundleFolder:
    return BundleFolder.open(write_tiny(tmp_path / "bundle", model))


def training_set(folder: BundleFolder, new: list[int], replay: int | None) -> TrainingSet:
    return TrainingSet(
        folder.read_interactions(),
        folder.read_entities(),
        folder.manifest.model,
        new=np.array(new, dtype=np.int64),
        replay=replay,
        allocate=np.empty,
    )


def sampler(folder: BundleFolder, candidates: int = 1) -> Negatives:
    return Negatives(
        folder.read_interactions(),
        folder.read_entities(),
        folder.manifest.model,
        batch=64,
        candidates=candidates,
        allocate=np.empty,
    )


def epoch(
    folder: BundleFolder, training: TrainingSet, size: int, seed: int = 0
) -> list[tuple[int, int, int]]:
    batches = list(training.batches(size, np.random.default_rng(seed), sampler(folder)))
    for users, positives, negatives in batches:
        assert users.dtype == positives.dtype == negatives.dtype == np.int64
        assert 2 <= len(users) <= max(2, size)
    return [triple for batch in batches for triple in zip(*(part.tolist() for part in batch), strict=True)]


def test_everything_that_can_learn_comes_once(folder: BundleFolder, model: TinyModel) -> None:
    kept = [
        (user, item)
        for user, item in zip(*(part.tolist() for part in model.pairs), strict=True)
        if model.retained_users[user] or model.retained_items[item]
    ]
    assert len(kept) < len(model.pairs[0]), "the model has pairs without a gradient"
    slots = model.slots("user"), model.slots("item")
    triples = epoch(folder, training_set(folder, [], None), 16)
    expected = sorted((int(slots[0][user]), int(slots[1][item])) for user, item in kept)
    assert (
        sorted(triple[:2] for triple in triples)[: len(expected)] == expected or len(triples) == len(kept) + 1
    )


def test_negatives_are_never_touched_items(folder: BundleFolder, model: TinyModel) -> None:
    touched: dict[int, set[int]] = {}
    for user, item in zip(*(part.tolist() for part in model.pairs), strict=True):
        if model.retained_users[user] and model.retained_items[item]:
            touched.setdefault(int(model.slots("user")[user]), set()).add(int(model.slots("item")[item]))
    training = training_set(folder, [], None)
    for seed in range(20):
        for user, _, negative in epoch(folder, training, 16, seed):
            assert negative not in touched.get(user, set())


def test_the_hardest_of_several_negatives_is_taken(folder: BundleFolder, model: TinyModel) -> None:
    """With many candidates every one of the few items comes up, so the best untouched one is known."""
    drawing = sampler(folder, candidates=400)
    random = np.random.default_rng(0)
    assert drawing.uses_tables
    assert not sampler(folder).uses_tables
    for table in drawing._tables:
        table[:] = random.standard_normal(table.shape)
    users = np.arange(len(model.retained_users), dtype=np.int32)
    drawn = drawing.draw(users, random)
    slots = model.slots("user"), model.slots("item")
    scores = drawing._tables[0][slots[0]] @ drawing._tables[1][slots[1]].T
    scores[model.pairs] = -np.inf
    assert np.array_equal(scores[users, drawn], scores.max(1))


def test_who_has_touched_everything_gets_none_of_several(folder: BundleFolder) -> None:
    full = folder.read_interactions()
    items = folder.manifest.model.items
    everything = full.with_pairs(*(part for part in _missing(full, user=0, items=items)), allocate=np.empty)
    drawing = Negatives(
        everything, folder.read_entities(), folder.manifest.model, batch=4, candidates=3, allocate=np.empty
    )
    for table in drawing._tables:
        table[:] = 1.0
    drawn = drawing.draw(np.array([0, 1], np.int32), np.random.default_rng(0))
    assert drawn[0] == -1
    assert drawn[1] >= 0


def _missing(interactions: Any, *, user: int, items: int) -> tuple[np.ndarray, np.ndarray]:
    left = np.setdiff1d(np.arange(items, dtype=np.int32), interactions.of_user(user))
    return np.full(len(left), user, np.int32), left.astype(np.int32)


def test_new_ones_come_every_epoch_and_earlier_ones_as_asked(folder: BundleFolder, model: TinyModel) -> None:
    new = [0, 5, 6]
    trainable = [
        position
        for position in new
        if model.retained_users[model.pairs[0][position]] or model.retained_items[model.pairs[1][position]]
    ]
    training = training_set(folder, new, 8)
    assert (training.new, training.replayed, len(training)) == (len(trainable), 8, len(trainable) + 8)
    slots = model.slots("user"), model.slots("item")
    wanted = {(int(slots[0][model.pairs[0][at]]), int(slots[1][model.pairs[1][at]])) for at in trainable}
    random = np.random.default_rng(0)
    replayed = set()
    for _ in range(3):
        triples = [
            pair
            for users, positives, _ in training.batches(4, random, sampler(folder))
            for pair in zip(users.tolist(), positives.tolist(), strict=True)
        ]
        assert wanted <= set(triples)
        replayed.add(tuple(sorted(set(triples) - wanted)))
    assert len(replayed) > 1, "each epoch draws its own"
    assert training_set(folder, new, 10**6).replayed == training_set(folder, new, None).replayed


def test_same_seed_same_triples(folder: BundleFolder) -> None:
    first, second = (training_set(folder, [1], 20) for _ in range(2))
    assert epoch(folder, first, 8, seed=3) == epoch(folder, second, 8, seed=3)
    assert epoch(folder, first, 8, seed=3) != epoch(folder, training_set(folder, [1], 20), 8, seed=4)


def test_a_lonely_triple_is_doubled(folder: BundleFolder) -> None:
    training = training_set(folder, [0], 0)
    triples = epoch(folder, training, 8)
    assert len(triples) == 2
    assert triples[0] == triples[1]


DEFAULTS = FineTuneDefaults(0.1, None, None, 8, 0.9, 0.999, 1e-8, 0.9)


def options(name: str, **changes: Any) -> OptimiserOptions:
    given = {"learning_rate": 0.1, "momentum": None, "defaults": DEFAULTS, **changes}
    return OptimiserOptions.choose(name, **given)


def test_adam_moves_as_its_paper_says() -> None:
    random = np.random.default_rng(0)
    codebook, step = random.normal(size=(3, 4)).astype(np.float32), np.array([0.5], np.float32)
    expected, m, v = codebook.astype(np.float64), np.zeros((3, 4)), np.zeros((3, 4))
    updater = Updater(options("adam"), codebook, step, allocate=np.empty)
    for number in range(1, 6):
        gradient = random.normal(size=(3, 4)).astype(np.float32)
        updater.update(gradient, np.zeros(1, np.float32))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.astype(np.float64) ** 2
        expected -= 0.1 * (m / (1 - 0.9**number)) / (np.sqrt(v / (1 - 0.999**number)) + 1e-8)
    assert np.allclose(codebook, expected, atol=1e-5)
    assert step[0] == np.float32(0.5)


def test_adam_moves_the_step_by_the_share_that_it_moves_weights() -> None:
    codebook, step = np.full((3, 4), 2.0, np.float32), np.array([0.01], np.float32)
    Updater(options("adam"), codebook, step, allocate=np.empty).update(
        np.ones((3, 4), np.float32), np.ones(1, np.float32)
    )
    assert 1 - codebook[0, 0] / 2.0 == pytest.approx(1 - step[0] / 0.01, rel=1e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_sgd_moves_with_a_velocity(momentum: float) -> None:
    codebook, step = np.zeros((2, 2), np.float32), np.ones(1, np.float32)
    updater = Updater(options("sgd", momentum=momentum), codebook, step, allocate=np.empty)
    for _ in range(2):
        updater.update(np.ones((2, 2), np.float32), np.zeros(1, np.float32))
    assert np.allclose(codebook, -0.1 * (1 + (1 + momentum)))


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_step_stays_positive(name: str) -> None:
    codebook, step = np.ones((2, 2), np.float32), np.array([0.1, 0.2], np.float32)
    updater = Updater(options(name, learning_rate=10.0), codebook, step, allocate=np.empty)
    for _ in range(20):
        updater.update(np.zeros((2, 2), np.float32), np.full(2, 1e6, np.float32))
    assert np.all(step > 0)
    assert np.allclose(step, [1e-4, 2e-4])


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("adamw", {}, "optimiser is 'adamw'"),
        ("adam", {"learning_rate": 0.0}, "learning_rate is 0.0"),
        ("adam", {"learning_rate": float("nan")}, "learning_rate is nan"),
        ("adam", {"learning_rate": float("inf")}, "learning_rate is inf"),
        ("sgd", {"learning_rate": None}, "no default learning rate for 'sgd'"),
        ("sgd", {"momentum": 1.0}, "momentum is 1.0"),
        ("sgd", {"momentum": -0.1}, "momentum is -0.1"),
    ],
)
def test_options_that_cannot_be(name: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        options(name, **changes)
