"""What rounding leaves over: small fine-tunes add up, and learning that does harm is taken back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import FineTuneReport, InputError, LergRuntimeError, Recommender
from lerg_runtime.bundle import State, unpack
from lerg_runtime.learning import _training
from lerg_runtime.learning._remainders import add_remainder, count_moved, take_remainder

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


def new_pairs(model: TinyModel, count: int) -> list[tuple[str, str]]:
    unseen = np.argwhere(~model.seen())
    chosen = np.random.default_rng(3).permutation(len(unseen))[:count]
    return [(USERS[user], ITEMS[item]) for user, item in unseen[np.sort(chosen)].tolist()]


def latent(state: State, bits: int) -> np.ndarray:
    """float64 [c, d]: the weights with what rounding left of them."""
    whole = unpack(np.array(state.codebook), bits=bits).astype(float)
    left = state.remainder / 256 if len(state.remainder) else 0
    found: np.ndarray = (whole + left) * state.step.reshape(-1, 1)
    return found


@pytest.mark.parametrize("bits", [4, 8])
def test_small_fine_tunes_add_up_to_a_large_one(tmp_path: Path, fake_native: None, bits: int) -> None:
    """Forty of one epoch, saved and opened again between them, and one of forty epochs."""
    model = tiny_model(bits=bits)
    folder = write_tiny(tmp_path / "b", model)
    pairs = new_pairs(model, 90)

    def learnt(rec: Recommender, rate: float, **settings: int) -> FineTuneReport:
        plain = {"optimiser": "sgd", "momentum": 0.0, "replay": 0, "batch": 64}
        return rec.finetune(pairs, learning_rate=rate, **plain, **settings)  # type: ignore[arg-type]

    rec = Recommender.open(folder)
    start, step = latent(rec.state, bits), float(rec.state.step[0])
    rate = 0.01 * step
    learnt(rec, rate, epochs=40)
    # The rate at which the element that moves most moves by four steps in all, a tenth of one each time.
    rate *= 4 * step / float(np.abs(latent(rec.state, bits) - start).max())
    rec = Recommender.open(folder)
    learnt(rec, rate, epochs=40)
    aim = latent(rec.state, bits) - start
    moved = []
    for seed in range(40):
        rec = Recommender.open(folder)
        moved.append(learnt(rec, rate, epochs=1, seed=seed).moved)
        rec.save()
    found = latent(rec.state, bits) - start
    assert moved[0] == 0, "one alone moves no integer"
    assert sum(moved) > 0
    assert np.linalg.norm(found - aim) < 0.35 * np.linalg.norm(aim)


@pytest.mark.parametrize("per_row", [False, True])
def test_a_remainder_is_what_rounding_left(per_row: bool) -> None:
    rng = np.random.default_rng(0)
    step = (0.1 * (1 + rng.random(150 if per_row else 1))).astype(np.float32)
    weights = rng.normal(size=(150, 6)).astype(np.float32)
    sizes = step.reshape(-1, 1)
    rounded = (np.rint(weights / sizes) * sizes).astype(np.float32)
    out = np.empty((150, 6), np.int8)
    take_remainder(weights, rounded, step, out)
    again = rounded.copy()
    add_remainder(again, out, step)
    assert np.abs(again - weights).max() <= 1.01 / 256 * sizes.max(), "half a step is 127 of 256ths"
    take_remainder(weights + 100 * sizes.astype(np.float32), rounded, step, out)
    assert (out == 127).all(), "clipped weights keep as much as eight bits hold"


def test_moved_elements_are_counted_one_by_one() -> None:
    before = np.array([[0x12, 0x34]], np.uint8)
    assert count_moved(before, np.array([[0x13, 0x35]], np.uint8), 4) == 2
    assert count_moved(before, np.array([[0x23, 0x34]], np.uint8), 4) == 2
    assert count_moved(before, before, 4) == 0
    assert count_moved(before, np.array([[0x13, 0x34]], np.uint8), 8) == 1


def test_floats_leave_nothing_over(tmp_path: Path, fake_native: None) -> None:
    model = tiny_model(bits=32)
    rec = Recommender.open(write_tiny(tmp_path / "b", model))
    report = rec.finetune(new_pairs(model, 20), epochs=1)
    assert report.moved > 0
    assert rec.state.remainder.size == 0


def test_a_diverging_fine_tune_is_taken_back(tiny_bundle: Path, model: TinyModel) -> None:
    rec = Recommender.open(tiny_bundle)
    before = rec.state
    with pytest.raises(
        LergRuntimeError,
        match=r"made it worse: the loss was 0\.\d+ and is \d+\.\d+ in epoch 1, .* below 1000",
    ):
        rec.finetune(new_pairs(model, 30), epochs=3, learning_rate=1e3)
    assert np.array_equal(rec.state.codebook, before.codebook)
    assert len(rec.state.users) == 0
    report = rec.finetune(new_pairs(model, 30), epochs=3, learning_rate=1e3, force=True)
    assert report.loss_after is not None
    assert report.loss_before is not None
    assert report.loss_after > report.loss_before
    assert not np.array_equal(rec.state.codebook, before.codebook)


def test_a_tenth_of_many_new_ones_is_held_out(tiny_bundle: Path, model: TinyModel) -> None:
    rec = Recommender.open(tiny_bundle)
    pairs = new_pairs(model, 200)
    report = rec.finetune(pairs, epochs=2)
    trainable = 200 - report.untrainable
    assert trainable >= 100
    assert report.held_out == round(0.1 * trainable)
    assert report.epochs[0].triples <= trainable - report.held_out + report.replayed
    assert len(rec.state.users) == 200, "they are stored all the same"
    with pytest.raises(LergRuntimeError, match="the weights stay as they were"):
        Recommender.open(tiny_bundle).finetune(pairs, epochs=3, learning_rate=1e3)


def test_force_is_yes_or_no(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="there are no interactions"):
        Recommender.open(tiny_bundle).finetune([], force=True)


@pytest.mark.parametrize(
    ("count", "which"), [(30, "what was learned from"), (200, "interactions that were held")]
)
def test_what_comes_after_the_last_step_is_looked_at(
    tiny_bundle: Path, model: TinyModel, monkeypatch: pytest.MonkeyPatch, count: int, which: str
) -> None:
    """Any loss that has not fallen by a half is harm here."""
    monkeypatch.setattr(_training, "_MOST_RISE", 0.5)
    rec = Recommender.open(tiny_bundle)
    with pytest.raises(LergRuntimeError, match=f"the loss on {which}"):
        rec.finetune(new_pairs(model, count), epochs=1)
    assert len(rec.state.users) == 0
    assert rec.finetune(new_pairs(model, count), epochs=1, force=True).new_interactions == count
