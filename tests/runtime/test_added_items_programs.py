"""Added items in bundles with traced programs, of both forms and in both lowerings; and hostile bundles."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _item_features import feature_map, give_features
from _oracles import reseal
from _person import DIM, ITEMS, PersonBundle, write_person
from _real import RealBundle, write_real
from _shell import Shell

from lerg_runtime import BundleError, InputError, Recommender
from lerg_runtime.bundle._arrays import array_bytes, read_arrays

pytestmark = pytest.mark.native

KINDS = {
    "native": {},
    "folded": {"entries": 8},
    "int8 items": {"item_table": "int8"},
    "portable": {"lowering": "portable"},
    "portable, folded": {"lowering": "portable", "entries": 6},
}
DRAMA = {"genres": "Drama", "year": 2000}


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RealBundle:
    made = write_real(tmp_path_factory.mktemp("shared") / "bundle", **KINDS[request.param])
    give_features(made.folder, feature_map(made.model.codebook.shape[1]))
    return made


@pytest.mark.parametrize("k", [1, 33, 93])
def test_all_items_are_in_one_ranking(shared: RealBundle, tmp_path: Path, k: int) -> None:
    bundle = Path(shutil.copytree(shared.folder, tmp_path / "bundle"))
    with Recommender.open(bundle) as rec:
        everyone, base = list(rec.user_ids), len(rec.item_ids)
        plain, points = rec.recommend(everyone, k=base)
        rec.add_item(10_001, features=DRAMA)
        rec.add_item(10_002, features={"studio": "A"})
        rec.add_item(10_003, users=everyone[:4])
        scores = rec.score(everyone, [10_001, 10_002, 10_003])
        rec.save()
    with Recommender.open(bundle) as rec:
        ids, found = rec.recommend(everyone, k=k)
        for user in range(len(everyone)):
            there = points[user] > -np.inf
            names = [*plain[user][there].tolist(), 10_001, 10_002, *([10_003] if user >= 4 else [])]
            together = np.concatenate([points[user][there], scores[user][: len(names) - there.sum()]])  # type: ignore[index]
            order = np.argsort(-together, kind="stable")[:k]
            assert ids[user][: len(order)].tolist() == [names[at] for at in order]
            assert np.array_equal(found[user][: len(order)], together[order])
            alone = rec.recommend(everyone[user], k=k)
            assert alone[0].tolist() == [names[at] for at in order]
            assert np.array_equal(alone[1], together[order])


def test_an_added_item_scores_by_its_row(shared: RealBundle, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(shared.folder, tmp_path / "bundle"))
    with Recommender.open(bundle) as rec:
        rec.add_item(10_001, features=DRAMA)
        everyone = list(rec.user_ids)
        wanted = rec.user_embeddings().astype(np.float64) @ rec.item_embeddings()[-1].astype(np.float64)
        found = rec.score(everyone, 10_001)
        assert np.allclose(found, wanted, rtol=1e-4, atol=1e-6)
        cosines = rec.similar_items(10_001, k=5)[1]
        rows = rec.item_embeddings().astype(np.float64)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        assert np.allclose(cosines, np.sort(unit[:-1] @ unit[-1])[::-1][:5], atol=0.01)


def test_items_are_added_while_others_ask(shared: RealBundle, tmp_path: Path) -> None:
    """Each answer has the items of one moment, with the scores that they always have."""
    bundle = Path(shutil.copytree(shared.folder, tmp_path / "bundle"))
    with Recommender.open(bundle, threads=3) as rec:
        user, base = rec.user_ids[3], len(rec.item_ids)
        plain = dict(zip(*(each.tolist() for each in rec.recommend(user, k=base)), strict=True))
        done, wrong = threading.Event(), list[object]()

        def ask() -> None:
            while not done.is_set():
                ids, scores = rec.recommend(user, k=base)
                new = [item for item in ids.tolist() if item not in plain]
                known = zip(ids.tolist(), scores.tolist(), strict=True)
                if any(plain.get(item, score) != score for item, score in known) or not (
                    set(new) <= set(range(10_000, 10_040)) and (np.diff(scores) <= 0).all()
                ):
                    wrong.append((ids, scores))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(40):
            rec.add_item(10_000 + number, features={"genres": "Drama", "year": 1950 + number})
            if number % 3 == 0:
                rec.remove_item(10_000 + number)
        done.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(rec.added_items) == 26


@pytest.fixture(scope="module", params=["native", "portable"])
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    made = write_person(tmp_path_factory.mktemp("person") / "bundle", lowering=request.param)
    give_features(made.folder, feature_map(DIM))
    return made


def test_one_person(person: PersonBundle, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(person.folder, tmp_path / "bundle"))
    history = [3, 70, 8]
    with Recommender.open(bundle) as rec:
        rec.observe([person.ids[item] for item in history])
        before, points = rec.recommend(k=ITEMS)
        rec.add_item("new", features=DRAMA)
        rec.add_item("more", features={"studio": "A"})
        rec.save()
    with Recommender.open(bundle) as rec:
        assert rec.added_items == ["new", "more"]
        scores = rec.score(None, ["new", "more"])
        user = rec._personal.row(rec.state.history.items)
        assert np.allclose(scores, rec.item_embeddings()[ITEMS:] @ user, rtol=1e-4)
        # By the same row the bundle's own items have the scores that the program gives.
        own = rec.item_embeddings()[[person.ids.index(item) for item in before]] @ user
        assert np.allclose(own, points, rtol=1e-3, atol=1e-4 * np.abs(points).max())
        names = [*before.tolist(), "new", "more"]
        together = np.concatenate([points, scores])  # type: ignore[list-item]
        order = np.argsort(-together, kind="stable")
        for k in (1, 9, ITEMS + 2):
            ids, found = rec.recommend(k=k)
            assert ids.tolist() == [names[at] for at in order[:k]]
            assert np.array_equal(found, together[order[:k]])
        by_history = rec.recommend_from_history([person.ids[item] for item in history], k=9)
        assert by_history[0].tolist() == [names[at] for at in order[:9]]
        assert rec.recommend(k=5, items=["new", person.ids[0]])[0].tolist()[0] in ("new", person.ids[0])
        assert "new" not in rec.recommend(k=ITEMS + 1, exclude=["new"])[0]
        popular = rec.recommend_from_history([], k=ITEMS + 2, on_unknown="popular")[0]
        assert set(popular[-2:]) == {"new", "more"}
        rec.erase()
        assert rec.added_items == []
        assert rec.history() == []
    with Recommender.open(bundle) as rec:
        assert rec.added_items == []


def test_what_one_person_cannot_do_with_an_added_item(person: PersonBundle, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(person.folder, tmp_path / "bundle"))
    with Recommender.open(bundle) as rec:
        rec.add_item("new", features=DRAMA)
        said = "item 'new' was added on this device"
        for call in (rec.observe, rec.forget, lambda item: rec.explain([person.ids[0]], item)):
            with pytest.raises(InputError, match=said):
                call("new")
        assert rec.observe(["new", person.ids[0]], on_unknown="skip") == 1
        with pytest.raises(InputError, match="a personal bundle knows no users"):
            rec.add_item("newer", users=["bob"])


def test_memory_of_one_person_holds_to_the_plan(person: PersonBundle, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(person.folder, tmp_path / "bundle"))
    with Recommender.open(bundle) as rec:
        for number in range(40):
            rec.add_item(f"new-{number}", features=DRAMA)
        rec.observe(person.ids[:3])
        rec.save()
        needed = max(phase.total_bytes for phase in rec.plan().phases)
        assert any(item.name == "added items" for item in rec.plan().resident)
    with Recommender.open(bundle, memory_budget=needed) as rec:
        rec.recommend(k=90)
        assert rec.memory[1] <= needed


@pytest.fixture
def featured(tmp_path: Path) -> Path:
    return give_features(write_person(tmp_path / "bundle").folder, feature_map(DIM))


def put(arrays: dict[str, np.ndarray], name: str, at: int, value: float) -> None:
    arrays[name] = arrays[name].copy()
    arrays[name].reshape(-1)[at] = value


def with_value(arrays: dict[str, np.ndarray], text: bytes) -> None:
    """The first value of a category is this."""
    lengths = arrays["value_lengths"].copy()
    rest = arrays["value_text"][int(lengths[0]) :]
    lengths[0] = len(text)
    arrays["value_lengths"] = lengths
    arrays["value_text"] = np.concatenate((np.frombuffer(text, np.uint8), rest))


HOSTILE: dict[str, tuple[Callable[[dict[str, np.ndarray]], object], str]] = {
    "no weights": (lambda arrays: arrays.pop("weights"), "no array weights"),
    "one place less": (lambda arrays: arrays.update(weights=arrays["weights"][1:]), "weights has shape"),
    "floats": (lambda arrays: arrays.update(weights=np.zeros((10, DIM), np.float32)), "expected int8"),
    "not a number": (lambda arrays: put(arrays, "offset", 0, np.nan), "a number of the map"),
    "no deviation": (lambda arrays: put(arrays, "deviations", 0, 0), "a number of the map"),
    "a scale below 0": (lambda arrays: put(arrays, "scales", 0, -1), "a number of the map"),
    "text left over": (lambda arrays: put(arrays, "value_lengths", 0, 1), "value_text has shape"),
    "sums that are too long": (
        lambda arrays: arrays.update(value_lengths=np.full(6, 65535, np.uint16)),
        "take 393210 bytes",
    ),
    "an escape": (lambda arrays: with_value(arrays, b"\x1b[2J"), "without control characters"),
    "no UTF-8": (lambda arrays: with_value(arrays, b"caf\xe9"), "not UTF-8"),
    "an empty value": (lambda arrays: with_value(arrays, b""), "1 to 256 bytes"),
    "a long value": (lambda arrays: with_value(arrays, b"x" * 257), "1 to 256 bytes"),
    "a value twice": (lambda arrays: with_value(arrays, b"Drama"), "has a value twice"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_map_is_refused(featured: Path, name: str) -> None:
    change, reason = HOSTILE[name]
    arrays = read_arrays((featured / "features.arrays").read_bytes())
    change(arrays)
    (featured / "features.arrays").write_bytes(array_bytes(arrays))
    reseal(featured)
    with Recommender.open(featured) as rec, pytest.raises(BundleError, match=reason):
        rec.add_item("new", features=DRAMA)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        {"columns": []},
        {"columns": [{"name": "a", "kind": "number"}]},
        {"columns": [{"name": "a", "kind": "number", "size": 2}]},
        {"columns": [{"name": "a", "kind": "text", "size": 1}]},
        {"columns": [{"name": "", "kind": "number", "size": 1}]},
        {"columns": [{"name": "\x1b", "kind": "number", "size": 1}]},
        {"columns": [{"name": "a", "kind": "number", "size": 1}] * 2},
        {"columns": [{"name": f"{at}", "kind": "vector", "size": 2048} for at in range(2)]},
        {"columns": [{"name": f"{at}", "kind": "number", "size": 1} for at in range(65)]},
    ],
)
def test_a_hostile_manifest_is_refused(featured: Path, value: object) -> None:
    manifest = json.loads((featured / "manifest.json").read_text())
    manifest["features"] = value
    (featured / "manifest.json").write_text(json.dumps(manifest))
    reseal(featured)
    with pytest.raises(BundleError, match="features"):
        Recommender.open(featured)


def test_a_file_and_a_manifest_belong_together(featured: Path) -> None:
    manifest = json.loads((featured / "manifest.json").read_text())
    del manifest["features"]
    (featured / "manifest.json").write_text(json.dumps(manifest))
    reseal(featured)
    with pytest.raises(BundleError, match="and nothing else"):
        Recommender.open(featured)


def test_a_damaged_map_has_the_status_of_a_damaged_bundle(featured: Path, shell: Shell) -> None:
    data = bytearray((featured / "features.arrays").read_bytes())
    data[-3] ^= 1
    (featured / "features.arrays").write_bytes(data)
    for command in (("info", featured), ("add-item", featured, "new", "--features", "year=2000")):
        status, _, err = shell(*command)
        assert status == 4
        assert "features.arrays does not match its SHA-256" in err
    (featured / "features.arrays").unlink()
    assert shell("info", featured)[0] == 4


STATES: dict[str, tuple[Callable[[dict[str, np.ndarray]], object], str]] = {
    "no users": (lambda arrays: arrays.pop("added_users"), "added_users"),
    "rows of another length": (lambda arrays: arrays.update(added_rows=arrays["added_rows"][:, 1:]), "shape"),
    "a flat row": (lambda arrays: arrays.update(added_rows=arrays["added_rows"][0]), "added items of shape"),
    "too many": (lambda arrays: arrays.update(added_rows=np.zeros((1001, 1), np.float32)), "at most 1000"),
    "not finite": (lambda arrays: put(arrays, "added_rows", 0, np.inf), "not finite"),
    "a user that is none": (
        lambda arrays: arrays.update(added_users=np.array([5, 10_000], np.int32)),
        "one that does not exist",
    ),
    "a user twice": (lambda arrays: arrays.update(added_users=np.array([5, 5], np.int32)), "a user twice"),
    "ends that fall": (lambda arrays: put(arrays, "added_ends", 1, 3), "do not add up"),
    "ends that are short": (lambda arrays: put(arrays, "added_ends", -1, 1), "do not add up"),
    "an id of the bundle": (
        lambda arrays: arrays.update(added_first=np.array(-20, np.int64)),
        "in the bundle already",
    ),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose state has two added items, the second with two users."""
    made = write_real(tmp_path_factory.mktemp("kept") / "bundle")
    with Recommender.open(give_features(made.folder, feature_map(made.model.codebook.shape[1]))) as rec:
        rec.add_item(10_001, features=DRAMA)
        rec.add_item(10_002, users=[rec.user_ids[5], rec.user_ids[9]])
        rec.save()
    return made.folder


