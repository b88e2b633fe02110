"""The folded model: its slots and tables by definition, its stage, and parts that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lerg_edge.errors import InputError
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.pruning.placeholders import Placeholders

USERS, ITEMS, CODES, DIM = 9, 7, 5, 4


@pytest.fixture
def model() -> FoldedModel:
    rng = np.random.default_rng(0)
    retained = np.arange(USERS + ITEMS) % 3 != 2
    index = np.where(retained, -1, np.arange(USERS + ITEMS) % 2).astype(np.int32)
    kept = int(retained.sum())
    return FoldedModel(
        USERS,
        ITEMS,
        FoldedRows.quantised(
            rng.integers(0, CODES, (kept, 2)), rng.normal(size=(kept, 2)), codebook_rows=CODES
        ),
        rng.normal(size=(CODES, DIM)).astype(np.float32),
        np.full(1, 0.02, np.float32),
        8,
        3,
        retained,
        Placeholders(rng.integers(-9, 9, (4, DIM)).astype(np.int8), np.full(1, 0.1, np.float32), 2, 8, index),
    )


def test_every_entity_has_its_row(model: FoldedModel) -> None:
    quantised = np.clip(np.rint(model.codebook / 0.02), -128, 127) * 0.02
    rest = model.placeholders.codes * 0.1
    rank = 0
    found = np.concatenate(model.entity_rows())
    for entity in range(USERS + ITEMS):
        if model.retained[entity]:
            expected = model.rows.values()[rank] @ quantised[model.rows.codes[rank]]
            rank += 1
        else:
            side = 0 if entity < USERS else 2
            expected = rest[side + model.placeholders.index[entity]]
        np.testing.assert_allclose(found[entity], expected, atol=1e-5)


def test_it_survives_its_stage(model: FoldedModel) -> None:
    again = FoldedModel.from_stage(*model.to_stage())
    for one, other in zip(again.tables(), model.tables(), strict=True):
        assert np.array_equal(one, other)
    assert (again.layers, again.bits, again.codebook_rows) == (3, 8, CODES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 5}, "bits is 5"),
        ({"retained": np.ones(3, bool)}, "retained has 3 entries"),
        ({"retained": np.ones(USERS + ITEMS, bool)}, "placeholder exactly if"),
        ({"codebook": np.zeros((CODES + 1, DIM), np.float32)}, "codebook has 6 rows"),
        ({"codebook": np.zeros((CODES, DIM + 1), np.float32)}, "4 dimensions and the codebook 5"),
        ({"step": np.ones(2, np.float32)}, r"step shape \(2,\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(model: FoldedModel, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(model, **change)


def test_each_retained_entity_has_a_row(model: FoldedModel) -> None:
    retained, index = model.retained.copy(), model.placeholders.index.copy()
    retained[0], index[0] = False, 0
    with pytest.raises(InputError, match=rf"{int(retained.sum())} entities are retained"):
        replace(model, retained=retained, placeholders=replace(model.placeholders, index=index))


def test_a_retained_entity_has_no_placeholder(model: FoldedModel) -> None:
    index = model.placeholders.index.copy()
    index[0] = 0
    with pytest.raises(InputError, match="placeholder exactly if"):
        replace(model, placeholders=replace(model.placeholders, index=index))
