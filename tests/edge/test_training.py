from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.codes.embedding import compose_rows
from lerg_edge.codes.quantiser import dequantise, quantise
from lerg_edge.data.interactions import IdMap, Interactions
from lerg_edge.data.synthetic import generate
from lerg_edge.errors import InputError
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.training.options import default_batch
from lerg_edge.training.pretraining import (
    EpochReport,
    Pretrained,
    TrainingOptions,
    assign,
    assign_each,
    default_codes,
    pretrain,
    propagated,
    quantised,
    validation_cut,
    without_pruned,
)
from lerg_edge.training.spectral import singular_rows

OPTIONS = TrainingOptions(dim=16, epochs=4, batch=256, negatives=2, patience=4, seed=5)


def _same(first: Pretrained, second: Pretrained) -> None:
    assert first.codebook.tobytes() == second.codebook.tobytes()
    assert first.step.tobytes() == second.step.tobytes()
    assert first.history == second.history
    assert first.best_epoch == second.best_epoch


def _train(interactions: Interactions, options: TrainingOptions = OPTIONS, **kwargs: Any) -> Pretrained:
    return pretrain(interactions, assign(interactions, options, codebook_rows=40), options, **kwargs)


def _full_table(interactions: Interactions, options: TrainingOptions) -> Pretrained:
    each = assign_each(interactions, options, codebook_rows=interactions.user_count + interactions.item_count)
    return pretrain(interactions, each, replace(options, bits=32))


def test_validation_takes_only_from_drawn_users_and_loses_nothing(interactions: Interactions) -> None:
    matrix = interactions.matrix()
    split = validation_cut(matrix, replace(OPTIONS, validation_users=30, validation_share=0.3))
    assert len(split.users) == 30
    assert (split.train + split.held_out != matrix).nnz == 0
    assert split.train.multiply(split.held_out).nnz == 0
    taken, left = np.diff(split.held_out.indptr), np.diff(split.train.indptr)
    assert (np.flatnonzero(taken) == split.users).all()
    assert left[split.users].min() >= 1
    counts = np.diff(matrix.indptr)[split.users]
    np.testing.assert_array_equal(taken[split.users], np.clip(np.rint(0.3 * counts), 1, counts - 1))


def test_same_seed_same_bytes_other_seed_other_bytes(interactions: Interactions) -> None:
    first = _train(interactions)
    _same(first, _train(interactions))
    assert first.codebook.tobytes() != _train(interactions, replace(OPTIONS, seed=6)).codebook.tobytes()


class _Stop(Exception):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize(
    "changes",
    [{"bits": 4}, {"bits": 32}, {"loss": "softmax", "schedule": "cosine"}, {"loss": "in-batch", "layers": 1}],
    ids=["4-bits", "32-bits", "softmax-cosine", "in-batch"],
)
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    interactions: Interactions, tmp_path: Path, changes: dict[str, Any]
) -> None:
    options = replace(OPTIONS, **changes)
    whole = _train(interactions, options)

    def stop(report: EpochReport) -> None:
        if report.epoch in (1, 3):
            raise _Stop

    checkpoint = tmp_path / "deep" / "run"
    for _ in range(2):
        with pytest.raises(_Stop):
            _train(interactions, options, checkpoint=checkpoint, on_epoch=stop)
    seen: list[int] = []
    resumed = _train(
        interactions, options, checkpoint=checkpoint, on_epoch=lambda report: seen.append(report.epoch)
    )
    assert seen == [4]
    _same(whole, resumed)
    _same(whole, _train(interactions, options, checkpoint=checkpoint))


def test_more_epochs_continue_a_finished_run(interactions: Interactions, tmp_path: Path) -> None:
    _train(interactions, replace(OPTIONS, epochs=2), checkpoint=tmp_path / "run")
    _same(_train(interactions), _train(interactions, checkpoint=tmp_path / "run"))


def test_a_falling_rate_cannot_go_on_to_other_epochs(interactions: Interactions, tmp_path: Path) -> None:
    options = replace(OPTIONS, schedule="cosine", epochs=2)
    _train(interactions, options, checkpoint=tmp_path / "run")
    with pytest.raises(InputError, match="other data or options"):
        _train(interactions, replace(options, epochs=4), checkpoint=tmp_path / "run")


