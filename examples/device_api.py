"""The device's Python API in one page: open, recommend, filter, explain, find similar items, learn, save.

    python examples/device_api.py BUNDLE

BUNDLE is what `lerg-export run` wrote. Only numpy, click and this project's wheel are needed.
"""

from __future__ import annotations

import sys

from lerg_runtime import Recommender


def main(bundle: str) -> None:
    # The budget bounds what the bundle may add to this process; too small a one is refused before anything is
    # allocated, with a list of what needs how much.
    with Recommender.open(bundle, memory_budget="64MiB") as recommender:
        user = recommender.user_ids.take([0])[0]

        items, scores = recommender.recommend(user, k=5)
        print(f"five items for {user}:")
        for item, score in zip(items, scores, strict=True):
            print(f"  {score:8.4f}  {item}")

        similar, cosines = recommender.similar_items(items[0], k=3)
        print(
            f"like {items[0]}: "
            + ", ".join(f"{item} ({cosine:.2f})" for item, cosine in zip(similar, cosines, strict=True))
        )

        # Only what is in the shop, and not what is sold out; mappings from user to items do so for each user.
        shop, sold_out = recommender.item_ids[::2], [items[1]]
        found, _ = recommender.recommend(user, k=3, items=shop, exclude=sold_out)
        print(f"in the shop: {', '.join(map(str, found))}")

        why = recommender.explain(user, items[0])
        if len(why.items):
            print(f"{why.shares[0]:.4f} of the {why.score:.4f} of {why.item} is due to {why.items[0]}")

        popular, users = recommender.recommend("somebody new", k=3, on_unknown="popular")
        print(
            "most popular: " + ", ".join(f"{item} ({n:.0f})" for item, n in zip(popular, users, strict=True))
        )

        # The user takes the first and the third: learn it, beside a replay of what the bundle was trained on.
        report = recommender.finetune([(user, items[0]), (user, items[2])], epochs=3, seed=0)
        print("loss by epoch: " + ", ".join(f"{epoch.loss:.4f}" for epoch in report.epochs))

        again, _ = recommender.recommend(user, k=5)
        print(f"now: {', '.join(map(str, again))}")

        # The bundle's state is replaced as a whole: after a power cut it is the old one or the new one.
        recommender.save()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
