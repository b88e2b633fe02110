"""People held out of a personal bundle's training: on some it is chosen how, on others it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.errors import InputError
from lerg_edge.histories.newcomers import Newcomers, hold_out_users, ordered_histories
from lerg_edge.histories.rule import Histories
from lerg_exporter.exporting.options import ExportOptions

__all__ = ["People", "parted"]

_SHARE = 0.1
_MOST_PEOPLE = 2_000
_LEAST_PEOPLE = 100
_LEAST_PAIRS = 5


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Who learns, who chooses and who measures; nobody is in two of them.

    Attributes:
        known: pairs that are learned from before anything is chosen.
        learning: these and all pairs of the people who choose, which the bundle is learned from.
        choosing: people that codings and rules are tried on.
        measured: int64 [B], whom the bundle is measured on.
        histories, wanted: of the people that the bundle is measured on, all training pairs and the test
            pairs; nobody where there are no test pairs.
    """

    known: Interactions
    learning: Interactions
    choosing: Newcomers
    measured: np.ndarray
    histories: Histories
    wanted: sparse.csr_matrix


def parted(dataset: Dataset, options: ExportOptions) -> People:
    """Draw who measures and who chooses.

    Raises:
        InputError: nobody is left to learn from.
    """
    train, test = dataset.train, dataset.test
    nobody, users = Histories.of([]), np.empty(0, np.int64)
    histories, wanted = nobody, sparse.csr_matrix((0, train.item_count), dtype=np.float32)
    known, count = train, _people_count(train)
    if test is not None:
        counts = np.bincount(train.users, minlength=train.user_count)
        tested = np.bincount(test.users, minlength=train.user_count) > 0
        eligible = np.flatnonzero((counts >= _LEAST_PAIRS) & tested)
        rng = np.random.default_rng([options.seed, 12])
        users = np.sort(rng.permutation(eligible)[:count])
        histories, wanted = ordered_histories(train, users, rng), test.matrix()[users]
        known = train.subset(~np.isin(train.users, users))
    choosing = hold_out_users(known, seed=options.seed, count=count)
    if not choosing.known.pair_count:
        raise InputError("nobody is left to learn from once people are held out; give more users")
    return People(choosing.known, known, choosing, users, histories, wanted)


def _people_count(train: Interactions) -> int:
    """A tenth of all, but enough to tell something by where there are four times as many."""
    users = len(np.unique(train.users))
    return min(_MOST_PEOPLE, max(round(_SHARE * users), min(_LEAST_PEOPLE, users // 4)))
