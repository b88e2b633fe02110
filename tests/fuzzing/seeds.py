"""Makes the seeds: one tiny bundle of each kind, zipped, from which mutants are made without torch.

    PYTHONPATH=tests python -m fuzzing.seeds [KIND...]

Make them anew whenever the format or the programs changed: `tests/fuzzing/test_corpus.py` fails until then.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.bundles import SEEDS

USERS, ITEMS, CODES, DIM, PLACES = 12, 10, 6, 8, 4

KINDS: dict[str, dict[str, Any]] = {
    "native-graph-8": {},
    "native-graph-4": {"bits": 4},
    "native-graph-16": {"bits": 16, "per_row": True},
    "native-graph-32": {"bits": 32},
    "native-blocks-8": {"blocks": 2},
    "native-half-8": {"limits": {"layer_storage": "float16"}},
    "native-int8-items": {"limits": {"item_table": "int8"}},
    "native-features-8": {"featured": True},
    "native-folded-8": {"entries": 3, "pruned_users": "history"},
    "native-folded-int8-items": {"entries": 3, "limits": {"item_table": "int8"}},
    "portable-graph-8": {"lowering": "portable"},
    "portable-graph-16": {"lowering": "portable", "bits": 16},
    "portable-folded-4": {"lowering": "portable", "entries": 3, "bits": 4},
    "personal-product-8": {"person": "product"},
    "personal-features-8": {"person": "rows", "featured": True},
    "personal-learning-product-8": {"person": "product", "learns": True},
    "personal-portable-rows-4": {"person": "rows", "lowering": "portable", "bits": 4},
}


def tiny_model(*, bits: int, per_row: bool, blocks: int) -> tuple[Any, Any]:
    """An untrained model of a dozen users and ten items, and their interactions with text and integer ids."""
    from lerg_edge.data.interactions import IdMap
    from lerg_edge.data.synthetic import generate
    from lerg_edge.pruning.placeholders import Placeholders
    from lerg_edge.pruning.rewired_model import RewiredModel

    random = np.random.default_rng(3)
    made = generate(USERS, ITEMS, 40, communities=2, seed=1)
    interactions = replace(
        made,
        user_ids=IdMap.from_values(f"user{number:02d}" for number in range(made.user_count)),
        item_ids=IdMap.from_values(range(100, 100 + made.item_count)),
    )
    users, items = interactions.user_count, interactions.item_count
    retained = np.arange(users + items) % 5 != 4
    anchors = np.concatenate([np.arange(users), np.arange(items)]) % CODES
    second = (anchors + 1 + np.arange(users + items) % 3) % CODES
    half = 1 if bits == 32 else 1 << (bits - 1)
    steps = 0.2 / half * (1 + random.random(CODES if per_row else 1))
    model = RewiredModel(
        user_count=users,
        item_count=items,
        assignment=np.stack([anchors, second], axis=1).astype(np.int32),
        anchor_weight=0.9,
        codebook_rows=CODES,
        codebook=random.normal(scale=0.1, size=(CODES, DIM)).astype(np.float32),
        step=np.ones(1, np.float32) if bits == 32 else steps.astype(np.float32),
        bits=bits,
        layers=2,
        retained=retained,
        graph=interactions.matrix()[retained[:users]][:, retained[users:]].tocsr(),
        placeholders=Placeholders(
            codes=random.integers(-half, half, size=(PLACES, DIM)).astype(
                {16: np.int16, 32: np.float32}.get(bits, np.int8)
            ),
            step=np.array([1.0 if bits == 32 else 0.1 / half], np.float32),
            user_count=PLACES // 2,
            bits=bits,
            index=np.where(retained, -1, random.integers(0, PLACES // 2, users + items)).astype(np.int32),
        ),
        composition="blocks" if blocks else "sum",
    )
    return model, interactions


def folded(model: Any, interactions: Any, *, entries: int) -> Any:
    from lerg_edge.codes.assignment import Assignment
    from lerg_edge.folding.folded_model import FoldedModel
    from lerg_edge.folding.matrix import largest_entries

    assignment = Assignment(model.assignment, model.codebook_rows, model.anchor_weight)
    rows = largest_entries(interactions.matrix(), assignment, layers=model.layers, entries=entries)
    return FoldedModel(
        model.user_count,
        model.item_count,
        rows.take(model.retained),
        model.codebook,
        model.step,
        model.bits,
        model.layers,
        model.retained,
        model.placeholders,
    )


def make(
    folder: Path,
    *,
    bits: int = 8,
    per_row: bool = False,
    blocks: int = 0,
    entries: int = 0,
    lowering: str = "native",
    pruned_users: str = "placeholder",
    limits: dict[str, Any] | None = None,
    person: str = "",
    featured: bool = False,
    learns: bool = False,
) -> None:
    if person:
        make_personal(folder, kind=person, bits=bits, lowering=lowering, featured=featured, learns=learns)
        return
    from lerg_exporter.bundles.write import draft_bundle, write
    from lerg_exporter.programs.limits import ProgramLimits

    model, interactions = tiny_model(bits=bits, per_row=per_row, blocks=blocks)
    if entries:
        model = folded(model, interactions, entries=entries)
    users = 4 if lowering == "native" else 1
    draft = draft_bundle(
        model,
        ProgramLimits(max_batch=16, max_users=users, max_k=5, **(limits or {})),
        lowering=lowering,
    )
    write(
        draft,
        folder,
        interactions=interactions,
        finetune={"learning_rate": 0.02, "batch": 8, "sgd_learning_rate": 0.1},
        serving={"pruned_users": pruned_users},
        packed=False,
        item_features=item_features() if featured else None,
    )
    if featured:
        from lerg_runtime import Recommender

        with Recommender.open(folder) as recommender:
            recommender.add_item(7, features={"genre": "Drama", "year": 1990})
            recommender.add_item(3, users=["user01", "user04"])
            recommender.save()


def item_features() -> Any:
    """A map of a category, a number and a vector."""
    from lerg_runtime.bundle import FeatureColumn, FeatureMap

    random = np.random.default_rng(5)
    columns = (
        FeatureColumn("genre", "category", 2),
        FeatureColumn("year", "number", 1),
        FeatureColumn("text", "vector", 2),
    )
    return FeatureMap(
        columns,
        (("Crime", "Drama"),),
        means=np.array([1990, 0, 0], np.float32),
        deviations=np.array([10, 1, 1], np.float32),
        weights=random.integers(-127, 128, size=(5, DIM)).astype(np.int8),
        scales=np.full(5, 0.002, np.float32),
        offset=random.normal(scale=0.1, size=DIM).astype(np.float32),
    )


def make_personal(
    folder: Path, *, kind: str, bits: int, lowering: str, featured: bool, learns: bool = False
) -> None:
    """A personal bundle of ten items, four of which share two rows, with three items in its history."""
    from lerg_edge.data.interactions import IdMap
    from lerg_edge.histories.rule import HistoryRule
    from lerg_edge.personal.coding import Coding, code_items
    from lerg_edge.personal.model import PersonalModel
    from lerg_exporter.bundles.personal import draft_personal, write_personal
    from lerg_exporter.programs.limits import ProgramLimits
    from lerg_runtime import Recommender

    random = np.random.default_rng(3)
    coding = {"rows": Coding("rows", bits), "product": Coding("product", bits, 2, PLACES)}[kind]
    items = code_items(random.normal(size=(ITEMS - 2, DIM)).astype(np.float32), coding, seed=0)
    slots = np.array([0, 1, 6, 2, 7, 3, 6, 4, 7, 5], np.int32)
    degrees = random.integers(0, 60, ITEMS).astype(np.uint8)
    model = PersonalModel(items, slots, np.array([2, 2]), degrees, HistoryRule(ridge=3.0, half_life=5.0))
    draft = draft_personal(model, ProgramLimits(max_k=5), lowering=lowering, max_history=4, learns=learns)
    ids = [f"item{number}" for number in range(ITEMS)]
    write_personal(
        draft,
        folder,
        item_ids=IdMap.from_values(ids),
        entities=20,
        item_features=item_features() if featured else None,
    )
    with Recommender.open(folder) as recommender:
        if featured:
            recommender.add_item("new", features={"genre": "Drama"})
        recommender.observe(ids[:3], when=1_000)
        if learns:
            recommender.finetune(epochs=1, force=True)
        recommender.save()


def main(kinds: list[str]) -> None:
    SEEDS.mkdir(exist_ok=True)
    for kind in kinds or list(KINDS):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "bundle"
            make(folder, **KINDS[kind])
            with zipfile.ZipFile(SEEDS / f"{kind}.zip", "w", zipfile.ZIP_LZMA) as packed:
                for file in sorted(folder.iterdir()):
                    # Dated alike, so that the same bundle is the same file.
                    packed.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_LZMA)
        print(kind, (SEEDS / f"{kind}.zip").stat().st_size, "bytes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
