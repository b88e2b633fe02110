"""`--item-features`: from a file to what a device adds an item by, in bundles of every form."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerg_edge.data.interactions import Dataset, IdMap
from lerg_edge.data.splits import cut
from lerg_edge.data.synthetic import generate, generate_features
from lerg_edge.errors import BudgetError, InputError
from lerg_edge.features.mapping import choose_map
from lerg_exporter.bundles.card import model_card
from lerg_exporter.bundles.inspection import inspect_bundle
from lerg_exporter.bundles.verification import verify_bundle
from lerg_exporter.cli._main import run_command
from lerg_exporter.exporting.budget import over_budget
from lerg_exporter.exporting.item_features import most_feature_bytes
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.personal import export_personal
from lerg_exporter.exporting.pipeline import check_export, export
from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder

pytestmark = pytest.mark.native

USERS, ITEMS, COMMUNITIES = 400, 150, 6
OPTIONS = ExportOptions(
    dim=16, epochs=6, finetune_epochs=0, max_users=8, max_k=20, batch=256, threads=1, device="cpu"
)
PERSONAL = ExportOptions(personal=True, dim=16, epochs=6, max_k=20, max_history=50, threads=1, device="cpu")


def dataset(*, telling: float = 0.9, seed: int = 0) -> Dataset:
    """Items with text ids, and genres that say as much of them."""
    pairs = generate(USERS, ITEMS, 8_000, communities=COMMUNITIES, seed=seed)
    named = replace(pairs, item_ids=IdMap.from_values(f"item-{item:03d}" for item in range(ITEMS)))
    features = generate_features(ITEMS, communities=COMMUNITIES, seed=seed, telling=telling)
    return replace(cut(named, "ratio", share=0.2, seed=seed), features=features)


def as_given(data: Dataset, item: int) -> dict[str, Any]:
    """The features of an item as a device is given them."""
    assert data.features is not None
    return {
        column.name: list(column.texts[item]) if column.numbers is None else column.numbers[item].tolist()
        for column in data.features.columns
    }


@pytest.fixture(scope="module", params=["native", "portable", "personal"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "bundle"
    if request.param == "personal":
        export_personal(dataset(), folder, PERSONAL)
    else:
        export(dataset(), folder, replace(OPTIONS, lowering=request.param))
    return folder


def test_a_device_maps_features_as_the_export_did(bundle: Path) -> None:
    """The rows that a device gives to items are those of a map that is fitted here to the same rows."""
    data = dataset()
    with Recommender.open(bundle) as rec:
        order = data.train.item_ids.indices_of(list(rec.item_ids))
        rows = rec.item_embeddings()
        features = data.features.reordered(order)  # type: ignore[union-attr]
        train = data.train.reordered(np.arange(USERS), order)
        found, _ = choose_map(features, rows, train.matrix(), seed=0)
        assert found is not None
        wanted = found.rows(features, np.arange(20))
        for item in range(20):
            given = {name: value for name, value in as_given(data, int(order[item])).items() if value}
            rec.add_item(f"new-{item}", features=given)
        made = rec.item_embeddings()[ITEMS:]
        spread = np.abs(rows).max()
        assert np.corrcoef(made.ravel(), wanted.ravel())[0, 1] > 0.95
        assert np.abs(made - wanted).max() < 0.5 * spread


def test_a_bundle_says_what_its_map_is(bundle: Path) -> None:
    folder = BundleFolder.open(bundle)
    columns = folder.contents.features
    assert [(column.name, column.kind) for column in columns] == [("genres", "category"), ("year", "number")]
    document = folder.contents.document
    tried = document["training"]["features"]
    assert tried["penalty"] is not None
    assert max(tried["ndcg@20"].values()) > tried["chance"] + 3 * tried["chance_deviation"]
    assert tried["places"] == sum(column.size for column in columns)
    assert document["data"]["features"] == {
        "items": ITEMS,
        "unknown": 0,
        "columns": {"genres": "category", "year": "number"},
    }
    told = inspect_bundle(bundle)
    assert told["features"]["columns"][0]["name"] == "genres"
    assert told["state"]["added_items"] == 0
    assert sum(told["parts"]["features.arrays"].values()) == told["files"]["features.arrays"]
    assert told["files"]["features.arrays"] <= most_feature_bytes(dataset(), dim=16)
    assert "What was known of items (genres, year)" in model_card(inspect_bundle(bundle), name="bundle")
    verify_bundle(bundle)


@pytest.mark.usefixtures("traced_anew")
def test_the_same_export_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    folder = BundleFolder.open(bundle)
    if folder.is_personal:
        export_personal(dataset(), tmp_path / "again", PERSONAL)
    else:
        lowering = folder.manifest.document["lowering"]
        export(dataset(), tmp_path / "again", replace(OPTIONS, lowering=lowering))
    for file in bundle.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_features_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    manifest = export(dataset(telling=0.0), tmp_path / "bundle", OPTIONS).manifest
    assert manifest.features == ()
    assert not (tmp_path / "bundle" / "features.arrays").exists()
    assert manifest.document["training"]["features"]["penalty"] is None
    with (
        Recommender.open(tmp_path / "bundle") as rec,
        pytest.raises(Exception, match="no map of item features"),
    ):
        rec.add_item("new", features={"genres": "genre-01"})


def test_a_map_counts_in_the_storage_budget(bundle: Path) -> None:
    size = sum(BundleFolder.open(bundle).file_sizes().values())
    tight = replace(OPTIONS, storage_budget=size + 1_000)
    words = {"found": "it takes", "remedy": "dim"}
    assert over_budget(bundle, tight, **words, more_bytes=1_000) is None
    fault = over_budget(bundle, tight, **words, more_bytes=1_001)
    assert isinstance(fault, BudgetError)
    bare = replace(dataset(), features=None)
    assert most_feature_bytes(bare, dim=16) == 0 < most_feature_bytes(dataset(), dim=16)
    plans = [check_export(data, replace(OPTIONS, storage_budget=400_000)) for data in (bare, dataset())]
    assert plans[0].storage_bytes < plans[1].storage_bytes


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Interactions and features as files."""
    data = dataset()
    assert data.features is not None
    pairs, known = tmp_path / "pairs.csv", tmp_path / "items.csv"
    with pairs.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("user", "item"))
        users = data.train.user_ids.values[data.train.users].tolist()
        writer.writerows(zip(users, data.train.item_ids.values[data.train.items].tolist(), strict=True))
    with known.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("item", "genres", "year"))
        for item, raw in enumerate(data.train.item_ids):
            given = as_given(data, item)
            writer.writerow((raw, "|".join(given["genres"]), given["year"][0]))
        writer.writerow(("elsewhere", "genre-01", 1990))
    return pairs, known


