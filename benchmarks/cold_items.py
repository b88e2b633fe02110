"""Items that were out of the data altogether: what their features, or their first users, make of them.

    python -m benchmarks.cold_items -o docs/results/cold-items [--seeds 0] [--telling 0.8 0.4 0]

Data of MovieLens 100k's size is generated with genres and years (`generate_features`). A fifth of the items
leaves it before anything is trained: they are neither in the catalogue nor in anybody's history. A bundle is
exported with the features of the others, each hidden item is added to it as a device would, and each user who
touched hidden items is asked: among the hidden items; and in the whole catalogue, how many of the first
twenty places hidden items take, and what that costs on pairs of the other items that were held out. It
trains, so it is run by hand. Nothing is chosen by these figures.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from lerg_edge.data.features import ItemFeatures
from lerg_edge.data.interactions import IdMap, Interactions
from lerg_edge.data.splits import cut
from lerg_edge.data.synthetic import generate, generate_features
from lerg_edge.features.encoding import Encoding
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.pipeline import export
from lerg_runtime import Recommender

__all__ = ["main"]

USERS, ITEMS, PAIRS, COMMUNITIES = 943, 1_682, 100_000, 18
HIDDEN_SHARE = 0.2
FIRST_USERS = (1, 3, 10)
BOOSTS = (0.8, 1.0, 1.2)
K = 20

Wanted = dict[int, set[int]]
"""By user, raw ids of items."""


@dataclass(frozen=True, slots=True, eq=False)
class Cold:
    """A generated set with items taken out of it.

    Attributes:
        whole: everything, and known: what is left, over the items that are left.
        hidden, kept: item indices of `whole`.
        features: of all items.
    """

    whole: Interactions
    known: Interactions
    hidden: np.ndarray
    kept: np.ndarray
    features: ItemFeatures

    @classmethod
    def of(cls, *, telling: float, seed: int) -> Cold:
        whole = generate(USERS, ITEMS, PAIRS, communities=COMMUNITIES, seed=seed)
        features = generate_features(ITEMS, communities=COMMUNITIES, seed=seed, telling=telling)
        touched = np.flatnonzero(np.bincount(whole.items, minlength=ITEMS))
        rng = np.random.default_rng([seed, 7])
        hidden = np.sort(rng.permutation(touched)[: round(HIDDEN_SHARE * ITEMS)])
        kept = np.setdiff1d(np.arange(ITEMS), hidden)
        stays = ~np.isin(whole.items, hidden)
        known = Interactions.from_pairs(
            whole.users[stays],
            np.searchsorted(kept, whole.items[stays]),
            user_ids=whole.user_ids,
            item_ids=IdMap(kept.astype(np.int64)),
        )
        return cls(whole, known, hidden, kept, features)

    def wanted(self) -> Wanted:
        """By user, the hidden items that they touched, as raw ids."""
        found: Wanted = {}
        there = frozenset(self.hidden.tolist())
        for user, item in zip(self.whole.users.tolist(), self.whole.items.tolist(), strict=True):
            if item in there:
                found.setdefault(user, set()).add(item)
        return found

    def given(self, item: int) -> dict[str, object]:
        """The features of an item as a device is given them; empty ones are left out."""
        values = {
            column.name: list(column.texts[item])
            if column.numbers is None
            else float(column.numbers[item, 0])
            for column in self.features.columns
        }
        return {name: value for name, value in values.items() if value != []}


@dataclass(frozen=True, slots=True)
class Row:
    """One way of ranking hidden items.

    Attributes:
        telling, seed: of the data.
        way: what ranks.
        ndcg, recall: at 20, among hidden items alone, of those who touched some.
        share: part of the first twenty places of the whole catalogue that hidden items take; NaN for what
            ranks nothing else.
        others: NDCG@20 of held-out pairs of the other items, in the whole catalogue.
        users: who are asked for hidden items.
    """

    telling: float
    seed: int
    way: str
    ndcg: float
    recall: float
    share: float
    others: float
    users: int


def measured(cold: Cold, folder: Path, *, telling: float, seed: int) -> Iterator[Row]:
    """Every way, on one set."""
    data = cut(cold.known, "ratio", share=0.2, seed=seed)
    bundle = folder / "bundle"
    options = ExportOptions(seed=seed, finetune_epochs=0, newcomers=0)
    report = export(replace(data, features=cold.features.reordered(cold.kept)), bundle, options)
    held_out = _by_user(data.test)
    wanted, hidden = cold.wanted(), cold.hidden.tolist()
    rng = np.random.default_rng([seed, 8])

    def row(way: str, rank: Rank | None, wanted: Wanted, rec: Recommender | None = None) -> Row:
        ndcg = recall = np.nan
        if rank is not None:
            ndcg, recall = np.mean([_ndcg_and_recall(rank(user), wanted[user]) for user in wanted], axis=0)
        share, others = (np.nan, np.nan) if rec is None else _in_catalogue(rec, held_out, hidden)
        return Row(telling, seed, way, float(ndcg), float(recall), float(share), float(others), len(wanted))

    yield row("random", lambda user: rng.permutation(hidden)[:K].tolist(), wanted)
    # Of items that nobody has touched popularity says nothing: all are equal, and come by their ids.
    yield row("popularity", lambda user: hidden[:K], wanted)
    profiles = _profiles(cold, data.train)
    yield row("features alone", lambda user: [hidden[at] for at in profiles[user]], wanted)
    with Recommender.open(bundle) as rec:
        yield row("no new items", None, wanted, rec)
        for boost in BOOSTS if report.manifest.features else ():
            for item in hidden:
                rec.add_item(item, features=cold.given(item), on_unknown="skip", boost=boost)
            yield row(f"map of features, boost {boost:g}", _asked(rec, hidden), wanted, rec)
    for first in FIRST_USERS:
        draw = np.random.default_rng([seed, 9, first])
        left: Wanted = {}
        with Recommender.open(bundle) as rec:
            for item in hidden:
                users = draw.permutation(cold.whole.users[cold.whole.items == item]).tolist()
                rec.add_item(item, users=users[:first])
                for user in users[first:]:
                    left.setdefault(user, set()).add(item)
            yield row(f"first {first} users", _asked(rec, hidden), left, rec)


Rank = Callable[[int], Sequence[int]]
"""The hidden items that a user is given, best first."""


def _asked(rec: Recommender, hidden: list[int]) -> Rank:
    def rank(user: int) -> Sequence[int]:
        found: list[int] = rec.recommend(user, k=K, items=hidden)[0].tolist()
        return found

    return rank


def _in_catalogue(rec: Recommender, held_out: Wanted, hidden: list[int]) -> tuple[float, float]:
    """What hidden items take of the first twenty places of everything, and NDCG@20 of the others."""
    there = set(hidden)
    shares, ndcgs = [], []
    for user, those in held_out.items():
        # What the export held out counts as seen, and is what is asked for here.
        seen = set(rec._open.interactions.of_user(rec.user_ids.index(user)).tolist())
        best = rec.recommend(user, k=K + len(seen), include_seen=True)[0].tolist()
        ranked = [item for item in best if rec.item_ids.index(item) not in seen][:K]
        shares.append(len(there & set(ranked)) / K)
        ndcgs.append(_ndcg_and_recall(ranked, those)[0])
    return float(np.mean(shares)), float(np.mean(ndcgs))


def _by_user(pairs: Interactions) -> Wanted:
    found: Wanted = {}
    users, items = pairs.user_ids.values[pairs.users], pairs.item_ids.values[pairs.items]
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        found.setdefault(user, set()).add(item)
    return found


def _profiles(cold: Cold, train: Interactions) -> np.ndarray:
    """Hidden items by the likeness of their features to the mean of what a user touched: int64 [U, k]."""
    encoding = Encoding.of(cold.features.reordered(cold.kept))
    every = encoding.matrix(cold.features, np.arange(ITEMS))
    every /= np.maximum(np.linalg.norm(every, axis=1, keepdims=True), 1e-12)
    means = train.matrix() @ every[cold.kept]
    order: np.ndarray = np.argsort(-(means @ every[cold.hidden].T), axis=1, kind="stable")[:, :K]
    return order


def _ndcg_and_recall(ranked: Sequence[int], wanted: set[int]) -> tuple[float, float]:
    gains = 1 / np.log2(np.arange(K) + 2)
    hits = [place for place, item in enumerate(ranked[:K]) if item in wanted]
    ideal = gains[: min(K, len(wanted))].sum()
    return float(gains[hits].sum() / ideal), len(hits) / len(wanted)


def main() -> None:
    """Measure and write `results.csv`; print means over seeds as a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--telling", type=float, nargs="+", default=[0.8, 0.4, 0.0])
    given = parser.parse_args()
    rows: list[Row] = []
    for telling in given.telling:
        for seed in given.seeds:
            with tempfile.TemporaryDirectory() as folder:
                cold = Cold.of(telling=telling, seed=seed)
                for row in measured(cold, Path(folder), telling=telling, seed=seed):
                    rows.append(row)
                    print(row, flush=True)
    given.output.mkdir(parents=True, exist_ok=True)
    names = list(Row.__dataclass_fields__)
    with open(given.output / "results.csv", "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_short(getattr(row, name)) for name in names] for row in rows)
    print("\n".join(_table(rows)))


def _table(rows: list[Row]) -> Iterator[str]:
    yield "| telling | ranked by | NDCG@20 | recall@20 | places of the first 20 | NDCG@20 of other items |"
    yield "|---|---|---|---|---|---|"
    for telling, way in dict.fromkeys((row.telling, row.way) for row in rows):
        alike = [row for row in rows if (row.telling, row.way) == (telling, way)]
        figures = (
            np.mean([getattr(row, name) for row in alike]) for name in ("ndcg", "recall", "share", "others")
        )
        shown = ("" if np.isnan(value) else f"{value:.3f}" for value in figures)
        yield f"| {telling:g} | {way} | {' | '.join(shown)} |"


def _short(value: object) -> object:
    return "" if value != value else round(value, 5) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
