"""`lerg-export run --personal`: what is in the bundle, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lerg_edge.data.interactions import Dataset, IdMap, Interactions
from lerg_edge.data.synthetic import generate
from lerg_edge.errors import BudgetError, InputError
from lerg_edge.workdir import WorkDir
from lerg_exporter.bundles.card import model_card
from lerg_exporter.bundles.inspection import inspect_bundle
from lerg_exporter.bundles.verification import verify_bundle
from lerg_exporter.exporting.item_tables import item_tables
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.personal import PersonalReport, export_personal
from lerg_exporter.exporting.pipeline import export
from lerg_exporter.exporting.progress import Silent
from lerg_exporter.exporting.serving_options import ITEM_TRAININGS
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.bundle._arrays import read_arrays

pytestmark = pytest.mark.native

OPTIONS = ExportOptions(personal=True, dim=16, epochs=3, max_k=20, max_history=50, threads=1, device="cpu")


def marked(made: Interactions) -> Interactions:
    """Ids of users that nothing else in a file can look like."""
    return replace(made, user_ids=IdMap.from_values(f"~user<{n:04d}>~" for n in range(made.user_count)))


def dataset() -> Dataset:
    made = small_dataset(240, 90, 3_000, text_ids=True, seed=2)
    assert made.test is not None
    return replace(made, train=marked(made.train), test=marked(made.test))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> PersonalReport:
    return export_personal(dataset(), tmp_path_factory.mktemp("person") / "bundle", OPTIONS)


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a bundle, by file and name."""
    found: dict[str, np.ndarray] = {}
    for path in folder.iterdir():
        if path.suffix in (".arrays", ".bin"):
            data = path.read_bytes()[32 if path.suffix == ".bin" else 0 :]
            found |= {f"{path.name}/{name}": array for name, array in read_arrays(data).items()}
    return found


