"""Other ways of recommending at as many bytes as a bundle takes: how accurate are they?

    python -m benchmarks.peers BUNDLE=DATA ... -o docs/results/peers [--peers cosines ease als bpr binarised]

DATA is a folder with `train.txt` and `test.txt`, and BUNDLE was exported from it. Ids and interactions are
needed by every peer and counted as the bundle stores them; all of its other bytes, programs and manifest too,
are the peer's model. Each model is packed into no more than that, and what is unpacked ranks the whole
catalogue, training pairs left out. Settings are chosen on validation pairs, cut from the training pairs as an
export cuts its own; then the model is made of all training pairs and asked for the test pairs. It trains, so
it is run by hand; rows of bundles that are not named stay in the folder.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from scipy import sparse

from benchmarks.peer_binarised import Binarised
from benchmarks.peer_factors import Als, Bpr
from benchmarks.peer_neighbours import Cosines, Ease
from benchmarks.peer_storage import BundleBytes
from lerg_edge import read_dataset
from lerg_edge.data.interactions import Dataset
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.errors import InputError, LergError
from lerg_edge.metrics import Metrics, per_user_metrics, top_items
from lerg_edge.training.options import TrainingOptions
from lerg_edge.training.pretraining import validation_cut
from lerg_runtime.errors import LergRuntimeError

__all__ = ["PEERS", "Row", "compared", "main", "measured"]

K = 20
_BATCH = 128


class Fitted(Protocol):
    """A model as it is stored."""

    size_bytes: int

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Float [B, I] of user indices [B]."""


class Peer(Protocol):
    """A peer for one matrix of interactions and so many bytes."""

    stages: tuple[dict[str, tuple[Any, ...]], ...]
    """Grids of values by setting: a later one is tried with what is best of the earlier ones."""

    def fit(self, **settings: Any) -> Fitted:
        """A model by one value of each setting."""


