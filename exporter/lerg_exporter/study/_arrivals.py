"""Users that arrive after pretraining, over time: held out entirely, then known by more and more pairs.

At step t of T an arrival has touched t/T of its training items, in the order of time where there is one and
else in an order drawn by the seed. It is ranked for by its history alone, as a device would; its later
training items neither count nor take a place, as they are left out of every ranking. Beside it stand the
most touched items, the model that was trained with the arrivals, and peers that are asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from lerg_edge.data.interactions import Dataset, IdMap, Interactions
from lerg_edge.errors import InputError
from lerg_edge.metrics import ranking_metrics
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.pipeline import export
from lerg_exporter.exporting.tuning import RANKING, evaluate
from lerg_exporter.study._data import Source
from lerg_exporter.study._record import Stopwatch, record_of
from lerg_exporter.study._spec import Arrivals
from lerg_exporter.study.peers import Peer, best_peer, check_peers, too_large
from lerg_runtime import Recommender

__all__ = ["Arriving", "arrivals_record", "hold_out"]


@dataclass(frozen=True, slots=True, eq=False)
class Arriving:
    """A data set without some of its users, and these.

    Attributes:
        known: training and test pairs of the users that stay; all items are known.
        users: int64 [a], indices of the arrivals in the whole set.
        histories: for each arrival its training items, int32, in the order in which they come.
        wanted: test pairs of the arrivals, CSR [a, I].
    """

    known: Dataset
    users: np.ndarray
    histories: tuple[np.ndarray, ...]
    wanted: sparse.csr_matrix


def arrivals_record(
    source: Source,
    options: ExportOptions,
    arrivals: Arrivals,
    bundle: Path,
    *,
    fold: tuple[int, int] | None = None,
    work_dir: Path,
    clock: Stopwatch,
) -> dict[str, Any]:
    """Export without the arrivals, serve them step by step, and export with them for comparison.

    Args:
        bundle: where the export without the arrivals is written.
        fold: as `hold_out` takes it.

    Returns:
        The record of that export, with a table `arrivals`.

    Raises:
        InputError: nobody can be held out.
    """
    check_peers(arrivals.peers)
    arriving = hold_out(source.dataset, arrivals, seed=options.seed, fold=fold)
    report = export(arriving.known, bundle, options, work_dir=work_dir, overwrite=True, progress=clock)
    record = record_of(report, source, arriving.known.train, options, clock=clock)
    clock.stage("serving arrivals")
    popular = most_touched(arriving.known.train)
    baseline = _measured(arriving, lambda history, count: popular[:count])
    shares = [step / arrivals.steps for step in range(1, arrivals.steps + 1)]
    with Recommender.open(bundle) as recommender:
        steps = [_step(arriving, recommender, share=share, baseline=baseline) for share in shares]
    clock.stage("peers")
    items = arriving.known.train.item_count
    for name in (name for name in arrivals.peers if not too_large(name, items)):
        peer = best_peer(name, arriving.known.train, dim=options.dim, seed=options.seed)
        for step, share in zip(steps, shares, strict=True):
            step[name] = _measured(arriving, _by_peer(peer, items, share))
    with tempfile.TemporaryDirectory(prefix="lerg-study-") as scratch:
        whole = Path(scratch) / "bundle"
        export(source.dataset, whole, options, work_dir=work_dir, progress=clock)
        trained = _trained_with(source.dataset, arriving.users, whole)
    return {
        **record,
        "arrivals": {"users": len(arriving.users), "steps": steps, "trained": trained},
        "seconds": clock.seconds(),
    }


def hold_out(
    dataset: Dataset, arrivals: Arrivals, *, seed: int, fold: tuple[int, int] | None = None
) -> Arriving:
    """Take a drawn share of the users out of a data set; each has test pairs and at least two to train on.

    Args:
        fold: its number from 1 and how many there are: the users that could be drawn are dealt into so many
            groups, and this one is taken in place of a share.

    Raises:
        InputError: there are no test pairs, or too few such users.
    """
    train, test = dataset.train, dataset.test
    if test is None:
        raise InputError("arrivals are measured on test pairs and there are none; give data with a test set")
    rng = np.random.default_rng([seed, 7])
    counts = np.bincount(train.users, minlength=train.user_count)
    eligible = np.flatnonzero((counts >= 2) & (np.bincount(test.users, minlength=train.user_count) > 0))
    drawn = rng.permutation(eligible)
    if fold is not None:
        number, folds = fold
        if len(eligible) < folds:
            raise InputError(
                f"{len(eligible)} users have test pairs and two pairs to train on, which do not fill {folds} "
                "folds; give fewer"
            )
        return _arriving(dataset, test, np.sort(np.array_split(drawn, folds)[number - 1]), rng)
    count = round(arrivals.share * train.user_count)
    if not 1 <= count <= len(eligible):
        raise InputError(
            f"[arrivals] share is {arrivals.share}, which is {count} users; {len(eligible)} have test pairs "
            "and two pairs to train on, so give a share between one of them and all"
        )
    return _arriving(dataset, test, np.sort(drawn[:count]), rng)


def _arriving(dataset: Dataset, test: Interactions, users: np.ndarray, rng: np.random.Generator) -> Arriving:
    train = dataset.train
    histories = tuple(_ordered(train, user, rng) for user in users)
    known = Dataset(_without(train, users), _without(test, users))
    return Arriving(known, users, histories, test.matrix()[users])


def most_touched(train: Interactions) -> np.ndarray:
    """Item indices by falling number of users, the lower index first among equals."""
    return np.argsort(-np.bincount(train.items, minlength=train.item_count), kind="stable")


def _ordered(train: Interactions, user: int, rng: np.random.Generator) -> np.ndarray:
    first, end = np.searchsorted(train.users, [user, user + 1])
    items = train.items[first:end]
    order = rng.permutation(len(items))
    if train.timestamps is not None:
        order = order[np.argsort(train.timestamps[first:end][order], kind="stable")]
    return items[order]


def _without(pairs: Interactions, users: np.ndarray) -> Interactions:
    """The pairs of the other users, and no trace of these ones in the ids."""
    stays = np.ones(pairs.user_count, bool)
    stays[users] = False
    kept = pairs.subset(stays[pairs.users])
    place = (np.cumsum(stays) - 1).astype(np.int32)
    return replace(kept, users=place[kept.users], user_ids=IdMap(pairs.user_ids.values[stays]))


def _step(
    arriving: Arriving, recommender: Recommender, *, share: float, baseline: dict[str, float]
) -> dict[str, Any]:
    """The arrivals when they are known by a share of their history, at least one pair."""
    # By raw ids: an export has the items in an order of its own.
    raw_ids = arriving.known.train.item_ids.values
    index_of = {raw: index for index, raw in enumerate(raw_ids.tolist())}
    lengths = []

    def rank(history: np.ndarray, count: int) -> np.ndarray:
        known = _known(history, share)
        lengths.append(len(known))
        found, _ = recommender.recommend_from_history(raw_ids[known].tolist(), k=count)
        return np.array([index_of[raw] for raw in found.tolist()], np.int64)

    measured = _measured(arriving, rank)
    return {
        "history_share": share,
        "history": float(np.mean(lengths)),
        "from_history": measured,
        "popularity": baseline,
    }


def _known(history: np.ndarray, share: float) -> np.ndarray:
    """The part of a history that is known at a step, at least one pair."""
    return history[: max(1, round(share * len(history)))]


def _by_peer(peer: Peer, items: int, share: float) -> Callable[[np.ndarray, int], np.ndarray]:
    def rank(history: np.ndarray, count: int) -> np.ndarray:
        known = np.sort(_known(history, share))
        row = sparse.csr_matrix((np.ones(len(known), np.float32), known, [0, len(known)]), shape=(1, items))
        return np.argsort(-peer.scores(row)[0], kind="stable")[:count]

    return rank


def _measured(arriving: Arriving, rank: Callable[[np.ndarray, int], np.ndarray]) -> dict[str, float]:
    """Recall and NDCG of rankings from which every training item of the arrival is left out.

    Args:
        rank: gives item indices, best first, for a whole history and the number of items that are enough.
    """
    catalogue = arriving.wanted.shape[1]
    top = np.full((len(arriving.users), min(RANKING, catalogue)), -1, np.int64)
    for row, history in enumerate(arriving.histories):
        ranked = rank(history, min(catalogue, top.shape[1] + len(history)))
        fresh = ranked[~np.isin(ranked, history)][: top.shape[1]]
        top[row, : len(fresh)] = fresh
    found = ranking_metrics(top, arriving.wanted)
    return {f"ndcg@{RANKING}": found.ndcg, f"recall@{RANKING}": found.recall}


def _trained_with(dataset: Dataset, users: np.ndarray, bundle: Path) -> dict[str, float]:
    """The arrivals in a bundle that was trained with all their pairs."""
    if dataset.test is None:
        raise InputError("arrivals are measured on test pairs and there are none; give data with a test set")
    theirs = dataset.test.subset(np.isin(dataset.test.users, users))
    with Recommender.open(bundle) as recommender:
        found = evaluate(recommender, theirs)
    return {name: found[name] for name in (f"ndcg@{RANKING}", f"recall@{RANKING}")}
