"""`lerg-export compress`: what comes out of given tables, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lerg_edge.data.interactions import Dataset
from lerg_edge.data.synthetic import generate_features
from lerg_edge.errors import BudgetError, InputError
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.tables import GivenTables
from lerg_exporter import (
    CompressReport,
    PersonalReport,
    compress,
    inspect_bundle,
    verify_bundle,
    write_embeddings,
)
from lerg_exporter.bundles.card import model_card
from lerg_exporter.cli._main import run_command
from lerg_exporter.exporting.reading import ReadingOptions
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_runtime import Recommender

pytestmark = pytest.mark.native

SMALL = {"batch": 256, "max_users": 8, "max_k": 32, "threads": 1}
DIM = 10


def spectral(data: Dataset, dim: int = DIM) -> tuple[np.ndarray, np.ndarray]:
    """A model that somebody else might have trained: the graph's singular vectors."""
    left, values, right = np.linalg.svd(
        normalised_bipartite(data.train.matrix()).toarray(), full_matrices=False
    )
    roots = np.sqrt(values[:dim])
    return (left[:, :dim] * roots).astype(np.float32), (right[:dim].T * roots).astype(np.float32)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return small_dataset(400, 120, 6_000, text_ids=True, seed=5)


@pytest.fixture(scope="module")
def given(data: Dataset) -> GivenTables:
    users, items = spectral(data)
    return GivenTables(items, users, data.train.item_ids, data.train.user_ids)


@pytest.fixture(scope="module")
def report(data: Dataset, given: GivenTables, tmp_path_factory: pytest.TempPathFactory) -> CompressReport:
    made = compress(given, tmp_path_factory.mktemp("compressed") / "bundle", SMALL, dataset=data)
    assert isinstance(made, CompressReport)
    return made


def by_id(folder: Path, side: str, ids: Any) -> np.ndarray:
    """Rows that `lerg-export embeddings` wrote, in the order of these ids."""
    rows, names = np.load(folder / f"{side}s.npy"), np.load(folder / f"{side}_ids.npy").tolist()
    return rows[[names.index(each) for each in ids]]


def test_what_is_measured_is_what_is_there(report: CompressReport, data: Dataset, given: GivenTables) -> None:
    assert data.test is not None
    assert given.users is not None
    metrics = report.manifest.document["metrics"]
    seen, wanted = data.train.matrix(), data.test.matrix()
    float_tables = evaluate_embeddings(given.users, given.items, seen, wanted)
    assert metrics["given"]["ndcg@20"] == pytest.approx(float_tables.ndcg)
    assert metrics["compressed"]["users"] == metrics["given"]["users"] == float_tables.users
    assert metrics["compressed"]["ndcg@20"] > 0.9 * float_tables.ndcg


def test_a_card_tells_that_nothing_was_trained(report: CompressReport) -> None:
    card = model_card(inspect_bundle(report.path), name="bundle")
    assert "Nothing was trained" in card
    assert "learned from" not in card.partition("## What it discloses")[0]
    assert "`lerg-export compress` makes it again from the same tables" in card


def test_device_ranks_by_the_given_scores(
    report: CompressReport, data: Dataset, given: GivenTables, tmp_path: Path
) -> None:
    assert given.users is not None
    assert verify_bundle(report.path).users == 400
    write_embeddings(report.path, tmp_path / "rows")
    users = by_id(tmp_path / "rows", "user", data.train.user_ids)
    items = by_id(tmp_path / "rows", "item", data.train.item_ids)
    wanted, found = given.users @ given.items.T, users @ items.T
    assert np.square(found - wanted).sum() < 0.15 * np.square(wanted).sum()
    with Recommender.open(report.path) as recommender:
        ranked, _ = recommender.recommend("user-0003", k=5)
        user = data.train.user_ids.index_of("user-0003")
        seen = {data.train.item_ids.values[item] for item in data.train.items[data.train.users == user]}
        assert not seen & set(ranked)
        assert recommender.recommend_from_history(list(seen)[:3], k=5)[0].size == 5


def test_the_smallest_coding_that_is_good_enough(report: CompressReport) -> None:
    scores = {trial.title: trial.score for trial in report.tried}
    assert {"8 weighted codes", "4 weighted codes", "6 product codes", "3 product codes"} == set(scores)
    best = max(score for score in scores.values() if score is not None)
    enough = [trial for trial in report.tried if trial.score is not None and trial.score >= 0.99 * best]
    assert report.chosen in enough
    assert report.chosen.plan.storage_bytes == min(trial.plan.storage_bytes for trial in enough)
    training = report.manifest.document["training"]
    assert training["coding"] == report.chosen.title
    assert training["epochs"] == 0


