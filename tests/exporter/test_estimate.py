"""The estimate before training bounds what a bundle takes, and not by much."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerg_edge.data.interactions import Interactions
from lerg_edge.data.synthetic import generate
from lerg_edge.data.titles import ItemTitles
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.bundles.estimate import FIXED, MARGIN, DataSizes, bundle_bytes, estimated_plan
from lerg_exporter.bundles.write import draft_bundle, write
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_exporter.programs.choice import programs_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime import Recommender

# A batch that outweighs the codebook, a codebook that outweighs the batch, and a wide one.
CASES: dict[str, dict[str, Any]] = {
    "large batch": {"dim": 64, "codebook_rows": 300, "batch": 2048, "bits": 4},
    "large codebook": {"dim": 32, "codebook_rows": 3000, "batch": 256, "bits": 8},
    "many dimensions": {"dim": 128, "codebook_rows": 900, "batch": 512, "bits": 16},
    "blocks": {
        "dim": 64,
        "codebook_rows": 256,
        "batch": 512,
        "bits": 8,
        "composition": "blocks",
        "codes_per_entity": 8,
    },
    "many blocks": {
        "dim": 96,
        "codebook_rows": 1000,
        "batch": 512,
        "bits": 4,
        "composition": "blocks",
        "codes_per_entity": 32,
    },
    "int8 items": {"dim": 48, "codebook_rows": 900, "batch": 256, "bits": 8, "item_table": "int8"},
    "float16 layers": {"dim": 128, "codebook_rows": 900, "batch": 512, "bits": 8, "layer_storage": "float16"},
    "full table of floats": {
        "dim": 64,
        "codebook_rows": 3500,
        "codes_per_entity": 1,
        "batch": 512,
        "bits": 32,
    },
    "full table of rows": {
        "dim": 64,
        "codebook_rows": 3500,
        "codes_per_entity": 1,
        "batch": 512,
        "bits": 8,
        "row_steps": True,
    },
    "no layers": {"dim": 64, "codebook_rows": 900, "batch": 512, "bits": 8, "layers": 0, "edges": 0},
    "folded, large batch": {"dim": 64, "codebook_rows": 300, "batch": 2048, "bits": 4, "entries": 8},
    "folded, large codebook": {"dim": 40, "codebook_rows": 3000, "batch": 256, "bits": 8, "entries": 16},
    "folded, many dimensions": {"dim": 128, "codebook_rows": 900, "batch": 512, "bits": 16, "entries": 4},
}
_NATIVE_ONLY = {"item_table", "layer_storage"}
USERS, ITEMS, PAIRS = 3000, 2000, 40_000


@pytest.fixture(scope="module")
def train() -> Interactions:
    return generate(USERS, ITEMS, PAIRS, communities=8, seed=1)


@pytest.mark.native
@pytest.mark.parametrize(
    ("case", "lowering"),
    [(case, "native") for case in CASES]
    + [(case, "portable") for case, sizes in CASES.items() if not _NATIVE_ONLY & sizes.keys()],
)
def test_estimate_bounds_the_bundle(
    case: str, lowering: str, train: Interactions, make_model: Callable[..., RewiredModel], tmp_path: Path
) -> None:
    sizes = dict(CASES[case])
    storage = {name: sizes.pop(name) for name in ("item_table", "layer_storage") if name in sizes}
    users = 1 if lowering == "portable" else 64
    limits = ProgramLimits(max_batch=sizes.pop("batch"), max_users=users, **storage)
    model = make_model(
        users=USERS,
        items=ITEMS,
        kept_users=2100,
        kept_items=1400,
        placeholders=(100, 60),
        **{"edges": PAIRS, **sizes},
    )
    draft = draft_bundle(model, limits, lowering=lowering)
    write(draft, tmp_path / "bundle", interactions=train, finetune={"learning_rate": 0.01})
    with Recommender.open(tmp_path / "bundle") as recommender:
        actual, manifest = recommender.plan(), recommender.manifest
    data = DataSizes.of(train)
    expected = estimated_plan(manifest.model, data, lowering=lowering, propagation=model.propagation)
    for phase in actual.phases:
        found, bound = phase.total_bytes, expected.phase(phase.name).total_bytes
        assert found <= bound <= (1 + MARGIN) * found + FIXED, phase.name
    if lowering == "native":  # the kernels say what they take, and the device takes it
        asked = programs_of(lowering, model.propagation).sizes(manifest.model).methods
        for spec in manifest.programs:
            assert asked[spec.method].scratch == spec.scratch_bytes, spec.method
    stored, bound = (
        manifest.document["storage"]["bundle_bytes"],
        sum(bundle_bytes(manifest.model, data, lowering=lowering, propagation=model.propagation).values()),
    )
    assert stored <= bound <= (1 + MARGIN) * stored + FIXED


def test_a_rewired_graph_has_no_more_edges_than_stated(train: Interactions) -> None:
    from lerg_edge.pruning.rewiring import rewire

    data = DataSizes.of(train)
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((USERS + ITEMS, 4)).astype(np.float32)
    for share in (0.9, 0.5, 0.1):
        retained = rng.random(USERS + ITEMS) < share
        graph = rewire(train.matrix(), retained, embeddings).matrix
        assert graph.nnz <= data.most_edges(*graph.shape)
    assert data.most_edges(USERS, ITEMS) == PAIRS


def test_titles_are_counted_as_a_device_counts_them() -> None:
    train = small_dataset(60, 50, 600).train
    titles = ItemTitles(tuple(f"Film {item}" if item % 3 else None for item in range(train.item_count)))
    plain, named = DataSizes.of(train), DataSizes.of(train, titles=titles)
    text = sum(len(title or "") for title in titles.texts)
    assert named.stored.title_bytes == (text, 4 * (train.item_count + 1))
    assert plain.stored.title_bytes == ()
    assert plain.entity_file_bytes < named.entity_file_bytes < plain.entity_file_bytes + text + 200
    assert DataSizes.of(train, titles=ItemTitles((None,) * train.item_count)).stored.title_bytes == ()
