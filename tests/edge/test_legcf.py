"""LEGCF's closed form where its answer is provable, and its turns of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lerg_edge.assigning.legcf import pretrain, updated_assignment
from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.embedding import compose_rows
from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import InputError
from lerg_edge.training.options import EpochReport, TrainingOptions
from lerg_edge.training.pretraining import assign
from lerg_edge.training.pretraining import pretrain as pretrain_once

OPTIONS = TrainingOptions(dim=16, epochs=8, batch=256, negatives=2, patience=3, seed=5)


def _random_assignment(entities: int, codebook_rows: int, codes_per_entity: int) -> Assignment:
    rng = np.random.default_rng(0)
    rows = np.array([rng.permutation(codebook_rows)[:codes_per_entity] for _ in range(entities)], np.int32)
    return Assignment(rows, codebook_rows, 0.7)


def test_independent_codes_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With c <= d and E of full rank E E^+ = I, so H = S E gives S' = S."""
    monkeypatch.setattr("lerg_edge.assigning.legcf._SCORES_AT_ONCE", 70)
    before = _random_assignment(50, 7, 3)
    codebook = np.random.default_rng(1).standard_normal((7, 9)).astype(np.float32)
    rows = compose_rows(before, codebook)
    after = updated_assignment(rows, codebook, codes_per_entity=3, anchor_weight=0.7)
    assert (after.codebook_rows, after.anchor_weight, after.codes.dtype) == (7, 0.7, np.int32)
    np.testing.assert_array_equal(after.codes[:, 0], before.codes[:, 0])
    # The two others weigh the same, so their order says nothing.
    np.testing.assert_array_equal(np.sort(after.codes, axis=1), np.sort(before.codes, axis=1))


def test_rows_come_nearest_to_codes_in_the_codebooks_own_metric() -> None:
    """With c > d, S' = H (E^T E)^-1 E^T: the direction that the codebook is short in counts for more."""
    codebook = np.array([[10, 0], [0, 1], [7, 0.1], [0.5, 0.9]], np.float32)
    rows = np.array([[10, 0], [0, 1], [1, 1]], np.float32)
    scores = rows.astype(np.float64) @ np.linalg.inv(codebook.T @ codebook.astype(np.float64)) @ codebook.T
    found = updated_assignment(rows, codebook, codes_per_entity=2, anchor_weight=0.6)
    np.testing.assert_array_equal(found.codes, np.argsort(-scores, axis=1)[:, :2])
    assert found.codes[2, 0] in (1, 3)  # by the plain product with the codes it would be 0


@pytest.mark.parametrize("codes_per_entity", [0, 5])
def test_more_codes_than_there_are_are_refused(codes_per_entity: int) -> None:
    with pytest.raises(InputError, match=f"codes_per_entity is {codes_per_entity}"):
        updated_assignment(np.ones((3, 2), np.float32), np.ones((4, 2), np.float32),
                           codes_per_entity=codes_per_entity, anchor_weight=0.6)  # fmt: skip


@pytest.mark.parametrize("bits", [8, 32])
def test_turns_share_the_epochs_and_keep_the_best(interactions: Interactions, bits: int) -> None:
    options = replace(OPTIONS, bits=bits)
    start = assign(interactions, options, codebook_rows=40, auxiliaries="random")
    seen: list[EpochReport] = []
    found = pretrain(interactions, start, options, on_epoch=seen.append)
    assert found.history == tuple(seen)
    assert [report.epoch for report in seen] == list(range(1, len(seen) + 1))
    assert 4 < len(seen) <= 8
    scores = [report.ndcg or 0.0 for report in seen]
    assert found.best_epoch == 1 + int(np.argmax(scores))
    assert [report.best for report in seen] == [
        score > max([-1.0, *scores[:number]]) for number, score in enumerate(scores)
    ]
    # The first turn is plain training of the METIS start.
    plain = pretrain_once(interactions, start, replace(options, epochs=4))
    assert found.history[: len(plain.history)] == plain.history
    changed = (found.assignment.codes != start.codes).any()
    assert changed == (found.best_epoch > 4)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    interactions: Interactions, tmp_path: Path
) -> None:
    start = assign(interactions, OPTIONS, codebook_rows=40)
    whole = pretrain(interactions, start, OPTIONS)

    def stop(report: EpochReport) -> None:
        if report.epoch in (2, 6):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            pretrain(interactions, start, OPTIONS, checkpoint=tmp_path / "run", on_epoch=stop)
    resumed = pretrain(interactions, start, OPTIONS, checkpoint=tmp_path / "run")
    assert resumed.codebook.tobytes() == whole.codebook.tobytes()
    assert resumed.assignment.codes.tobytes() == whole.assignment.codes.tobytes()
    assert resumed.history == whole.history


def test_a_single_epoch_leaves_no_room_for_an_update(interactions: Interactions) -> None:
    start = assign(interactions, OPTIONS, codebook_rows=40)
    found = pretrain(interactions, start, replace(OPTIONS, epochs=1))
    assert len(found.history) == found.best_epoch == 1
    assert found.assignment is start
