"""`lerg-export embeddings`: the rows of a bundle as files, and that they are what the device ranks by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from traced import built

from lerg_exporter import write_embeddings
from lerg_exporter.cli._main import run_command
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.personal import export_personal
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_runtime import InputError, Recommender

pytestmark = pytest.mark.native


def check(rows: Path, bundle: Path, *, tolerance: float) -> None:
    """Every score of the device is the product of the two rows, found by their ids."""
    users, items = np.load(rows / "users.npy"), np.load(rows / "items.npy")
    user_ids, item_ids = (np.load(rows / f"{side}_ids.npy").tolist() for side in ("user", "item"))
    assert users.dtype == items.dtype == np.float32
    with Recommender.open(bundle) as recommender:
        asked = recommender.score(user_ids, item_ids)
        assert set(user_ids) == set(recommender.user_ids)
    assert np.abs(users @ items.T - asked).max() <= tolerance * np.abs(asked).max()


@pytest.mark.parametrize("pruned", ["history", "placeholder"])
def test_product_of_rows_is_the_score(tmp_path: Path, pruned: str) -> None:
    made = built(pruned_users=pruned)
    found = write_embeddings(made, tmp_path / "rows")
    assert set(found.files) == {"users.npy", "items.npy", "user_ids.npy", "item_ids.npy"}
    check(tmp_path / "rows", made, tolerance=1e-5)


def test_of_an_int8_table(tmp_path: Path) -> None:
    """Ranking rounds in its own way there; without the scales no product would be near."""
    made = built(item_table="int8")
    write_embeddings(made, tmp_path / "rows")
    check(tmp_path / "rows", made, tolerance=0.02)


def test_parquet_is_the_same(tmp_path: Path) -> None:
    made = built(text_ids=True)
    write_embeddings(made, tmp_path / "npy")
    write_embeddings(made, tmp_path / "parquet", form="parquet")
    for side, name in (("user", "users"), ("item", "items")):
        frame = pl.read_parquet(tmp_path / "parquet" / f"{name}.parquet")
        assert frame["id"].to_list() == np.load(tmp_path / "npy" / f"{side}_ids.npy").tolist()
        assert np.array_equal(frame["vector"].to_numpy(), np.load(tmp_path / "npy" / f"{name}.npy"))


def test_personal_bundles_have_items_alone(tmp_path: Path) -> None:
    options = ExportOptions(personal=True, dim=8, epochs=1, max_k=20, threads=1, device="cpu")
    export_personal(small_dataset(120, 60, 1_500, seed=3), tmp_path / "bundle", options)
    found = write_embeddings(tmp_path / "bundle", tmp_path / "rows")
    assert set(found.files) == {"items.npy", "item_ids.npy"}
    assert (found.users, found.items, found.dim) == (0, 60, 8)
    rows, ids = np.load(tmp_path / "rows" / "items.npy"), np.load(tmp_path / "rows" / "item_ids.npy").tolist()
    with Recommender.open(tmp_path / "bundle") as recommender:
        near, cosines = recommender.similar_items(ids[0], k=1)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert cosines[0] == pytest.approx(unit[0] @ unit[ids.index(near[0])], abs=1e-5)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = built(text_ids=True)
    out = tmp_path / "rows"
    assert run_command(["embeddings", str(made), "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == {path.name: path.stat().st_size for path in out.iterdir()}
    assert run_command(["embeddings", str(made), "-o", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert run_command(["embeddings", str(made), "-o", str(tmp_path / "p"), "--format", "parquet"]) == 0
    assert "users.parquet" in capsys.readouterr().out


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_embeddings(tmp_path / "nowhere", tmp_path / "rows")
    assert list(tmp_path.iterdir()) == []
