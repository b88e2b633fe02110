"""Fine-tuning on bundles with a fake program: what moves, what stays, what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import (
    EpochReport,
    FineTuneProgress,
    InputError,
    LergRuntimeError,
    Recommender,
    UnknownIdError,
)

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture
def rec(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


def unseen_pairs(model: TinyModel, count: int) -> list[tuple[Any, Any]]:
    users, items = np.nonzero(~model.seen())
    chosen = np.random.default_rng(1).choice(len(users), count, replace=False)
    return [(USERS[users[at]], ITEMS[items[at]]) for at in chosen]


def same_weights(one: Recommender, other: Recommender) -> bool:
    return np.array_equal(one.state.codebook, other.state.codebook) and np.array_equal(
        one.state.step, other.state.step
    )


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("per_row", [False, True])
def test_the_loss_falls(tmp_path: Path, bits: int, per_row: bool, fake_native: None) -> None:
    rec = Recommender.open(write_tiny(tmp_path / "b", tiny_model(bits=bits, per_row=per_row)))
    report = rec.finetune(epochs=30, seed=1)
    assert report.losses[-1] < 0.8 * report.losses[0]
    assert len(report.epochs) == 30
    assert report.steps == 30 * -(-report.epochs[0].triples // 32)
    assert np.all(rec.state.step > 0)


def test_sgd_learns_too(rec: Recommender) -> None:
    report = rec.finetune(epochs=10, optimiser="sgd", learning_rate=0.1)
    assert report.losses[-1] < report.losses[0]


def test_quality_rises(rec: Recommender, model: TinyModel) -> None:
    # The planted communities are what there is to learn: unseen items of the own one.
    users, items = np.nonzero(~model.seen() & (np.arange(30)[:, None] % 2 == np.arange(40)[None, :] % 2))
    test = [(USERS[user], ITEMS[item]) for user, item in zip(users, items, strict=True)]
    before = rec.evaluate(test, k=10)
    rec.finetune(epochs=30)
    after = rec.evaluate(test, k=10)
    assert after.ndcg > before.ndcg + 0.1


def test_same_seed_same_result(tiny_bundle: Path, model: TinyModel) -> None:
    first, second, other = (Recommender.open(tiny_bundle) for _ in range(3))
    pairs = unseen_pairs(model, 6)
    assert first.finetune(pairs, seed=4).losses == second.finetune(reversed(pairs), seed=4).losses
    assert same_weights(first, second)
    other.finetune(pairs, seed=5)
    assert not same_weights(first, other)


def test_new_pairs_are_seen_and_counted(rec: Recommender, model: TinyModel) -> None:
    seen = [(USERS[model.pairs[0][0]], ITEMS[model.pairs[1][0]])]
    pairs = unseen_pairs(model, 5)
    report = rec.finetune([*pairs, *pairs, *seen], epochs=1)
    assert (report.new_interactions, report.known_interactions, report.unknown) == (5, 1, 0)
    assert report.replayed == max(4 * 6, 32)
    for user, item in pairs:
        assert item not in rec.recommend(user, k=40)[0].tolist()
    assert len(rec.state.users) == 5
    again = rec.finetune(pairs, epochs=1)
    assert (again.new_interactions, again.known_interactions) == (0, 5)
    assert len(rec.state.users) == 5


@pytest.mark.parametrize("replay", [0, 10, 10**6])
def test_replay_is_as_asked_and_capped(rec: Recommender, model: TinyModel, replay: int) -> None:
    report = rec.finetune(unseen_pairs(model, 3), epochs=1, replay=replay)
    everything = sum(
        bool(model.retained_users[user] or model.retained_items[item])
        for user, item in zip(*model.pairs, strict=True)
    )
    assert report.replayed == min(replay, everything)


def test_pairs_that_teach_nothing_are_still_remembered(rec: Recommender, model: TinyModel) -> None:
    pruned = ~model.retained_users[:, None] & ~model.retained_items[None, :] & ~model.seen()
    pruned_user, pruned_item = (int(part[0]) for part in np.nonzero(pruned))
    before = rec.state
    report = rec.finetune([(USERS[pruned_user], ITEMS[pruned_item])], replay=0)
    assert (report.untrainable, report.steps, report.epochs) == (1, 0, ())
    assert np.array_equal(rec.state.codebook, before.codebook)
    assert ITEMS[pruned_item] not in rec.recommend(USERS[pruned_user], k=40)[0].tolist()


def test_what_is_recommended_is_what_is_saved(tiny_bundle: Path, tmp_path: Path, model: TinyModel) -> None:
    rec = Recommender.open(tiny_bundle)
    original = (tiny_bundle / "state.bin").read_bytes()
    pairs = unseen_pairs(model, 4)
    rec.finetune(pairs, epochs=4)
    items, scores = rec.recommend(USERS, k=15)
    rec.save(tmp_path / "copy")
    assert (tiny_bundle / "state.bin").read_bytes() == original
    rec.save()
    assert (tiny_bundle / "state.bin").read_bytes() == (tmp_path / "copy" / "state.bin").read_bytes()
    for folder in (tiny_bundle, tmp_path / "copy"):
        reopened = Recommender.open(folder)
        assert same_weights(rec, reopened)
        again, points = reopened.recommend(USERS, k=15)
        assert again.tolist() == items.tolist()
        assert np.array_equal(points, scores)
        assert reopened.state.generation == 1
    # And going on from there is the same as never having stopped.
    assert rec.finetune(pairs, seed=9).losses == Recommender.open(tiny_bundle).finetune(pairs, seed=9).losses


def test_saving_over_what_somebody_else_has_saved_is_refused(tiny_bundle: Path, model: TinyModel) -> None:
    first, second = Recommender.open(tiny_bundle), Recommender.open(tiny_bundle)
    pairs = unseen_pairs(model, 2)
    first.finetune(pairs[:1])
    first.save()
    first.save()
    saved = (tiny_bundle / "state.bin").read_bytes()
    second.finetune(pairs[1:])
    with pytest.raises(InputError, match=r"state\.bin was saved by somebody else .* open the bundle again"):
        second.save()
    assert (tiny_bundle / "state.bin").read_bytes() == saved
    third = Recommender.open(tiny_bundle)
    third.finetune(pairs[1:])
    third.save()
    assert len(Recommender.open(tiny_bundle).state.users) == 2


def test_saving_over_something_else_is_refused(rec: Recommender, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    with pytest.raises(InputError, match="exists already"):
        rec.save(tmp_path / "taken")
    with pytest.raises(InputError, match="there is no folder"):
        rec.save(tmp_path / "no" / "such")


def test_progress_is_told_step_by_step(rec: Recommender) -> None:
    told: list[FineTuneProgress] = []
    report = rec.finetune(epochs=2, on_progress=told.append)
    assert len(told) == report.steps
    assert [event.epoch for event in told] == [1] * (len(told) // 2) + [2] * (len(told) // 2)
    assert told[-1].step == told[-1].steps
    assert str(told[0]).startswith(f"epoch 1/2, step 1/{told[0].steps}, loss 0.")


def test_an_epoch_can_be_the_last_and_its_weights_answer(rec: Recommender, tmp_path: Path) -> None:
    answers: list[list[str]] = []

    def on_epoch(report: EpochReport) -> bool:
        answers.append(rec.recommend(USERS[1], k=10)[0].tolist())
        if report.epoch == 3:
            rec.save(tmp_path / "third")
        return report.epoch < 3

    report = rec.finetune(epochs=9, on_epoch=on_epoch, learning_rate=0.05)
    assert (len(report.epochs), report.stopped) == (3, True)
    assert len({tuple(answer) for answer in answers}) > 1
    assert answers[-1] == rec.recommend(USERS[1], k=10)[0].tolist()
    assert same_weights(Recommender.open(tmp_path / "third"), rec)
    assert not rec.finetune(epochs=1, on_epoch=lambda _: False).stopped


def test_fine_tuning_within_fine_tuning_is_refused(rec: Recommender) -> None:
    with pytest.raises(LergRuntimeError, match="being fine-tuned"):
        rec.finetune(epochs=1, on_epoch=lambda _: bool(rec.finetune(epochs=1)))
    rec.finetune(epochs=1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_changes_nothing(rec: Recommender, model: TinyModel, error: type[BaseException]) -> None:
    before, answers = rec.state, rec.recommend(USERS, k=20)
    used = rec.memory[0]

    def fail(event: FineTuneProgress) -> None:
        if event.epoch == 2:
            raise error

    with pytest.raises(error):
        rec.finetune(unseen_pairs(model, 5), epochs=3, on_progress=fail)
    assert np.array_equal(rec.state.codebook, before.codebook)
    assert np.array_equal(rec.state.step, before.step)
    assert len(rec.state.users) == 0
    again = rec.recommend(USERS, k=20)
    assert again[0].tolist() == answers[0].tolist()
    assert np.array_equal(again[1], answers[1])
    assert rec.memory[0] == used


def test_a_loss_that_is_no_number_is_an_error(rec: Recommender) -> None:
    before = rec.state
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            LergRuntimeError, match=r"the loss is (nan|inf) in epoch .* learning rate below 1e\+30"
        ),
    ):
        rec.finetune(epochs=5, learning_rate=1e30)
    assert np.array_equal(rec.state.codebook, before.codebook)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": -1}, "epochs is -1"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"batch": 1}, "batch is 1"),
        ({"batch": 65}, "takes up to 64"),
        ({"replay": -1}, "replay is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"optimiser": "lion"}, "optimiser is 'lion'"),
        ({"optimiser": "sgd"}, "no default learning rate"),
        ({"on_unknown": "ignore"}, "on_unknown is 'ignore'"),
    ],
)
def test_arguments_that_cannot_be(rec: Recommender, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        rec.finetune([(USERS[0], ITEMS[1])], **options)


def test_unknown_ids(rec: Recommender) -> None:
    with pytest.raises(UnknownIdError, match="interaction 1: there is no user 'bob'"):
        rec.finetune([("bob", ITEMS[0])])
    report = rec.finetune([("bob", ITEMS[0]), (USERS[0], ITEMS[1])], epochs=1, on_unknown="skip")
    assert report.unknown == 1


def test_a_user_who_touched_everything_has_no_negatives(rec: Recommender) -> None:
    report = rec.finetune([(USERS[0], item) for item in ITEMS], epochs=2, replay=0)
    assert report.steps == 0
    assert all(epoch.triples == 0 for epoch in report.epochs)
    assert len(rec.recommend(USERS[0], k=40)[0]) == 0