def test_a_falling_rate_moves_less_in_the_end(interactions: Interactions) -> None:
    def moved(schedule: Any) -> tuple[float, float]:
        options = replace(OPTIONS, bits=32, validation_share=0.0, schedule=schedule, epochs=6)
        start = _codebook_after(interactions, replace(options, learning_rate=1e-12), 1)
        first, fifth, sixth = (_codebook_after(interactions, options, epochs) for epochs in (1, 5, 6))
        return float(np.abs(first - start).mean()), float(np.abs(sixth - fifth).mean())

    first, last = moved("cosine")
    steady_first, steady_last = moved("constant")
    assert last < 0.2 * first
    assert steady_last > 0.4 * steady_first


def _codebook_after(interactions: Interactions, options: TrainingOptions, epochs: int) -> np.ndarray:
    """The codebook of a run that is stopped after so many epochs, out of its checkpoint."""
    with tempfile.TemporaryDirectory() as folder:

        def stop(report: EpochReport) -> None:
            if report.epoch == epochs:
                raise _Stop

        with pytest.raises(_Stop):
            _train(interactions, options, checkpoint=Path(folder) / "run", on_epoch=stop)
        named = json.loads((Path(folder) / "run.json").read_text())["tensors"]
        return load_file(Path(folder) / named)["codebook"]


def test_a_given_start_is_where_training_begins(interactions: Interactions, tmp_path: Path) -> None:
    start = np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)
    slow = replace(OPTIONS, learning_rate=1e-9, bits=32, epochs=1)
    np.testing.assert_allclose(_train(interactions, slow, start=start).codebook, start, atol=1e-5)
    path = tmp_path / "run"
    _train(interactions, slow, start=start, checkpoint=path)
    with pytest.raises(InputError, match="other data or options"):
        _train(interactions, slow, start=2 * start, checkpoint=path)
    with pytest.raises(InputError, match=r"\(39, 16\)"):
        _train(interactions, slow, start=start[:-1])


def test_power_lost_while_writing_leaves_the_epoch_before(interactions: Interactions, tmp_path: Path) -> None:
    """Whatever the next tensor file looks like, the JSON still names the whole one."""
    path = tmp_path / "run"
    _train(interactions, replace(OPTIONS, epochs=3), checkpoint=path)
    named = json.loads((tmp_path / "run.json").read_text())["tensors"]
    (other,) = {"run-0.safetensors", "run-1.safetensors"} - {named}
    (tmp_path / other).write_bytes(b"half a fi")
    _same(_train(interactions), _train(interactions, checkpoint=path))


