"""Frames in, frames out: interactions for an export, and what a bundle recommends.

    python examples/frames.py BUNDLE

BUNDLE is what `lerg-export run` wrote. The frames are of polars here; those of pandas do as well.
"""

from __future__ import annotations

import sys

import polars as pl

from lerg_edge import read_dataset
from lerg_runtime import Recommender, ranking_columns


def main(bundle: str) -> None:
    # On a workstation: a frame is read as a file of the same rows is, and `export` takes what comes of it.
    ratings = pl.DataFrame({"user": ["ann", "ann", "bob"], "movieId": [3, 7, 3], "rating": [5.0, 2.0, 4.0]})
    dataset = read_dataset(ratings, rating_threshold=3.0, split="none", item_titles={3: "Heat", 7: "Alien"})
    low = 0 if dataset.disliked is None else dataset.disliked.pair_count
    print(f"{dataset.train.pair_count} liked, {low} rated low")

    # On a device: rankings become columns, which a frame is made of, and a frame is learned from.
    with Recommender.open(bundle) as recommender:
        users = recommender.user_ids.take([0, 1, 2]).tolist()
        frame = pl.DataFrame(ranking_columns(recommender.recommend(users, k=3), users))
        print(frame)
        report = recommender.finetune(frame.filter(pl.col("rank") == 1), epochs=1)
        print(f"learned from {report.new_interactions} new interactions")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