def everything(folder: Path) -> dict[str, bytes]:
    """Every byte of a bundle: its files, what is coded in them, and the ids that this makes."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    found |= {name: array.tobytes() for name, array in arrays_of(folder).items()}
    ids = BundleFolder.open(folder).read_items().ids
    return {**found, "item ids": "\n".join(map(str, ids)).encode()}


def test_no_byte_of_the_bundle_is_a_user_id(report: PersonalReport) -> None:
    contents = everything(report.path)
    assert any(b"item-0003" in data for data in contents.values())  # the search itself finds what is there
    for raw in dataset().train.user_ids.values:
        for name, data in contents.items():
            assert str(raw).encode() not in data, f"{raw} is in {name}"


def test_no_array_of_the_bundle_is_as_long_as_the_users_or_their_pairs(report: PersonalReport) -> None:
    """What belongs to users would have a row for each of them, or an entry for each pair."""
    train = dataset().train
    degrees = np.bincount(train.users, minlength=train.user_count)
    arrays = arrays_of(report.path)
    assert {"items.arrays/degrees", "state.bin/codebook"} <= set(arrays)
    for name, array in arrays.items():
        assert array.shape[:1] not in ((train.user_count,), (train.pair_count,)), name
        assert not _holds(array, degrees), name


def test_no_history_is_in_any_file(report: PersonalReport) -> None:
    """The items of nobody stand side by side, in any type that indices or gaps are stored in."""
    train = dataset().train
    contents = everything(report.path)
    starts = np.searchsorted(train.users, np.arange(train.user_count + 1))
    searched = 0
    for user in range(train.user_count):
        items = train.items[starts[user] : starts[user + 1]]
        gaps = np.diff(items, prepend=-1) - 1
        for row in (items, gaps):
            if len(row) < 8:  # shorter ones might stand somewhere by chance
                continue
            searched += 1
            for dtype in (np.uint8, np.uint16, np.int32, np.int64):
                sought = row.astype(dtype).tobytes()
                for name, data in contents.items():
                    assert sought not in data, f"the items of user {user} are in {name}"
    assert searched > 100


def _holds(array: np.ndarray, sought: np.ndarray) -> bool:
    flat = array.reshape(-1)
    return flat.size >= sought.size and sought.astype(flat.dtype).tobytes() in flat.tobytes()


def test_the_manifest_names_items_and_nobody(report: PersonalReport) -> None:
    document = report.manifest.document
    assert document["form"] == "personal"
    assert not [name for name in document["model"] if "user" in name]
    assert verify_bundle(report.path).users == 0
    told = inspect_bundle(report.path)
    assert told["form"] == "personal"
    assert sum(told["files"].values()) == told["storage"]["bundle_bytes"]
    assert all(sum(parts.values()) == told["files"][name] for name, parts in told["parts"].items())


@pytest.mark.parametrize("training", ["recommender", "als"])
def test_one_person_moves_the_items_less_than_another_draw_does(training: str, tmp_path: Path) -> None:
    """Likenesses of items with and without one user, and with everybody and another seed.

    They do move: whoever has both bundles can tell that something changed, as `docs/privacy.md` says.
    """
    train = dataset().train
    degrees = np.bincount(train.users)
    user = int(np.argsort(degrees)[len(degrees) // 2])
    cases = {
        "everybody": (train, OPTIONS),
        "all but one": (train.subset(train.users != user), OPTIONS),
        "another seed": (train, replace(OPTIONS, seed=1)),
    }
    likenesses = {}
    for name, (pairs, options) in cases.items():
        work = WorkDir.at(tmp_path / name)
        table = item_tables(pairs, options, [training], work=work, tell=Silent())[training].rows
        lengths = np.maximum(np.linalg.norm(table, axis=1), 1e-9)
        likenesses[name] = table @ table.T / np.outer(lengths, lengths)
    moved, redrawn = (
        np.abs(likenesses["everybody"] - likenesses[other]).mean()
        for other in ("all but one", "another seed")
    )
    assert 0 < moved < redrawn


def test_no_row_is_shaped_by_fewer_people_than_asked_for(tmp_path: Path) -> None:
    data = dataset()
    options = replace(OPTIONS, min_item_users=40)
    made = export_personal(data, tmp_path / "bundle", options)
    model = made.manifest.model
    degrees = np.bincount(data.train.items, minlength=data.train.item_count)
    assert model.own_rows <= int((degrees >= 40).sum())
    assert model.placeholders >= 1
    with Recommender.open(made.path) as recommender:
        items, _ = recommender.recommend_from_history(["item-0001", "item-0002"], k=20)
        assert len(items) == 20


def test_people_held_out_are_served_better_than_by_chance(report: PersonalReport) -> None:
    found = report.manifest.document["metrics"]["held_out_people"]
    assert found["users"] >= 50
    assert found["recall@20"] > 2 * 20 / 90


def test_how_items_are_learned_is_chosen_and_told(report: PersonalReport) -> None:
    told = report.manifest.document["training"]["item_training"]
    assert told["chosen"] in ITEM_TRAININGS
    assert set(told["validation_ndcg@20"]) in (set(), set(ITEM_TRAININGS))


@pytest.mark.parametrize(("training", "dim"), [("recommender", 16), ("als", 16), ("both", 32)])
def test_how_items_are_learned_can_be_stated(training: str, dim: int, tmp_path: Path) -> None:
    made = export_personal(dataset(), tmp_path / "bundle", replace(OPTIONS, item_training=training))
    document = made.manifest.document
    assert document["training"]["item_training"] == {"chosen": training, "validation_ndcg@20": {}}
    assert made.manifest.model.dim == dim
    assert document["metrics"]["held_out_people"]["recall@20"] > 2 * 20 / 90


def test_both_tables_weigh_as_much(tmp_path: Path) -> None:
    work = WorkDir.at(tmp_path)
    tables = item_tables(dataset().train, OPTIONS, ITEM_TRAININGS, work=work, tell=Silent())
    halves = np.split(tables["both"].rows, 2, axis=1)
    for half, name in zip(halves, ("recommender", "als"), strict=True):
        rows = tables[name].rows
        assert np.square(half).sum(axis=1).mean() == pytest.approx(1.0, rel=1e-5)
        np.testing.assert_allclose(half / np.abs(half).max(), rows / np.abs(rows).max(), atol=1e-6)
    again = item_tables(dataset().train, OPTIONS, ["als"], work=work, tell=Silent())
    np.testing.assert_array_equal(again["als"].rows, tables["als"].rows)


def test_a_recommender_that_is_stated_learns_alone() -> None:
    assert OPTIONS.resolved_item_trainings == ITEM_TRAININGS
    assert replace(OPTIONS, recommender="mf").resolved_item_trainings == ("recommender",)
    assert replace(OPTIONS, recommender="mf", item_training="both").resolved_item_trainings == ("both",)


def test_people_who_chose_are_learned_from_at_last(report: PersonalReport, tmp_path: Path) -> None:
    data = dataset()
    once = export_personal(data, tmp_path / "bundle", replace(OPTIONS, refit=False))
    trained, before = (made.manifest.document["training"] for made in (report, once))
    assert trained["people"] == before["people"]
    counts = np.bincount(data.train.users)
    measured = trained["people"]["measuring"]
    assert data.train.pair_count - trained["pairs"] >= 5 * measured
    assert trained["pairs"] - before["pairs"] >= 5 * trained["people"]["choosing"]
    assert trained["pairs"] <= data.train.pair_count - np.sort(counts)[:measured].sum()


@pytest.mark.usefixtures("traced_anew")
def test_the_same_input_gives_the_same_bytes(report: PersonalReport, tmp_path: Path) -> None:
    again = export_personal(dataset(), tmp_path / "bundle", OPTIONS)
    assert {path.name: path.read_bytes() for path in again.path.iterdir()} == {
        path.name: path.read_bytes() for path in report.path.iterdir()
    }


def test_a_storage_budget_is_met_or_refused(report: PersonalReport, tmp_path: Path) -> None:
    size = sum(path.stat().st_size for path in report.path.iterdir())
    with pytest.raises(BudgetError, match="storage"):
        export_personal(dataset(), tmp_path / "bundle", replace(OPTIONS, storage_budget=size // 4))
    assert not (tmp_path / "bundle").exists()
    assert report.chosen.stored_bytes < size


def test_settings_of_the_other_form_are_refused() -> None:
    with pytest.raises(InputError, match="no effect with"):
        ExportOptions(personal=True, retention=0.5)
    with pytest.raises(InputError, match="no effect without"):
        ExportOptions(max_history=20)


def test_an_export_of_the_usual_form_makes_no_personal_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="export_personal"):
        export(dataset(), tmp_path / "bundle", OPTIONS)


def test_data_of_one_user_cannot_hold_anybody_out(tmp_path: Path) -> None:
    made = generate(2, 30, 20, communities=1, seed=0)
    one = made.subset(made.users == 0)
    report = export_personal(Dataset(one), tmp_path / "bundle", replace(OPTIONS, min_item_users=1))
    assert not report.manifest.document["metrics"]


def test_its_card_says_that_nobody_is_in_it(report: PersonalReport) -> None:
    found = inspect_bundle(report.path)
    card = model_card(found, name="person")
    model, metrics = found["model"], found["metrics"]["held_out_people"]
    assert "No id of a user, no interaction and no row that belongs to a user." in card
    assert f"{model['own_rows']:,} items have a row of their own" in card
    assert f"| people held out of training | {metrics['ndcg@20']:.4f} |" in card
    assert "| memory to recommend |" in card
    assert "fine-tune" not in card.partition("## What it discloses")[0].partition("## What it takes")[2]


def test_a_bundle_that_learns_says_so_and_holds_nothing_more(tmp_path: Path) -> None:
    report = export_personal(dataset(), tmp_path / "bundle", replace(OPTIONS, finetune=True))
    assert {spec.method for spec in report.manifest.programs} == {"encode", "finetune", "recommend"}
    assert report.manifest.finetune is not None
    verify_bundle(report.path)
    for raw in dataset().train.user_ids.values:
        assert not any(str(raw).encode() in data for data in everything(report.path).values())
    with Recommender.open(report.path) as recommender:
        recommender.observe(recommender.item_ids.take(np.arange(4)).tolist())
        assert recommender.finetune(epochs=1).steps == 1
    with pytest.raises(InputError, match="finetune has no effect without personal"):
        ExportOptions(finetune=True)
