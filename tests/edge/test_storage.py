"""Embedding storage and propagation cost, counted by hand."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import sparse

from lerg_edge.codes.widths import packed_bytes, unsigned_bytes
from lerg_edge.errors import InputError
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_edge.storage import embedding_storage, propagation_cost


def model(*, codebook_rows: int = 300, dim: int = 64, bits: int = 8, per_row: bool = False) -> RewiredModel:
    """1,000 users, 700 retained, 20 placeholders; 500 items, 350 retained, 300 placeholders."""
    retained = np.zeros(1_500, bool)
    retained[:700] = retained[1_000:1_350] = True
    index = np.full(1_500, -1, np.int32)
    index[700:1_000] = np.arange(300) % 20
    index[1_350:] = np.arange(150) * 2
    return RewiredModel(
        user_count=1_000,
        item_count=500,
        assignment=np.zeros((1_500, 2), np.int32),
        anchor_weight=0.9,
        codebook_rows=codebook_rows,
        codebook=np.zeros((codebook_rows, dim), np.float32),
        step=np.ones(codebook_rows if per_row else 1, np.float32),
        bits=bits,
        layers=3,
        retained=retained,
        graph=sparse.csr_matrix(np.eye(700, 350, dtype=np.float32)),
        placeholders=Placeholders(np.zeros((320, dim), np.int8), np.ones(1, np.float32), 20, 8, index),
    )


def test_every_item_is_counted() -> None:
    report = embedding_storage(model())
    assert asdict(report.items) == {
        "codebook": 300 * 64,
        "codebook_steps": 4,
        "assignment": 1_050 * 2 * 2,
        "assignment_weights": 0,
        "placeholders": 320 * 64,
        "placeholder_step": 4,
        "placeholder_indices": 300 * 1 + 150 * 2,
    }
    assert report.embedding_bytes == sum(asdict(report.items).values())
    assert report.baseline_bytes == 1_500 * 128 * 4
    assert report.share == report.embedding_bytes / report.baseline_bytes
    assert embedding_storage(model(), reference_dim=64).baseline_bytes == 1_500 * 64 * 4


def test_entries_of_folded_rows_are_counted_in_place_of_the_assignment() -> None:
    graph = model()
    rows = FoldedRows.quantised(
        np.zeros((1_050, 9), np.int32), np.ones((1_050, 9), np.float32), codebook_rows=300
    )
    folded = FoldedModel(
        1_000, 500, rows, graph.codebook, graph.step, 8, 3, graph.retained, graph.placeholders
    )
    items = embedding_storage(folded).items
    assert items.assignment == 1_050 * 9 * 2
    assert items.assignment_weights == 1_050 * 9 + 1_050 + 256 * 4
    assert items.placeholders == embedding_storage(graph).items.placeholders
    cost = propagation_cost(folded, full_edges=10_000)
    assert cost == {"full": 2 * 10_000 * 64 * 3, "folded": 1_050 * 9 * 64}


def test_blocks_take_a_byte_for_each_of_256_codes_and_no_weights() -> None:
    """256 rows of 64 integers are all there is to 8 blocks of 8: 256 entries each."""
    codes = np.random.default_rng(0).integers(0, 256, (1_500, 8)).astype(np.int32)
    blocks = replace(model(codebook_rows=256), assignment=codes, composition="blocks")
    items = embedding_storage(blocks).items
    assert (items.codebook, items.assignment, items.assignment_weights) == (256 * 64, 1_050 * 8, 0)
    cost = propagation_cost(blocks, full_edges=10_000)
    assert cost["rewired"] == 350 * 2 * 64 * 3


def test_bits_steps_and_small_codebooks_are_counted() -> None:
    assert embedding_storage(model(bits=4)).items.codebook == 300 * 32
    assert embedding_storage(model(bits=16)).items.codebook == 300 * 128
    assert embedding_storage(model(per_row=True)).items.codebook_steps == 1_200
    assert embedding_storage(model(codebook_rows=256)).items.assignment == 1_050 * 2
    whole = model()
    everyone = replace(
        whole,
        retained=np.ones(1_500, bool),
        graph=sparse.csr_matrix((1_000, 500), dtype=np.float32),
        placeholders=replace(
            whole.placeholders,
            codes=np.zeros((0, 64), np.int8),
            user_count=0,
            index=np.full(1_500, -1, np.int32),
        ),
    )
    items = embedding_storage(everyone).items
    assert (items.placeholders, items.placeholder_step, items.placeholder_indices) == (0, 0, 0)


def test_a_full_table_has_no_indices_and_floats_take_four_bytes() -> None:
    whole = model(codebook_rows=1_050)
    codes = np.zeros((1_500, 1), np.int32)
    codes[whole.retained, 0] = np.arange(1_050)
    full = replace(whole, assignment=codes, bits=32)
    items = embedding_storage(full).items
    assert (items.assignment, items.codebook, items.codebook_steps) == (0, 1_050 * 64 * 4, 4)
    # One code each, but not in their order: who has which has to be stored.
    assert embedding_storage(replace(full, assignment=codes[::-1].copy())).items.assignment == 1_050 * 2
    places = replace(whole.placeholders, codes=np.zeros((320, 64), np.float32), bits=32)
    assert embedding_storage(replace(whole, placeholders=places)).items.placeholders == 320 * 64 * 4


@pytest.mark.parametrize(
    ("count", "size"),
    [(0, 0), (1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4), (2**32, 4), (2**32 + 1, 8)],
)
def test_indices_take_the_smallest_type(count: int, size: int) -> None:
    assert unsigned_bytes(count) == size


def test_rows_begin_at_a_byte() -> None:
    assert packed_bytes(3, 5, bits=4) == 9
    assert packed_bytes(3, 5, bits=16) == 30


def test_macs_count_every_edge_both_ways() -> None:
    cost = propagation_cost(model(), full_edges=10_000)
    assert cost["full"] == 10_000 * 2 * 64 * 3
    assert cost["rewired"] == 350 * 2 * 64 * 3


def test_a_baseline_without_dimensions_is_refused() -> None:
    with pytest.raises(InputError, match="reference_dim is 0"):
        embedding_storage(model(), reference_dim=0)