PEERS: dict[str, Callable[..., Peer]] = {
    "cosines": Cosines,
    "ease": Ease,
    "als": Als,
    "bpr": Bpr,
    "binarised": Binarised,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one way of recommending comes to.

    Attributes:
        bundle, data: names of the folders.
        way: `bundle`, or a peer.
        settings: those that validation chose, and tried: of how many.
        validation_ndcg: of the chosen ones.
        ndcg, recall: at 20, on the test pairs.
        model_bytes: that the model takes, and total_bytes: with ids and interactions.
        minutes: of processor time, all trials and the last model together.
    """

    bundle: str
    data: str
    way: str
    settings: str
    tried: int
    validation_ndcg: float | str
    ndcg: float
    recall: float
    model_bytes: int
    total_bytes: int
    minutes: float | str


def measured(fitted: Fitted, train: sparse.csr_matrix, wanted: sparse.csr_matrix, *, k: int = K) -> Metrics:
    """Recall and NDCG over the users that have something to find, by the metrics of every export.

    Args:
        train: interactions [U, I] to leave out of the ranking.
        wanted: interactions [U, I] to find.
    """
    users = np.flatnonzero(np.diff(wanted.indptr))
    recall = ndcg = 0.0
    for start in range(0, len(users), _BATCH):
        chosen = users[start : start + _BATCH]
        scores = torch.from_numpy(fitted.scores(chosen))
        seen = train[chosen]
        owners = torch.from_numpy(np.repeat(np.arange(len(chosen)), np.diff(seen.indptr)))
        scores[owners, torch.from_numpy(seen.indices).long()] = -torch.inf
        recalls, ndcgs = per_user_metrics(top_items(scores, k), wanted[chosen])
        recall += float(recalls.sum())
        ndcg += float(ndcgs.sum())
    count = max(1, len(users))
    return Metrics(recall / count, ndcg / count, len(users), k)


def tuned(
    make: Callable[..., Peer],
    split: ValidationSplit,
    budget_bytes: int,
    *,
    seed: int,
    on_trial: Callable[[float, dict[str, Any]], None] | None = None,
) -> list[tuple[float, dict[str, Any]]]:
    """Validation NDCG@20 of all settings that were tried, the best first, of equal ones the earlier.

    Raises:
        InputError: none of them fits the budget.
    """
    peer = make(split.train, budget_bytes, seed=seed)
    refused: InputError | None = None
    trials: list[tuple[float, dict[str, Any]]] = []
    for stage in peer.stages:
        known = [settings for _, settings in trials]
        best = max(trials, key=lambda trial: trial[0])[1] if trials else {}
        for values in product(*stage.values()):
            settings = {**best, **dict(zip(stage, values, strict=True))}
            if settings in known:
                continue
            try:
                fitted = peer.fit(**settings)
            except InputError as error:  # it does not fit; others may
                refused = error
                continue
            ndcg = measured(fitted, split.train, split.held_out).ndcg
            trials.append((ndcg, settings))
            if on_trial:
                on_trial(ndcg, settings)
    if not trials and refused is not None:
        raise refused
    return sorted(trials, key=lambda trial: -trial[0])


def compared(
    dataset: Dataset, budget: BundleBytes, *, bundle: str, data: str, peers: Sequence[str], seed: int
) -> Iterator[Row]:
    """The bundle, and every peer within its bytes; one that the data is too large for is said to stderr.

    Raises:
        InputError: there are no test pairs.
    """
    if dataset.test is None:
        raise InputError(f"{data} has no test pairs; give a folder with test.txt")
    yield Row(
        bundle=bundle,
        data=data,
        way="bundle",
        settings=f"{budget.codes} codes per entity",
        tried=0,
        validation_ndcg="",
        ndcg=budget.ndcg,
        recall=budget.recall,
        model_bytes=budget.model,
        total_bytes=budget.total,
        minutes="",
    )
    train, wanted = dataset.train.matrix(), dataset.test.matrix()
    split = validation_cut(train, TrainingOptions(seed=seed))
    for name in peers:
        began = time.process_time()
        try:
            trials = tuned(PEERS[name], split, budget.model, seed=seed, on_trial=_print_trial)
        except InputError as error:
            print(f"{name} on {data}: {error}", file=sys.stderr, flush=True)
            continue
        best, settings = trials[0]
        fitted = PEERS[name](train, budget.model, seed=seed).fit(**settings)
        found = measured(fitted, train, wanted)
        yield Row(
            bundle=bundle,
            data=data,
            way=name,
            settings=_said(settings),
            tried=len(trials),
            validation_ndcg=best,
            ndcg=found.ndcg,
            recall=found.recall,
            model_bytes=fitted.size_bytes,
            total_bytes=fitted.size_bytes + budget.shared,
            minutes=(time.process_time() - began) / 60,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write `results.csv` and print it as a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", metavar="BUNDLE=DATA")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--peers", nargs="+", choices=tuple(PEERS), default=tuple(PEERS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    table = given.output / "results.csv"
    try:
        for pair in given.sets:
            bundle, _, data = (Path(part) for part in pair.rpartition("="))
            budget, dataset = BundleBytes.of(bundle), read_dataset(data)
            names = {"bundle": bundle.name, "data": data.name}
            for row in compared(dataset, budget, **names, peers=given.peers, seed=given.seed):
                print(row, flush=True)
                _keep(table, row)
    except (LergError, LergRuntimeError) as error:
        sys.exit(f"Error: {error}")
    print("\n".join(_pages(table)))


def _print_trial(ndcg: float, settings: dict[str, Any]) -> None:
    print(f"  {_said(settings)}: validation {ndcg:.4f}", flush=True)


def _said(settings: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in settings.items()
    )


def _keep(table: Path, row: Row) -> None:
    """Put a row into the file, in place of that of the same bundle and way."""
    table.parent.mkdir(parents=True, exist_ok=True)
    rows = _rows(table) if table.exists() else []
    new = {name: _short(value) for name, value in asdict(row).items()}
    at = next((at for at, old in enumerate(rows) if _key(old) == _key(new)), len(rows))
    rows[at : at + 1] = [new]
    beside = table.with_suffix(".part")
    with open(beside, "w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(table)


def _rows(table: Path) -> list[dict[str, Any]]:
    with open(table, newline="") as stream:
        return list(csv.DictReader(stream))


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["bundle"], row["way"]


def _short(value: object) -> object:
    return round(value, 5) if isinstance(value, float) else value


def _pages(table: Path) -> Iterator[str]:
    rows = _rows(table)
    for bundle in dict.fromkeys(row["bundle"] for row in rows):
        yield f"\n{bundle}\n"
        yield "| | NDCG@20 | Recall@20 | bytes of the model | settings tried | chosen |"
        yield "|---|---|---|---|---|---|"
        for row in (row for row in rows if row["bundle"] == bundle):
            figures = f"{float(row['ndcg']):.4f} | {float(row['recall']):.4f} | {int(row['model_bytes']):,}"
            yield f"| {row['way']} | {figures} | {row['tried']} | {row['settings']} |"


if __name__ == "__main__":
    main()
