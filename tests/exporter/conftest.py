"""Random models of any shape, and one small exported bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from traced import built, remembered

from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.pruning.rewired_model import RewiredModel

ModelFactory = Callable[..., RewiredModel | FoldedModel]


def random_model(
    *,
    users: int = 60,
    items: int = 50,
    kept_users: int = 40,
    kept_items: int = 35,
    edges: int = 300,
    dim: int = 8,
    codebook_rows: int = 16,
    codes_per_entity: int = 2,
    bits: int = 8,
    layers: int = 3,
    placeholders: tuple[int, int] = (4, 3),
    row_steps: bool = False,
    seed: int = 0,
    entries: int | None = None,
    composition: str = "sum",
) -> RewiredModel | FoldedModel:
    """A model with random weights, graph and selection; some retained entities have no edge.

    With `composition` "blocks" its rows are `codes_per_entity` blocks, each of any of the codes.

    With `entries` it is folded and has so many random codes a row in place of assignment and graph; the first
    row is of zeros.
    """
    rng = np.random.default_rng(seed)
    retained = np.zeros(users + items, bool)
    retained[rng.permutation(users)[:kept_users]] = True
    retained[users + rng.permutation(items)[:kept_items]] = True
    index = np.full(users + items, -1, np.int32)
    for side, count in zip((slice(0, users), slice(users, None)), placeholders, strict=True):
        pruned = ~retained[side]
        index[side][pruned] = rng.integers(0, max(count, 1), int(pruned.sum()))
    high = 2 ** (bits - 1) - 1 if bits < 32 else 1
    kind = {16: np.int16, 32: np.float32}.get(bits, np.int8)
    pairs = rng.choice(kept_users * kept_items, min(edges, kept_users * kept_items), replace=False)
    graph = sparse.csr_matrix(
        (np.ones(len(pairs), np.float32), np.divmod(pairs, kept_items)), shape=(kept_users, kept_items)
    )
    graph.sort_indices()
    codebook = (rng.standard_normal((codebook_rows, dim)) / 10).astype(np.float32)
    step = rng.uniform(0.2, 0.4, codebook_rows if row_steps else 1).astype(np.float32) / high
    step = np.ones(1, np.float32) if bits == 32 else step
    stored = Placeholders(
        rng.integers(-high, high + 1, (sum(placeholders), dim)).astype(kind),
        np.array([1.0 if bits == 32 else 0.5 / high], np.float32),
        placeholders[0],
        bits,
        index,
    )
    if entries is not None:
        kept = kept_users + kept_items
        chosen = np.array([rng.permutation(codebook_rows)[:entries] for _ in range(kept)])
        weights = rng.standard_normal((kept, entries)).astype(np.float32)
        weights[0] = 0
        folded = FoldedRows.quantised(chosen, weights, codebook_rows=codebook_rows)
        return FoldedModel(users, items, folded, codebook, step, bits, layers, retained, stored)
    rows = [rng.permutation(codebook_rows)[:codes_per_entity] for _ in range(users + items)]
    if composition == "blocks":
        rows = list(rng.integers(0, codebook_rows, (users + items, codes_per_entity)))
    return RewiredModel(
        users,
        items,
        np.array(rows, np.int32),
        0.6,
        codebook_rows,
        codebook,
        step,
        bits,
        layers,
        retained,
        graph,
        stored,
        composition,
    )


@pytest.fixture(scope="module", autouse=True)
def _traces_remembered() -> Iterator[None]:
    """Exports of a model that another export has traced already take its program; see `remembered`."""
    from lerg_exporter.programs import trace as programs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "trace", remembered(programs.trace))
        yield


@pytest.fixture
def traced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own exports trace their programs, whoever has before."""
    from lerg_exporter.programs import trace as programs

    monkeypatch.setattr(programs, "trace", programs.trace.__wrapped__)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def make_model() -> ModelFactory:
    """Builds random models, see `random_model`."""
    return random_model


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with test metrics and one epoch of fine-tuning; do not write to it."""
    made = built(text_ids=True, finetune_epochs=1, pruned_users="auto")
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("exported") / "bundle"))
