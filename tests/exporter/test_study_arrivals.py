"""Arrivals: held out without a trace, ranked fairly, and served by a bundle that has never seen them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lerg_edge.data.interactions import Dataset
from lerg_edge.errors import InputError
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_exporter.study import _arrivals, peers
from lerg_exporter.study._arrivals import arrivals_record, hold_out, most_touched
from lerg_exporter.study._data import Source
from lerg_exporter.study._record import Stopwatch
from lerg_exporter.study._spec import PEERS, Arrivals


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset(80, 60, 900, text_ids=True)


def test_arrivals_leave_no_trace(dataset: Dataset) -> None:
    arriving = hold_out(dataset, Arrivals(0.25), seed=3)
    train = dataset.train
    assert len(arriving.users) == 20
    gone = set(train.user_ids.values[arriving.users].tolist())
    known = arriving.known.train
    assert set(known.user_ids.values.tolist()) == set(train.user_ids.values.tolist()) - gone
    assert known.item_ids is train.item_ids

    # Nothing else has changed: the pairs of the others, by raw ids, and the histories of the arrivals.
    def pairs(part):  # type: ignore[no-untyped-def]
        return set(zip(part.user_ids.values[part.users], part.items.tolist(), strict=True))

    whole = pairs(train)
    assert pairs(known) == {pair for pair in whole if pair[0] not in gone}
    for user, history in zip(arriving.users, arriving.histories, strict=True):
        raw = train.user_ids.values[user]
        assert {(raw, item) for item in history.tolist()} == {pair for pair in whole if pair[0] == raw}
    assert arriving.known.test is not None
    assert dataset.test is not None
    assert arriving.known.test.pair_count + arriving.wanted.nnz == dataset.test.pair_count
    assert len(arriving.known.test.user_ids) == 60


def test_the_draw_is_the_seeds(dataset: Dataset) -> None:
    first, again, other = (hold_out(dataset, Arrivals(0.25), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.users, again.users)
    for one, two in zip(first.histories, again.histories, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.users, other.users)


def test_history_follows_time_where_there_is_one(dataset: Dataset) -> None:
    from dataclasses import replace

    train = dataset.train
    times = np.random.default_rng(0).permutation(train.pair_count).astype(np.int64)
    arriving = hold_out(replace(dataset, train=replace(train, timestamps=times)), Arrivals(0.25), seed=3)
    when = {(int(u), int(i)): int(t) for u, i, t in zip(train.users, train.items, times, strict=True)}
    for user, history in zip(arriving.users.tolist(), arriving.histories, strict=True):
        moments = [when[user, item] for item in history.tolist()]
        assert moments == sorted(moments)


def test_training_items_neither_count_nor_take_a_place(dataset: Dataset) -> None:
    """A ranking of all training items first and the wanted ones next is perfect."""
    arriving = hold_out(dataset, Arrivals(0.25), seed=3)
    wanted = iter(arriving.wanted[row].indices for row in range(20))

    def perfect(history: np.ndarray, count: int) -> np.ndarray:
        found = np.concatenate([history, next(wanted)])
        rest = np.setdiff1d(np.arange(60), found)
        return np.concatenate([found, rest])[:count]

    found = _arrivals._measured(arriving, perfect)
    assert found == {"ndcg@20": pytest.approx(1.0), "recall@20": pytest.approx(1.0)}
    nothing = _arrivals._measured(arriving, lambda history, count: history)
    assert set(nothing.values()) == {0.0}


def test_most_touched_first() -> None:
    train = small_dataset(30, 20, 200).train
    counts = np.bincount(train.items, minlength=20)
    order = most_touched(train)
    assert sorted(order.tolist()) == list(range(20))
    assert (np.diff(counts[order]) <= 0).all()


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_share_of_nobody_or_of_more_than_there_are(dataset: Dataset, share: float) -> None:
    small = Dataset(dataset.train, dataset.test.subset(dataset.test.users < 40)) if dataset.test else dataset
    with pytest.raises(InputError, match="share is"):
        hold_out(small, Arrivals(share), seed=0)


@pytest.mark.native
def test_arrivals_are_served_step_by_step(dataset: Dataset, tmp_path: Path) -> None:
    options = ExportOptions(
        bits=8,
        dim=16,
        codebook_rows=40,
        placeholders=8,
        batch=128,
        epochs=15,
        finetune_epochs=0,
        device="cpu",
    )
    found = arrivals_record(
        Source("tiny", dataset, "digest"),
        options,
        Arrivals(0.25, 2, ("cosines", "ease")),
        tmp_path / "bundle",
        work_dir=tmp_path / "work",
        clock=Stopwatch(Silent()),
    )
    arrivals = found["arrivals"]
    assert arrivals["users"] == 20
    assert found["data"]["users"] == found["model"]["users"] == 60
    assert [step["history_share"] for step in arrivals["steps"]] == [0.5, 1.0]
    half, whole = arrivals["steps"]
    assert 1 < half["history"] < whole["history"]
    assert half["popularity"] == whole["popularity"]
    # Communities of taste are planted in this set: whoever knows the history does better than who does not.
    assert whole["from_history"]["ndcg@20"] > whole["popularity"]["ndcg@20"] > 0
    for peer in ("cosines", "ease"):
        assert whole[peer]["ndcg@20"] > whole["popularity"]["ndcg@20"]
    assert "als" not in whole
    assert 0 < arrivals["trained"]["ndcg@20"] <= 1
    assert {"profiling", "serving arrivals", "all"} <= set(found["seconds"])


def test_folds_of_users_are_everybody_once(dataset: Dataset) -> None:
    parts = [hold_out(dataset, Arrivals(), seed=3, fold=(number, 4)).users for number in (1, 2, 3, 4)]
    together = np.concatenate(parts)
    assert len(together) == len(np.unique(together))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    train, test = dataset.train, dataset.test
    assert test is not None
    could = (np.bincount(train.users, minlength=80) >= 2) & (np.bincount(test.users, minlength=80) > 0)
    assert sorted(together.tolist()) == np.flatnonzero(could).tolist()
    with pytest.raises(InputError, match="do not fill 81 folds"):
        hold_out(dataset, Arrivals(), seed=3, fold=(1, 81))


def test_peers_score_by_their_definitions(dataset: Dataset) -> None:
    train = dataset.train
    matrix, dense = train.matrix(), train.matrix().toarray().astype(np.float64)
    histories = matrix[:7]
    lengths = np.sqrt(np.maximum(dense.sum(0), 1))
    cosines = dense.T @ dense / np.outer(lengths, lengths)
    found = peers.best_peer("cosines", train, dim=8, seed=0).scores(histories)
    np.testing.assert_allclose(found, dense[:7] @ cosines, rtol=1e-5)
    # Of all weights with nothing on the diagonal those of EASE have the least penalised squared error.
    weights = peers.ease_weights(matrix, 50.0)
    gradient = dense.T @ (dense @ weights - dense) + 50.0 * weights
    np.fill_diagonal(gradient, 0.0)
    assert np.diag(weights).tolist() == [0.0] * 60
    np.testing.assert_allclose(gradient, 0.0, atol=1e-8)


@pytest.mark.parametrize("name", PEERS)
def test_peers_rank_for_who_is_unknown(dataset: Dataset, name: str) -> None:
    if name == "als":
        pytest.importorskip("implicit")
    arriving = hold_out(dataset, Arrivals(0.25), seed=3)
    train = arriving.known.train
    popular = most_touched(train)
    untold = _arrivals._measured(arriving, lambda history, count: popular[:count])
    peer = peers.best_peer(name, train, dim=8, seed=0)
    told = _arrivals._measured(arriving, _arrivals._by_peer(peer, 60, 1.0))
    assert told["ndcg@20"] > untold["ndcg@20"]
    half = _arrivals._measured(arriving, _arrivals._by_peer(peer, 60, 0.5))
    assert half != told


def test_peers_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    peers.check_peers(("cosines", "ease"))
    with pytest.raises(InputError, match="als, which needs implicit; install it"):
        peers.check_peers(("als",))
    assert peers.too_large("ease", 40_981)
    assert not peers.too_large("cosines", 40_981)
