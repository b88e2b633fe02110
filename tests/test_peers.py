"""Peers of a bundle: packed as said, within its bytes, and scored as a dense model of what is kept would."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from traced import built

from benchmarks import peer_binarised
from benchmarks.peer_binarised import Binarised
from benchmarks.peer_factors import Als, Bpr, Rows
from benchmarks.peer_neighbours import Cosines, Ease
from benchmarks.peer_storage import (
    BundleBytes,
    StoredLists,
    StoredRows,
    columns_that_fit,
    neighbours_that_fit,
    packed,
    packed_size,
    unpacked,
)
from benchmarks.peers import PEERS, compared, main, measured, tuned
from lerg_edge.data.interactions import Dataset
from lerg_edge.data.splits import cut
from lerg_edge.data.synthetic import generate
from lerg_edge.data.validation import cut_validation
from lerg_edge.errors import InputError
from lerg_edge.metrics import evaluate_embeddings

BUNDLE = BundleBytes(total=5_000, shared=1_000, ndcg=0.1, recall=0.2, codes=14)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return cut(generate(70, 50, 900, communities=4, seed=1), "ratio", share=0.2, seed=1)


def random_matrix(seed: int, shape: tuple[int, int] = (9, 7)) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.random.default_rng(seed).random(shape) < 0.5).astype(np.float32))


@pytest.mark.parametrize("width", [1, 3, 8, 13])
def test_what_is_packed_is_unpacked(width: int) -> None:
    values = np.random.default_rng(width).integers(0, 2**width, 101)
    data = packed(values, width)
    assert len(data) == packed_size(101, width) == -(-101 * width // 8)
    np.testing.assert_array_equal(unpacked(data, width, 101), values)


def test_lists_take_what_a_hand_counts() -> None:
    # 5 items: 3 bits an index, 8 a weight, 2 bytes a scale; 5 * 2 * 3 bits = 4 bytes, and 10, and 10.
    dense = np.random.default_rng(0).random((5, 5)) + 0.1
    lists = StoredLists.of(sparse.csr_matrix(dense), count=2, of_targets=False)
    assert (len(lists.indices), len(lists.weights), len(lists.scales)) == (4, 10, 10)
    assert lists.size_bytes == 24
    assert neighbours_that_fit(24, 5) == 2
    assert neighbours_that_fit(23, 5) == 1
    assert neighbours_that_fit(10_000, 5) == 4


def test_rows_take_what_a_hand_counts() -> None:
    table = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    assert StoredRows.of(table, bits=4, scaled=True).size_bytes == 8 + 10  # 60 bits, and five scales
    assert StoredRows.of(table, bits=8, scaled=False).size_bytes == 15
    assert StoredRows.of(table, bits=1, scaled=True).size_bytes == 2 + 10
    assert columns_that_fit(18, rows=5, scales=5, bits=4) == 3
    assert columns_that_fit(17, rows=5, scales=5, bits=4) == 2


@pytest.mark.parametrize("of_targets", [False, True])
def test_kept_weights_score_as_the_dense_product_does(of_targets: bool) -> None:
    rng = np.random.default_rng(3)
    dense = rng.uniform(-1, 1, (6, 6))
    kept = np.zeros_like(dense)
    for item in range(6):
        line = dense[:, item] if of_targets else dense[item]
        best = np.argsort(-np.abs(line), kind="stable")[:3]
        (kept[:, item] if of_targets else kept[item])[best] = line[best]
    found = StoredLists.of(sparse.csr_matrix(dense), count=3, of_targets=of_targets).matrix()
    factor = np.abs(kept).max() / np.abs(found.toarray()).max()
    np.testing.assert_allclose(factor * found.toarray(), kept, atol=0.006)
    matrix = random_matrix(4, (4, 6))
    expected = matrix.toarray() @ kept
    np.testing.assert_allclose(factor * (matrix @ found).toarray(), expected, atol=0.03)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounded_rows_are_near(bits: int) -> None:
    table = np.random.default_rng(5).standard_normal((20, 8)).astype(np.float32)
    rows = StoredRows.of(table, bits=bits, scaled=True).rows()
    rows *= (rows * table).sum() / np.square(rows).sum()
    assert np.abs(rows - table).max() < {4: 0.4, 8: 0.03}[bits]


def test_signs_have_the_mean_length_of_their_row() -> None:
    table = np.array([[0.5, -1.5], [-4.0, -4.0], [0.0, 0.0]], np.float32)
    stored = StoredRows.of(table, bits=1, scaled=True)
    np.testing.assert_allclose(stored.rows(), [[0.25, -0.25], [-1, -1], [0, 0]])


def test_cosines_are_those_of_the_columns() -> None:
    matrix = random_matrix(6)
    peer = Cosines(matrix, 10_000, seed=0)
    scores = peer.fit(toward=0.5, shrinkage=0.0, lists="sources").scores(np.arange(9))
    dense = matrix.toarray().astype(np.float64)
    cosines = dense.T @ dense / np.sqrt(np.outer(dense.sum(0), dense.sum(0)))
    np.fill_diagonal(cosines, 0)
    expected = dense @ cosines
    factor = (scores * expected).sum() / np.square(scores).sum()
    np.testing.assert_allclose(factor * scores, expected, atol=0.02)


def test_ease_is_the_least_squares_without_a_diagonal() -> None:
    matrix = random_matrix(7)
    scores = Ease(matrix, 10_000, seed=0).fit(penalty=2.0, lists="targets").scores(np.arange(9))
    dense = matrix.toarray().astype(np.float64)
    expected = np.zeros_like(dense)
    for item in range(7):  # each column by a regression on the others
        others = np.delete(np.arange(7), item)
        part = dense[:, others]
        weights = np.linalg.solve(part.T @ part + 2.0 * np.eye(6), part.T @ dense[:, item])
        expected[:, item] = part @ weights
    factor = (scores * expected).sum() / np.square(scores).sum()
    np.testing.assert_allclose(factor * scores, expected, atol=0.03)


def test_ease_refuses_a_catalogue_that_is_too_large() -> None:
    with pytest.raises(InputError, match=r"all pairs of 20,001 items; the most are 20,000"):
        Ease(sparse.csr_matrix((2, 20_001)), 10**6, seed=0)


def test_metrics_are_those_of_an_export() -> None:
    rng = np.random.default_rng(8)
    users, items = rng.standard_normal((9, 3)), rng.standard_normal((7, 3))
    train = random_matrix(9)
    wanted = sparse.csr_matrix(random_matrix(10).toarray() * (train.toarray() == 0))
    found = measured(Rows(users, items, 0), train, wanted, k=3)
    assert found == evaluate_embeddings(users, items, train, wanted, k=3)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_keeps_to_the_bytes_and_comes_near_them(
    name: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_binarised, "_TABLE_EPOCHS", 1)
    if name in ("als", "bpr"):
        pytest.importorskip("implicit")
    peer = PEERS[name](dataset.train.matrix(), 1_200, seed=0)
    for at in (0, -1):
        settings = {name: values[at] for stage in peer.stages for name, values in stage.items()}
        fitted = peer.fit(**{**settings, "epochs": 1} if "epochs" in settings else settings)
        assert 1_000 < fitted.size_bytes <= 1_200
        assert fitted.scores(np.arange(3)).shape == (3, 50)


@pytest.mark.parametrize("name", PEERS)
def test_too_few_bytes_are_refused(name: str, dataset: Dataset) -> None:
    if name in ("als", "bpr"):
        pytest.importorskip("implicit")

    def fit() -> None:
        peer = PEERS[name](dataset.train.matrix(), 90, seed=0)
        peer.fit(**{name: values[0] for name, values in peer.stages[0].items()})

    with pytest.raises(InputError, match=r"^90 bytes hold no .*compare with a larger bundle$"):
        fit()


def test_bpr_needs_a_column_beside_the_bias(dataset: Dataset) -> None:
    pytest.importorskip("implicit")
    with pytest.raises(InputError, match=r"hold the bias of BPR and nothing else"):
        Bpr(dataset.train.matrix(), 220, seed=0).fit(bits=8, rate=0.05, penalty=0.01)


def test_users_are_folded_in_by_the_rounded_items(dataset: Dataset) -> None:
    pytest.importorskip("implicit")
    matrix = dataset.train.matrix()
    fitted = Als(matrix, 1_000, seed=0).fit(users="folded in", bits=8, confidence=5.0, penalty=1.0)
    items, dense = fitted._items.astype(np.float64), matrix.toarray().astype(np.float64)
    for user in range(5):
        weights = 1 + (5.0 - 1) * dense[user]
        left = items.T @ (weights[:, None] * items) + np.eye(items.shape[1])
        expected = items @ np.linalg.solve(left, items.T @ (5.0 * dense[user]))
        np.testing.assert_allclose(fitted.scores(np.array([user]))[0], expected, rtol=1e-3, atol=1e-4)


def test_signs_score_by_layer(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = dataset.train.matrix()
    peer = Binarised(matrix, 1_500, seed=0)
    table = np.random.default_rng(4).standard_normal((120, 6)).astype(np.float32)
    monkeypatch.setattr(peer, "_full_table", lambda layers: torch.from_numpy(table))
    scores = peer.fit(layers=1, emphasis=2.0, epochs=0, rate=0.0).scores(np.arange(70))
    dense = matrix.toarray()
    half = dense / np.sqrt(np.outer(dense.sum(1), dense.sum(0)).clip(1))
    expected = np.zeros((70, 50))
    for weight, users, items in ((1, table[:70], table[70:]), (4, half @ table[70:], half.T @ table[:70])):
        lengths = np.outer(np.abs(users).mean(1), np.abs(items).mean(1))
        expected += weight * lengths * (np.sign(users) @ np.sign(items).T)
    factor = (scores * expected).sum() / np.square(scores).sum()
    np.testing.assert_allclose(factor * scores, expected, atol=0.01)


def test_training_through_the_signs_lowers_the_loss(dataset: Dataset) -> None:
    matrix = dataset.train.matrix()
    peer = Binarised(matrix, 1_500, seed=0)
    table = torch.from_numpy(np.random.default_rng(4).standard_normal((120, 6)).astype(np.float32))
    peer._full_table = lambda layers: table  # type: ignore[method-assign]
    before, after = (
        measured(
            peer.fit(layers=1, emphasis=0.0, epochs=epochs, rate=0.01), sparse.csr_matrix((70, 50)), matrix
        )
        for epochs in (0, 40)
    )
    assert after.ndcg > 1.2 * before.ndcg


def test_what_is_chosen_is_the_best_on_validation_and_knows_no_test_pairs(dataset: Dataset) -> None:
    split = cut_validation(dataset.train.matrix(), share=0.2, max_users=50, rng=np.random.default_rng(2))
    trials = tuned(Cosines, split, 600, seed=0)
    assert len(trials) == math.prod(len(values) for values in Cosines.stages[0].values())
    assert [ndcg for ndcg, _ in trials] == sorted((ndcg for ndcg, _ in trials), reverse=True)
    best = Cosines(split.train, 600, seed=0).fit(**trials[0][1])
    assert measured(best, split.train, split.held_out).ndcg == trials[0][0]


def test_a_later_stage_goes_on_with_the_best_of_the_earlier(dataset: Dataset) -> None:
    split = cut_validation(dataset.train.matrix(), share=0.2, max_users=50, rng=np.random.default_rng(2))
    good = Rows(split.train.toarray() + split.held_out.toarray(), np.eye(50), 0)
    bad = Rows(-split.held_out.toarray(), np.eye(50), 0)

    class Staged:
        stages = ({"a": (1, 2), "b": (1,)}, {"b": (1, 2, 3)})

        def fit(self, a: int, b: int) -> Rows:
            return good if (a, b) in ((2, 1), (2, 3)) else bad

    trials = tuned(lambda *_, seed: Staged(), split, 0, seed=0)
    tried = [settings for _, settings in trials]
    assert tried[:2] == [{"a": 2, "b": 1}, {"a": 2, "b": 3}]
    assert sorted(map(str, tried[2:])) == ["{'a': 1, 'b': 1}", "{'a': 2, 'b': 2}"]


def test_a_peer_that_does_not_fit_is_said_and_left_out(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    small = BundleBytes(total=1_090, shared=1_000, ndcg=0.1, recall=0.2, codes=14)
    rows = list(compared(dataset, small, bundle="b", data="d", peers=("cosines",), seed=0))
    assert [row.way for row in rows] == ["bundle"]
    assert "cosines on d: 90 bytes hold no weight" in capsys.readouterr().err


def test_a_bundle_is_measured_and_the_rows_are_kept(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = built()
    found = BundleBytes.of(bundle)
    assert found.total == sum(file.stat().st_size for file in bundle.iterdir())
    assert found.shared == sum(
        (bundle / f"{name}.arrays").stat().st_size for name in ("entities", "interactions")
    )
    assert 0 < found.ndcg < 1
    folder = tmp_path / "data"
    folder.mkdir()
    for name, part in (("train", dataset.train), ("test", dataset.test)):
        lines = (" ".join(map(str, [user, *part.items[part.users == user]])) for user in range(70))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    for _ in range(2):  # the second time rows take the places of the first
        main([f"{bundle}={folder}", "-o", str(tmp_path / "out"), "--peers", "cosines"])
    with open(tmp_path / "out" / "results.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["way"] for row in rows] == ["bundle", "cosines"]
    assert int(rows[1]["model_bytes"]) <= found.model
    assert f"| cosines | {float(rows[1]['ndcg']):.4f} |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^Error: there is no folder"):
        main([f"{tmp_path / 'none'}={folder}", "-o", str(tmp_path / "out")])