QUICK = (
    *("--dim", "16", "--epochs", "6", "--set", "finetune_epochs=0", "--set", "threads=1"),
    *("--device", "cpu", "--quiet"),
)


def test_the_command(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs, known = files
    output = tmp_path / "bundle"
    status = run_command(
        ["run", str(pairs), "-o", str(output), "--item-features", str(known), "--json", *QUICK]
    )
    printed = capsys.readouterr()
    assert status == 0, printed.err
    document = json.loads((output / "manifest.json").read_text())
    assert document["data"]["features"]["unknown"] == 1
    assert "item_features" not in document["training"]["config"]
    assert all(str(known).encode() not in file.read_bytes() for file in output.iterdir())
    known.write_text("item,year:number\nitem-001,soon\n")
    status = run_command(
        ["run", str(pairs), "-o", str(tmp_path / "b"), "--item-features", str(known), *QUICK]
    )
    assert status == 2
    assert "items.csv: line 2: 'year' is 'soon', which is no number" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_features_that_cannot_be_encoded_are_refused_before_training(tmp_path: Path) -> None:
    data = dataset()
    assert data.features is not None
    same = replace(data.features.columns[1], numbers=np.ones((ITEMS, 1)))
    useless = replace(data, features=replace(data.features, columns=(same,)))
    with pytest.raises(InputError, match="tells items apart"):
        export(useless, tmp_path / "bundle", OPTIONS)