def test_the_test_file_decides_nothing(
    report: CompressReport, data: Dataset, given: GivenTables, tmp_path: Path
) -> None:
    """Without it the bundle is the same, and what is measured on is pairs that the tables know."""
    other = Dataset(data.train)
    made = compress(given, tmp_path / "bundle", SMALL, dataset=other)
    assert isinstance(made, CompressReport)
    assert made.chosen.title == report.chosen.title
    assert [trial.score for trial in made.tried] == [trial.score for trial in report.tried]
    with Recommender.open(tmp_path / "bundle") as one, Recommender.open(report.path) as two:
        assert np.array_equal(one.state.codebook, two.state.codebook)
        assert one.item_embeddings().tobytes() == two.item_embeddings().tobytes()
    metrics = made.manifest.document["metrics"]
    assert set(metrics) == {"given_on_known", "compressed_on_known"}
    assert metrics["compressed_on_known"]["ndcg@20"] > 0.9 * metrics["given_on_known"]["ndcg@20"]


@pytest.mark.usefixtures("traced_anew")
def test_same_bytes_again(report: CompressReport, data: Dataset, given: GivenTables, tmp_path: Path) -> None:
    compress(given, tmp_path / "again", SMALL, dataset=data)
    for path in report.path.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_without_interactions(given: GivenTables, tmp_path: Path) -> None:
    """Rows of any width, users who have touched nothing, ids that are numbers."""
    assert given.users is not None
    tables = GivenTables(given.items[:, :7], given.users[:, :7])
    found = compress(tables, tmp_path / "bundle", SMALL)
    assert found.manifest.document["metrics"] == {}
    with Recommender.open(tmp_path / "bundle") as recommender:
        scores = recommender.score(list(range(400)), list(range(120)))
        assert recommender.recommend(7, k=3)[0].dtype == np.int64
    wanted = tables.users @ tables.items.T  # type: ignore[operator]
    assert np.square(scores - wanted).sum() < 0.1 * np.square(wanted).sum()


def test_rows_of_their_own_lose_next_to_nothing(given: GivenTables, tmp_path: Path) -> None:
    assert given.users is not None
    settings = {**SMALL, "assignment": "full", "bits": 8, "lowering": "portable"}
    found = compress(given, tmp_path / "bundle", settings)
    assert isinstance(found, CompressReport)
    assert found.chosen.title == "rows of 8 bits"
    assert found.manifest.document["lowering"] == "portable"
    write_embeddings(tmp_path / "bundle", tmp_path / "rows")
    rows = [by_id(tmp_path / "rows", side, getattr(given, f"{side}_ids")) for side in ("user", "item")]
    wanted = given.users @ given.items.T
    assert np.abs(rows[0] @ rows[1].T - wanted).max() < 0.02 * np.abs(wanted).max()


def test_layers_are_propagated_on_the_device(data: Dataset, tmp_path: Path) -> None:
    """Rows of layer 0: both the comparison and the programs propagate them over the interactions."""
    rng = np.random.default_rng(3)
    users, items = (rng.standard_normal((count, 8)).astype(np.float32) for count in (400, 120))
    tables = GivenTables(items, users, data.train.item_ids, data.train.user_ids, layers=None)
    settings = {**SMALL, "layers": 2, "codes_per_entity": 4}
    found = compress(tables, tmp_path / "bundle", settings, dataset=data)
    assert isinstance(found, CompressReport)
    model = found.manifest.document["model"]
    assert (model["layers"], model["codes_per_entity"]) == (2, 4)
    half = normalised_bipartite(data.train.matrix()).toarray()
    sums, now = [users.copy(), items.copy()], [users, items]
    for _ in range(2):
        now = [half @ now[1], half.T @ now[0]]
        sums = [total + rows for total, rows in zip(sums, now, strict=True)]
    assert data.test is not None
    exact = evaluate_embeddings(
        (sums[0] / 3).astype(np.float32),
        (sums[1] / 3).astype(np.float32),
        data.train.matrix(),
        data.test.matrix(),
    )
    assert found.manifest.document["metrics"]["given"]["ndcg@20"] == pytest.approx(exact.ndcg, rel=1e-4)
    write_embeddings(tmp_path / "bundle", tmp_path / "rows")
    made = [by_id(tmp_path / "rows", side, getattr(data.train, f"{side}_ids")) for side in ("user", "item")]
    wanted = sums[0] @ sums[1].T / 9
    assert np.square(made[0] @ made[1].T - wanted).sum() < 0.3 * np.square(wanted).sum()