def test_damaged_checkpoint_starts_anew_and_says_so(
    interactions: Interactions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run"
    whole = _train(interactions, checkpoint=path)
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    _same(whole, _train(interactions, checkpoint=path))
    assert "run.json" in caplog.text


def test_checkpoint_of_another_run_is_refused(interactions: Interactions, tmp_path: Path) -> None:
    _train(interactions, checkpoint=tmp_path / "run")
    with pytest.raises(InputError, match="other data or options"):
        _train(interactions, replace(OPTIONS, learning_rate=0.1), checkpoint=tmp_path / "run")


def test_training_helps_and_the_best_epoch_is_kept(interactions: Interactions) -> None:
    options = replace(OPTIONS, epochs=25, start="normal", start_scale=0.1, patience=25)
    result = _train(interactions, options)
    scores = [report.ndcg for report in result.history]
    assert scores[result.best_epoch - 1] == max(scores)
    assert result.history[-1].loss < 0.7 * result.history[0].loss
    assert max(scores) > 1.15 * scores[0]
    # The codebook is that epoch's: measured again it gives the score that was reported.
    split = validation_cut(interactions.matrix(), options)
    rows = propagated(result, split.train)
    users = interactions.user_count
    again = evaluate_embeddings(rows[:users], rows[users:], split.train, split.held_out)
    assert again.ndcg == pytest.approx(max(scores), rel=1e-6)


def test_patience_ends_training(interactions: Interactions) -> None:
    result = _train(interactions, replace(OPTIONS, epochs=200, patience=2))
    assert len(result.history) == result.best_epoch + 2


def test_without_validation_the_last_epoch_counts(interactions: Interactions) -> None:
    result = _train(interactions, replace(OPTIONS, validation_share=0.0, patience=1))
    assert result.best_epoch == len(result.history) == OPTIONS.epochs
    assert all(report.ndcg is None and report.best for report in result.history)


def test_propagated_rows_are_the_formula_with_stored_integers(interactions: Interactions) -> None:
    result = _train(interactions)
    matrix = interactions.matrix()
    stored = dequantise(quantise(result.codebook, result.step, bits=result.bits), result.step)
    adjacency = full_adjacency(normalised_bipartite(matrix)).astype(np.float64)
    layer = compose_rows(result.assignment, stored).astype(np.float64)
    total = layer.copy()
    for _ in range(result.layers):
        layer = adjacency @ layer
        total += layer
    np.testing.assert_allclose(propagated(result, matrix), total / (result.layers + 1), rtol=1e-4, atol=1e-6)


def test_steps_per_row(interactions: Interactions) -> None:
    result = _train(interactions, replace(OPTIONS, per_row_steps=True))
    assert result.step.shape == (40,)
    assert len(np.unique(result.step)) > 1
    assert propagated(result, interactions.matrix()).shape == (210, OPTIONS.dim)


def test_full_table_is_one_float_row_an_entity(interactions: Interactions) -> None:
    result = _full_table(interactions, OPTIONS)
    assert result.bits == 32
    assert result.codebook.shape == (210, OPTIONS.dim)
    assert result.step.tolist() == [1.0]


def test_threads_are_put_back(interactions: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    before, calls = torch.get_num_threads(), []
    # Only noted: two threads on a busy core would make this the slowest test.
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    _train(interactions, replace(OPTIONS, epochs=1, threads=before + 1))
    assert calls == [before + 1, before]


def test_starting_rows_are_singular_vectors(interactions: Interactions) -> None:
    matrix = interactions.matrix()
    graph = BipartiteGraph.from_interactions(matrix)
    rows = singular_rows(graph, dim=4, generator=torch.Generator().manual_seed(0)).numpy()
    left, _, right = np.linalg.svd(normalised_bipartite(matrix).toarray().astype(np.float64))
    users = interactions.user_count
    for column in range(4):
        assert abs(rows[:users, column] @ left[:, column]) == pytest.approx(1.0, abs=1e-3)
        assert abs(rows[users:, column] @ right[column]) == pytest.approx(1.0, abs=1e-3)


def test_more_dimensions_than_the_graph_has_rank() -> None:
    tiny = generate(4, 3, 6, communities=1, seed=0)
    result = pretrain(tiny, assign(tiny, OPTIONS, codebook_rows=4), replace(OPTIONS, dim=8, epochs=1))
    assert np.isfinite(result.codebook).all()
    assert result.codebook.shape == (4, 8)


def test_defaults_grow_slower_than_the_graph() -> None:
    assert default_codes(70_839, dim=64, bits=4) == 14_140
    assert default_codes(70_839, dim=64, bits=8) == 7_070
    assert default_codes(10, dim=64, bits=4) == 7
    assert default_batch(810_128) == 65_536
    assert default_batch(1) == 256


def test_an_assignment_of_other_data_is_refused(interactions: Interactions) -> None:
    with pytest.raises(InputError, match="209 rows"):
        pretrain(interactions, identity_assignment(209), OPTIONS)


def test_nothing_to_train_on() -> None:
    nobody = np.zeros(0, np.int32)
    ids = IdMap.from_values([1, 2])
    empty = Interactions(nobody, nobody, ids, ids)
    with pytest.raises(InputError, match="no interactions"):
        pretrain(empty, identity_assignment(4), OPTIONS)


@pytest.mark.parametrize("per_row", [False, True])
def test_rounding_afterwards_is_rounding_and_no_training(interactions: Interactions, per_row: bool) -> None:
    trained = _full_table(interactions, replace(OPTIONS, epochs=1))
    rounded = quantised(trained, bits=8, per_row=per_row)
    assert rounded.codebook.tobytes() == trained.codebook.tobytes()
    assert rounded.step.shape == (210 if per_row else 1,)
    stored = dequantise(quantise(rounded.codebook, rounded.step, bits=8), rounded.step)
    assert np.abs(stored - trained.codebook).max() < 1.5 * rounded.step.max()
    with pytest.raises(InputError, match="has 8 bits already"):
        quantised(rounded, bits=4)


def test_a_full_table_without_the_pruned_has_the_same_rows(interactions: Interactions) -> None:
    trained = quantised(_full_table(interactions, replace(OPTIONS, epochs=1)), bits=4, per_row=True)
    retained = np.arange(210) % 3 != 1
    kept = without_pruned(trained, retained)
    assert (kept.assignment.codebook_rows, kept.codebook.shape, kept.step.shape) == (140, (140, 16), (140,))
    np.testing.assert_array_equal(
        compose_rows(kept.assignment, kept.codebook)[retained], trained.codebook[retained]
    )
    np.testing.assert_array_equal(kept.step, trained.step[retained])
    single = without_pruned(replace(trained, step=trained.step[:1]), retained)
    assert single.step.shape == (1,)


def test_a_full_table_has_a_code_for_each(interactions: Interactions) -> None:
    assert assign_each(interactions, OPTIONS, codebook_rows=210).codes[:, 0].tolist() == list(range(210))
    with pytest.raises(
        InputError, match="codebook_rows is 40; a full table has one for each of the 210 entities"
    ):
        assign_each(interactions, OPTIONS, codebook_rows=40)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_is_refused_without_a_gpu(interactions: Interactions) -> None:
    with pytest.raises(InputError, match="cuda"):
        _train(interactions, replace(OPTIONS, device="cuda"))


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")


@needs_gpu
@pytest.mark.parametrize("start", ["spectral", "normal"])
@pytest.mark.parametrize("bits", [4, 32])
def test_cuda_trains_like_the_cpu(interactions: Interactions, bits: int, start: Any) -> None:
    options = replace(OPTIONS, epochs=2, bits=bits, start=start, per_row_steps=bits == 4)
    first = _train(interactions, replace(options, device="cuda"))
    second = _train(interactions, replace(options, device="cpu"))
    for ours, theirs in zip(first.history, second.history, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-2)
        assert ours.ndcg == pytest.approx(theirs.ndcg, rel=0.1)


@needs_gpu
def test_an_interrupted_run_goes_on_on_a_gpu_and_ends_on_the_cpu(
    interactions: Interactions, tmp_path: Path
) -> None:
    """The device is not part of what a checkpoint belongs to."""
    for epochs, device in ((1, "cuda"), (2, "cuda"), (4, "cpu")):
        options = replace(OPTIONS, epochs=epochs, device=device)  # type: ignore[arg-type]
        result = _train(interactions, options, checkpoint=tmp_path / "run")
        assert len(result.history) == epochs
    assert result.history[-1].loss < result.history[0].loss


@needs_gpu
def test_a_table_on_the_gpu_is_ranked_like_one_on_the_cpu(interactions: Interactions) -> None:
    result = _train(interactions, replace(OPTIONS, epochs=1))
    split = validation_cut(interactions.matrix(), OPTIONS)
    rows = torch.from_numpy(propagated(result, split.train))
    users = interactions.user_count
    found = [
        evaluate_embeddings(table[:users], table[users:], split.train, split.held_out)
        for table in (rows, rows.cuda())
    ]
    assert found[0].ndcg == pytest.approx(found[1].ndcg, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"bits": 5}, "bits"),
        ({"dim": 0}, "dim"),
        ({"dim": 7, "bits": 4}, "dim"),
        ({"layers": -1}, "layers"),
        ({"epochs": 0}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"negatives": 0}, "negatives"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"start_scale": -1.0}, "start_scale"),
        ({"l2": -1.0}, "l2"),
        ({"patience": 0}, "patience"),
        ({"validation_share": 1.0}, "validation_share"),
        ({"validation_users": -1}, "validation_users"),
        ({"seed": -1}, "seed"),
        ({"threads": 0}, "threads"),
        ({"start": "zero"}, "start"),
        ({"loss": "hinge"}, "loss"),
        ({"schedule": "step"}, "schedule"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_options_out_of_range_are_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        TrainingOptions(**values)
