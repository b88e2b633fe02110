"""The rewired model: slots, tables against a dense oracle, parts that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from lerg_edge.codes.compositions import COMPOSITIONS
from lerg_edge.errors import InputError
from lerg_edge.pruning.placeholders import build_placeholders
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_edge.pruning.rewiring import rewire
from lerg_edge.workdir import WorkDir

USERS, ITEMS, CODES, DIM = 30, 20, 12, 6


def small_model(
    *, per_row: bool = False, bits: int = 8, seed: int = 0, composition: str = "sum"
) -> RewiredModel:
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_matrix((rng.random((USERS, ITEMS)) < 0.2).astype(np.float32))
    retained = rng.random(USERS + ITEMS) < 0.6
    embeddings = rng.normal(size=(USERS + ITEMS, DIM)).astype(np.float32)
    return RewiredModel(
        user_count=USERS,
        item_count=ITEMS,
        assignment=np.argsort(rng.random((USERS + ITEMS, CODES)), axis=1)[:, :3].astype(np.int32),
        anchor_weight=0.8,
        codebook_rows=CODES,
        codebook=rng.normal(size=(CODES, DIM)).astype(np.float32),
        step=np.ones(1, np.float32)
        if bits == 32
        else rng.uniform(0.01, 0.03, CODES if per_row else 1).astype(np.float32),
        bits=bits,
        layers=3,
        retained=retained,
        graph=rewire(matrix, retained, embeddings).matrix,
        placeholders=build_placeholders(embeddings, retained, user_count=USERS, count=7),
        composition=composition,
    )


def test_slots_are_ranks_then_placeholders() -> None:
    model = small_model()
    user_slots, item_slots = model.slots()
    assert user_slots.dtype == item_slots.dtype == np.int32
    kept = model.retained_users
    np.testing.assert_array_equal(user_slots[kept], np.arange(len(kept)))
    pruned = np.flatnonzero(~model.retained[USERS:])
    np.testing.assert_array_equal(
        item_slots[pruned], len(model.retained_items) + model.placeholders.index[USERS:][pruned]
    )


@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize(("bits", "per_row"), [(4, False), (4, True), (8, False), (16, True), (32, False)])
def test_tables_equal_dense_propagation(per_row: bool, bits: int, composition: str) -> None:
    model = small_model(per_row=per_row, bits=bits, composition=composition)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    step = model.step.astype(np.float64).reshape(-1, 1)
    book = np.clip(np.rint(model.codebook / model.step.reshape(-1, 1)), low, high) * step
    book = model.codebook if bits == 32 else book
    rows = np.einsum("ntd,t->nd", book[model.assignment], [0.8, 0.1, 0.1])
    if composition == "blocks":
        parts = [book[model.assignment[:, j], 2 * j : 2 * j + 2] for j in range(3)]
        rows = np.concatenate(parts, axis=1)
    users, items = len(model.retained_users), len(model.retained_items)
    adjacency = np.zeros((users + items, users + items))
    adjacency[:users, users:] = model.graph.toarray()
    adjacency += adjacency.T
    scale = 1 / np.sqrt(np.maximum(adjacency.sum(axis=1), 1))
    layer = total = rows[model.retained]
    for _ in range(3):
        layer = scale[:, None] * (adjacency @ (scale[:, None] * layer))
        total = total + layer
    user_table, item_table = model.tables()
    rest = model.placeholders.codes * model.placeholders.step
    r_u = model.placeholders.user_count
    np.testing.assert_allclose(user_table, np.concatenate([total[:users] / 4, rest[:r_u]]), atol=1e-5)
    np.testing.assert_allclose(item_table, np.concatenate([total[users:] / 4, rest[r_u:]]), atol=1e-5)
    user_rows, item_rows = model.entity_rows()
    assert user_rows.shape == (USERS, DIM)
    assert item_rows.shape == (ITEMS, DIM)
    assert user_rows.dtype == np.float32
    np.testing.assert_array_equal(user_rows[model.retained_users], user_table[:users])


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_a_model_survives_the_work_folder(composition: str, tmp_path: Path) -> None:
    model = small_model(per_row=True, composition=composition)
    work = WorkDir.at(tmp_path)
    tensors, numbers = model.to_stage()
    work.store("rewired", "ab" * 32, tensors=tensors, result=numbers)
    loaded = work.load("rewired", "ab" * 32)
    assert loaded is not None
    again = RewiredModel.from_stage(*loaded)
    for before, after in zip(model.tables(), again.tables(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert (again.graph != model.graph).nnz == 0
    assert again.placeholders.bits == model.placeholders.bits
    assert again.composition == composition


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bits": 5}, "bits is 5"),
        ({"bits": 32}, "32 bits is not quantised; its step must be"),
        ({"assignment": np.zeros((3, 2), np.int32)}, "assignment has 3 rows"),
        ({"retained": np.ones(4, bool)}, "retained has 4"),
        ({"graph": sparse.csr_matrix((2, 2), dtype=np.float32)}, "rewired graph is"),
        ({"codebook_rows": 13}, "codebook has 12 rows"),
        ({"step": np.ones(5, np.float32)}, "step shape"),
        ({"assignment": np.full((USERS + ITEMS, 2), CODES, np.int32)}, "assignment holds a code"),
        ({"codebook": np.zeros((CODES, 4), np.float32)}, "6 dimensions"),
        ({"composition": "product"}, "composition is 'product'; choose sum or blocks"),
        (
            {"composition": "blocks", "assignment": np.zeros((USERS + ITEMS, 4), np.int32)},
            "dim is 6 and a row has 4 blocks",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(small_model(), **changes)


def test_a_retained_entity_has_no_placeholder() -> None:
    model = small_model()
    index = model.placeholders.index.copy()
    index[model.retained.argmax()] = 0
    with pytest.raises(InputError, match="exactly if"):
        replace(model, placeholders=replace(model.placeholders, index=index))