def test_items_alone_for_one_person(data: Dataset, given: GivenTables, tmp_path: Path) -> None:
    settings = {"personal": True, "max_k": 32, "threads": 1}
    found = compress(given, tmp_path / "bundle", settings, dataset=data)
    assert isinstance(found, PersonalReport)
    metrics = found.manifest.document["metrics"]
    assert set(metrics) == {"given", "compressed"}
    assert metrics["given"]["users"] == metrics["compressed"]["users"] > 0
    assert metrics["compressed"]["ndcg@20"] > 0.5 * metrics["given"]["ndcg@20"]
    everything = b"".join(path.read_bytes() for path in (tmp_path / "bundle").iterdir())
    assert b"user-00" not in everything


def test_pruned_users_are_served_from_what_they_touched(
    data: Dataset, given: GivenTables, tmp_path: Path
) -> None:
    found = compress(
        given, tmp_path / "bundle", {**SMALL, "retention": 0.5, "selector": "degree"}, dataset=data
    )
    model = found.manifest.document["model"]
    assert model["retained_users"] + model["retained_items"] == 260
    assert found.manifest.document["metrics"]["compressed"]["ndcg@20"] > 0


def test_budgets(data: Dataset, given: GivenTables, report: CompressReport, tmp_path: Path) -> None:
    largest = max(trial.plan.storage_bytes for trial in report.tried)
    smallest = min(trial.plan.storage_bytes for trial in report.tried)
    between = (largest + smallest) // 2
    found = compress(given, tmp_path / "bundle", {**SMALL, "storage_budget": between}, dataset=data)
    assert isinstance(found, CompressReport)
    assert sum(path.stat().st_size for path in (tmp_path / "bundle").iterdir()) <= between
    assert len(found.tried) < len(report.tried)
    with pytest.raises(BudgetError):
        compress(given, tmp_path / "none", {**SMALL, "storage_budget": 5_000}, dataset=data)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"layers": 2}, "interactions"),
        ({"retention": 0.5}, "interactions"),
        ({"personal": True}, "interactions"),
        ({"epochs": 3}, "not trained"),
        ({"refit": True}, "not trained"),
        ({"assignment": "metis"}, "learns nothing from tables"),
        ({"codes_per_entity": 3, "dim": 8}, "codes_per_entity"),
        ({"bits": 5}, "bits"),
        ({"colour": 5}, "colour"),
    ],
)
def test_settings_that_cannot_be(
    given: GivenTables, tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        compress(given, tmp_path / "bundle", settings)
    assert not (tmp_path / "bundle").exists()


@pytest.fixture
def files(data: Dataset, tmp_path: Path) -> Path:
    """Tables, ids and interactions as somebody has them in a folder."""
    users, items = spectral(data)
    np.save(tmp_path / "U.npy", users)
    np.save(tmp_path / "I.npy", items)
    for side, ids in (("users", data.train.user_ids), ("items", data.train.item_ids)):
        (tmp_path / f"{side}.txt").write_text("".join(f"{each}\n" for each in ids), encoding="utf-8")
    assert data.test is not None
    for name, pairs in (("train", data.train), ("test", data.test)):
        rows = zip(pairs.user_ids.values[pairs.users], pairs.item_ids.values[pairs.items], strict=True)
        text = "user,item\n" + "".join(f"{user},{item}\n" for user, item in rows)
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    states = {
        f"embedding_{side}.weight": torch.tensor(rows) for side, rows in (("user", users), ("item", items))
    }
    torch.save(states, tmp_path / "lightgcn.pth.tar")
    return tmp_path


TABLES = ("--users", "U.npy", "--items", "I.npy")
IDS = ("--user-ids", "users.txt", "--item-ids", "items.txt")
QUICK = ("--set", "batch=256", "--set", "max_k=32", "--threads", "1")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run_command(["compress", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_command(
    files: Path, report: CompressReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    pairs = ("--interactions", "train.csv", "--test", "test.csv")
    status, out, err = run(capsys, *TABLES, *IDS, *pairs, *QUICK, "--set", "max_users=8", "-o", "bundle")
    assert status == 0, err
    assert "tables as given" in out
    assert "compressed, through the programs" in out
    assert report.chosen.title in out
    found = json.loads((files / "bundle" / "manifest.json").read_text())["metrics"]
    for stage, values in report.manifest.document["metrics"].items():
        assert found[stage]["ndcg@20"] == pytest.approx(values["ndcg@20"], rel=1e-6)
    status, _, err = run(capsys, *TABLES, "-o", "bundle")
    assert status == 2
    assert "--force" in err


def test_command_with_a_test_file_alone(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    status, out, err = run(
        capsys,
        *TABLES,
        *IDS,
        "--test",
        "test.csv",
        *QUICK,
        "--codes-per-entity",
        "5",
        "-o",
        "bundle",
        "--json",
    )
    assert status == 0, err
    found = json.loads(out)
    assert found["metrics"]["given"]["users"] == found["metrics"]["compressed"]["users"] > 0
    assert found["model"]["codes_per_entity"] == 5
    assert found["data"]["split"]["train_pairs"] == 0


# What is asked for, and what the one sentence names.
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no output": (TABLES, "-o is missing"),
    "no tables": (("-o", "out"), "--users and --items"),
    "users alone": (("--users", "U.npy", "-o", "out"), "--items"),
    "a model and tables": ((*TABLES, "--model", "U.npy", "-o", "out"), "--model"),
    "no such file": (("--items", "nowhere.npy", "--users", "U.npy", "-o", "out"), "nowhere.npy"),
    "a table for a model": (("--model", "U.npy", "-o", "out"), "--users or --items"),
    "a text for a table": (("--items", "train.csv", "--users", "U.npy", "-o", "out"), "--model"),
    "layers unsaid": (("--model", "lightgcn.pth.tar", "-o", "out"), "--layers"),
    "layers without pairs": (("--model", "lightgcn.pth.tar", "--layers", "3", "-o", "out"), "--interactions"),
    "no number of layers": (("--model", "lightgcn.pth.tar", "--layers", "x", "-o", "out"), "--layers"),
    "items alone": (("--items", "I.npy", "-o", "out"), "--interactions"),
    "ids of users alone": (("--items", "I.npy", "--user-ids", "users.txt", "-o", "out"), "--user-ids"),
    "ids of others": ((*TABLES, "--interactions", "train.csv", "-o", "out"), "--user-ids"),
    "training": ((*TABLES, "--set", "epochs=3", "-o", "out"), "epochs"),
    "an assignment by graph": ((*TABLES, "--assignment", "metis", "-o", "out"), "--assignment metis"),
    "a setting of nothing": ((*TABLES, "--set", "colour=3", "-o", "out"), "colour"),
    "no such folder": ((*TABLES, "-o", "no/where"), "no folder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_commands(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(files)
    arguments, told = WRONG[name]
    status, out, err = run(capsys, *arguments, "--quiet")
    assert (status, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert not (files / "out").exists()


def test_a_budget_is_status_3(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    status, _, err = run(capsys, *TABLES, "--storage-budget", "1kB", "-o", "out", "--quiet")
    assert status == 3
    assert "storage budget" in err


def test_help_waits_for_no_torch() -> None:
    code = (
        "import sys; from lerg_exporter.cli._main import run_command; run_command(['compress', '--help']); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--interactions" in done.stdout
    assert "lerg-export compress --users U.npy --items I.npy" in done.stdout


def test_features_of_items_are_mapped_to_given_rows(
    data: Dataset, given: GivenTables, tmp_path: Path
) -> None:
    features = generate_features(120, communities=6, seed=5).columns[0]
    rows = [f"{raw},{'|'.join(features.texts[item])}" for item, raw in enumerate(data.train.item_ids)]
    (tmp_path / "items.csv").write_text("item,genres\n" + "\n".join(rows) + "\n", encoding="utf-8")
    reading = ReadingOptions(item_features=str(tmp_path / "items.csv"))
    made = compress(given, tmp_path / "bundle", SMALL, dataset=data, reading=reading)
    assert made.manifest.document["training"]["features"]["penalty"] is not None
    assert "item_features" not in made.manifest.document["training"]["config"]
    with Recommender.open(tmp_path / "bundle") as recommender:
        recommender.add_item("new", features={"genres": list(features.texts[0]) or ["genre-01"]})
        assert "new" in recommender.recommend("user-0003", k=121)[0]