@pytest.mark.parametrize("name", STATES)
def test_a_hostile_state_is_refused(kept: Path, tmp_path: Path, name: str) -> None:
    change, reason = STATES[name]
    bundle = Path(shutil.copytree(kept, tmp_path / "bundle"))
    arrays = read_arrays((bundle / "state.bin").read_bytes()[32:])
    change(arrays)
    content = array_bytes(arrays)
    (bundle / "state.bin").write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(BundleError, match=reason):
        Recommender.open(bundle)


def test_a_state_with_ids_of_another_kind_is_refused(kept: Path, featured: Path, tmp_path: Path) -> None:
    with Recommender.open(featured) as rec:
        rec.add_item("new", features=DRAMA)
        rec.save()
    theirs = read_arrays((featured / "state.bin").read_bytes()[32:])
    bundle = Path(shutil.copytree(kept, tmp_path / "shared"))
    arrays = read_arrays((bundle / "state.bin").read_bytes()[32:])
    arrays = {name: array for name, array in arrays.items() if not name.startswith("added_")}
    arrays |= {name: array for name, array in theirs.items() if name.startswith("added_")}
    arrays["added_rows"] = np.zeros((1, read_dim(bundle)), np.float32)
    content = array_bytes(arrays)
    (bundle / "state.bin").write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(BundleError, match="of another kind"):
        Recommender.open(bundle)


def read_dim(bundle: Path) -> int:
    return int(json.loads((bundle / "manifest.json").read_text())["model"]["dim"])
