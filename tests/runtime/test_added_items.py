"""Items that a device adds: their rows, their places in every answer, what is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _item_features import expected_row, feature_map, give_features
from _oracles import history_scores
from _shell import Shell
from _tiny import TinyModel, raw_ids, write_tiny

from lerg_runtime import BudgetError, InputError, Recommender, UnknownIdError
from lerg_runtime.bundle import _added as added_module

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")
DRAMA = {"genres": "Drama", "year": 2000}
VECTOR = [0, 1, 0, 0, 1, 0, 0, 0, 0, 0]  # of DRAMA


@pytest.fixture
def featured(tiny_bundle: Path, model: TinyModel) -> Path:
    return give_features(tiny_bundle, feature_map(model.dim))


@pytest.fixture
def rec(featured: Path) -> Recommender:
    return Recommender.open(featured)


def ranked(scores: np.ndarray, barred: np.ndarray, names: list[str], k: int) -> list[str]:
    """One ranking of everything by descending score and then index."""
    masked = np.where(barred, -np.inf, scores)
    order = np.argsort(-masked, kind="stable")[:k]
    return [names[at] for at in order if masked[at] > -np.inf]


def rows_of(rec: Recommender) -> np.ndarray:
    """The rows of the items that were added, as the state has them."""
    return np.array(rec.item_embeddings()[len(ITEMS) :], dtype=np.float64)


def test_a_row_is_what_the_map_says(rec: Recommender, model: TinyModel) -> None:
    found = feature_map(model.dim)
    given = {
        "drama": (DRAMA, VECTOR),
        "several": (
            {"genres": ["七人", "Crime"], "text": [0.1, 2.2, 0.3], "studio": "B"},
            [0.5, 0, 0, 0.5, 0, 0, 1, 0, 0, 1],
        ),
        "as a text": (
            {"genres": " Drama |Crime|", "year": "1980", "text": "[2.1, 0.2 0.3]", "studio": None},
            [0.5, 0.5, 0, 0, -1, 1, 0, 0, 0, 0],
        ),
    }
    for item, (features, _) in given.items():
        rec.add_item(item, features=features)
    assert rec.added_items == list(given)
    assert rec.item_ids[len(ITEMS) :] == list(given)
    for row, (_, vector) in zip(rows_of(rec), given.values(), strict=True):
        assert np.allclose(row, expected_row(found, vector), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 8, 41, 43])
def test_rankings_are_those_of_all_items_together(rec: Recommender, model: TinyModel, k: int) -> None:
    for number, genre in enumerate(("Crime", "Drama", "Sci-Fi")):
        rec.add_item(f"new-{number}", features={"genres": genre, "year": 1960 + 30 * number})
    names = ITEMS + rec.added_items
    rows = rec.user_embeddings().astype(np.float64)
    scores = np.hstack([model.scores(), rows @ rows_of(rec).T])
    barred = np.hstack([model.seen(), np.zeros((len(USERS), 3), dtype=bool)])
    ids, points = rec.recommend(USERS, k=k)
    assert ids.shape == (len(USERS), k)
    for user in range(len(USERS)):
        wanted = ranked(scores[user], barred[user], names, k)
        assert [item for item in ids[user] if item is not None] == wanted
        found = points[user][: len(wanted)]
        assert np.allclose(found, scores[user][[names.index(item) for item in wanted]], rtol=1e-4, atol=1e-6)
        alone, own = rec.recommend(USERS[user], k=k)
        assert alone.tolist() == wanted
        assert np.allclose(own, found, rtol=1e-6)
    history = [4, 9]
    whole = history_scores(model, history)
    ids, points = rec.recommend_from_history([ITEMS[item] for item in history], k=k)
    assert np.array_equal(rec.score_from_history([ITEMS[item] for item in history], ids), points)
    new = np.array([rec.score_from_history([ITEMS[item] for item in history], item) for item in names[40:]])
    barred_here = np.isin(np.arange(43), history)
    assert ids.tolist() == ranked(np.concatenate([whole, new]), barred_here, names, k)


def test_lists_of_items_hold_for_added_ones_too(rec: Recommender) -> None:
    rec.add_item("new", features=DRAMA)
    user = USERS[3]
    assert rec.recommend(user, items=["new"])[0].tolist() == ["new"]
    assert set(rec.recommend(user, items=["new", ITEMS[1], ITEMS[2]], include_seen=True)[0]) == {
        "new",
        ITEMS[1],
        ITEMS[2],
    }
    assert "new" not in rec.recommend(user, k=41, exclude=["new"])[0].tolist()
    assert "new" in rec.recommend(user, k=41)[0].tolist()
    both = rec.recommend(USERS[:3], k=2, items={USERS[1]: ["new"]}, exclude={USERS[0]: ["new"]})[0]
    assert both[1].tolist() == ["new", None]
    assert rec.recommend_from_history([ITEMS[4]], items=["new"])[0].tolist() == ["new"]
    assert rec.recommend_from_history([ITEMS[4]], k=5, items=[ITEMS[2]])[0].tolist() == [ITEMS[2]]
    with pytest.raises(UnknownIdError, match="there is no item 'newer'"):
        rec.recommend(user, items=["newer"])


def test_equal_scores_leave_added_items_last(tmp_path: Path, model: TinyModel, fake_native: None) -> None:
    bundle = write_tiny(tmp_path / "bundle", model)
    with Recommender.open(bundle) as rec:
        rec.add_item("twin", users=[USERS[0]])
        rec.add_item("another", users=[USERS[0]])
        one, two = rec.score(USERS[5], ["twin", "another"])  # type: ignore[misc]
        assert one == two
        ids = rec.recommend(USERS[5], k=42, include_seen=True)[0].tolist()
        assert ids.index("another") == ids.index("twin") + 1
        popular, counts = rec.recommend("nobody", k=42, on_unknown="popular")
        degrees = model.seen().sum(0)
        wanted = np.argsort(-np.concatenate([degrees, [1, 1]]), kind="stable")
        assert popular.tolist() == [([*ITEMS, "twin", "another"])[at] for at in wanted]
        assert counts[popular.tolist().index("twin")] == 1


def test_scores_and_likeness(rec: Recommender, model: TinyModel) -> None:
    rec.add_item("a", features=DRAMA)
    rec.add_item("b", features={"studio": "A"})
    asked = ["b", ITEMS[7], "a", ITEMS[0], "b"]
    rows, items = rec.user_embeddings(), rec.item_embeddings()
    wanted = rows @ items[[41, 7, 40, 0, 41]].T
    assert np.allclose(rec.score(USERS, asked), wanted, rtol=1e-4, atol=1e-6)
    assert np.allclose(rec.score(USERS, ["a"])[:, 0], wanted[:, 2], rtol=1e-4, atol=1e-6)  # type: ignore[index,call-overload]
    assert isinstance(rec.score(USERS[0], "a"), float)
    assert np.isnan(rec.score(USERS[0], "c", on_unknown="skip"))
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    names = [*ITEMS, "a", "b"]
    for item in ("a", ITEMS[3]):
        ids, found = rec.similar_items(item, k=41)
        at = names.index(item)
        assert sorted(ids) == sorted(set(names) - {item})
        assert np.allclose(found, np.sort(cosines[at])[::-1][:41], rtol=1e-3, atol=1e-5)
        assert np.allclose([cosines[at, names.index(other)] for other in ids], found, rtol=1e-3, atol=1e-5)


def test_first_users_give_a_row_by_one_hop_and_have_seen_the_item(
    tiny_bundle: Path, model: TinyModel
) -> None:
    first = [3, 8, 14]  # retained and pruned
    with Recommender.open(tiny_bundle) as rec:
        rec.add_item("new", users=[USERS[user] for user in (*first, 3)])
        degrees = model.seen().sum(1)[first]
        rows = rec.user_embeddings().astype(np.float64)[first]
        wanted = (rows / np.sqrt(degrees)[:, None]).sum(0)
        items = rec.item_embeddings().astype(np.float64)[: len(ITEMS)]
        wanted *= np.sqrt((items**2).sum(1).mean()) / np.linalg.norm(wanted)
        assert np.allclose(rows_of(rec)[0], wanted, rtol=1e-4, atol=1e-6)
        rec.add_item("boosted", users=[USERS[user] for user in first], boost=1.5)
        assert np.allclose(rows_of(rec)[1], 1.5 * wanted, rtol=1e-4, atol=1e-6)
        rec.remove_item("boosted")
        for user in range(len(USERS)):
            seen = rec.recommend(USERS[user], k=41)[0].tolist()
            assert ("new" in seen) == (user not in first)
            assert "new" in rec.recommend(USERS[user], k=41, include_seen=True)[0].tolist()


def test_what_is_kept_comes_back(featured: Path, tmp_path: Path) -> None:
    with Recommender.open(featured) as rec:
        rec.add_item("a", features=DRAMA)
        rec.add_item("b", users=USERS[2:5])
        rec.save()
        before = rec.recommend(USERS, k=42)
        rec.save(tmp_path / "copy")
        first = (featured / "state.bin").read_bytes()
        rec.save()
        assert len((featured / "state.bin").read_bytes()) == len(first)
    for folder in (featured, tmp_path / "copy"):
        with Recommender.open(folder) as again:
            assert again.added_items == ["a", "b"]
            after = again.recommend(USERS, k=42)
            assert after[0].tolist() == before[0].tolist()
            assert np.array_equal(after[1], before[1])
            again.remove_item("a")
            assert again.added_items == ["b"]
            assert again.item_ids[40:] == ["b"]
            again.add_item("b", features=DRAMA)  # anew
            assert "b" in again.recommend(USERS[3], k=41)[0].tolist()
            again.remove_item("b")
            assert len(again.item_ids) == 40
            again.save()
    with Recommender.open(featured) as none:
        assert none.added_items == []
        assert none.state.added is None


def test_fine_tuning_leaves_added_items_as_they_are(rec: Recommender, model: TinyModel) -> None:
    rec.add_item("new", features=DRAMA)
    row = rows_of(rec)
    unseen = np.argwhere(~model.seen())[:20]
    rec.finetune([(USERS[user], ITEMS[item]) for user, item in unseen], epochs=1, force=True)
    assert rec.added_items == ["new"]
    assert np.array_equal(rows_of(rec), row)
    assert "new" in rec.recommend(USERS[0], k=41)[0].tolist()


def test_what_an_added_item_cannot_do_yet(rec: Recommender) -> None:
    rec.add_item("new", features=DRAMA)
    said = "item 'new' was added on this device; it can be recommended, scored and compared"
    with pytest.raises(InputError, match=said):
        rec.recommend_from_history(["new", ITEMS[0]])
    with pytest.raises(InputError, match=said):
        rec.score_from_history(["new"], ITEMS[0])
    with pytest.raises(InputError, match=said):
        rec.explain(USERS[0], "new")
    with pytest.raises(InputError, match=said):
        rec.explain(["new"], ITEMS[0])
    with pytest.raises(InputError, match=said):
        rec.finetune([(USERS[0], "new")])
    with pytest.raises(InputError, match=said):
        rec.evaluate([(USERS[0], "new")])
    history, alone = ([*items, ITEMS[0]] for items in (["new"], []))
    skipped, wanted = (
        rec.recommend_from_history(items, k=5, on_unknown="skip")[0].tolist() for items in (history, alone)
    )
    assert skipped == wanted
    found = rec.evaluate([(USERS[0], "new"), (USERS[0], ITEMS[39])], on_unknown="skip")
    assert found.unknown == 1
    assert rec.title("new") is None
    assert rec.titles([ITEMS[0], "new"]) == [None, None]


BAD = {
    "both": ({"features": DRAMA, "users": USERS[:1]}, "one of the two"),
    "neither": ({}, "one of the two"),
    "no mapping": ({"features": ["Drama"]}, "the features are a list; give a mapping"),
    "nothing": ({"features": {}}, "none of the item's features"),
    "a column": (
        {"features": {"genre": "Drama"}},
        "knows no feature 'genre' of items; it knows 'genres'",
    ),
    "a value": (
        {"features": {"genres": "Western"}},
        "of the item is 'Western', which is none of the 4",
    ),
    "a number": ({"features": {"year": "soon"}}, "'year' of the item must be a number, not 'soon'"),
    "infinity": ({"features": {"year": float("inf")}}, "must be a number"),
    "two numbers": ({"features": {"year": [1, 2]}}, "must be a number"),
    "a short vector": ({"features": {"text": [1, 2]}}, "'text' of the item must be 3 numbers"),
    "a stranger": ({"users": ["bob"]}, "there is no user 'bob'"),
    "nobody": ({"users": []}, "none of the new item's users"),
    "no boost": ({"features": DRAMA, "boost": 0}, "boost is 0; it must be a number above 0 and up to 100"),
    "a vast boost": ({"features": DRAMA, "boost": 101}, "boost is 101"),
    "a boost that is none": ({"features": DRAMA, "boost": float("nan")}, "boost is nan"),
    "on_unknown": ({"features": DRAMA, "on_unknown": "popular"}, "on_unknown is 'popular'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_added(rec: Recommender, name: str) -> None:
    given, said = BAD[name]
    with pytest.raises(InputError, match=said):
        rec.add_item("new", **given)  # type: ignore[arg-type]
    assert rec.added_items == []


def test_what_is_unknown_can_be_skipped(rec: Recommender, model: TinyModel) -> None:
    features = {"genres": "Western|Drama", "genre": "x", "year": 2000}
    rec.add_item("new", features=features, on_unknown="skip")
    rec.add_item("two", users=["bob", USERS[0]], on_unknown="skip")
    assert np.allclose(rows_of(rec)[0], expected_row(feature_map(model.dim), VECTOR), rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="none of the item's features"):
        rec.add_item("three", features={"genres": "Western"}, on_unknown="skip")
    with pytest.raises(InputError, match="none of the new item's users"):
        rec.add_item("three", users=["bob"], on_unknown="skip")


@pytest.mark.parametrize("item", ["", 1.5, None, b"x", "a\x1b[2J", "é" * 2049, "\ud800"])
def test_what_is_no_id(rec: Recommender, item: object) -> None:
    with pytest.raises(InputError, match="the new item's id"):
        rec.add_item(item, features=DRAMA)  # type: ignore[arg-type]


def test_ids_of_the_bundles_kind(tmp_path: Path, model: TinyModel, rec: Recommender) -> None:
    with pytest.raises(InputError, match="is in this bundle already"):
        rec.add_item(ITEMS[0], features=DRAMA)
    with pytest.raises(InputError, match="is the bundle's own; exclude it"):
        rec.remove_item(ITEMS[0])
    with pytest.raises(UnknownIdError, match="there is no added item 'x'"):
        rec.remove_item("x")
    rec.add_item(12, features=DRAMA)
    assert rec.added_items == ["12"]
    bundle = write_tiny(tmp_path / "integers", model, ids="integer")
    with Recommender.open(bundle) as numbers:
        for item in ("x", "007", 2**63, "1.0"):
            with pytest.raises(InputError, match="the ids of this bundle's items are integers"):
                numbers.add_item(item, users=[-20])
        numbers.add_item("7", users=[-20])
        numbers.add_item(-7, users=[-10])
        assert numbers.added_items == [7, -7]
        ids, _ = numbers.recommend(0, k=42)
        assert ids.dtype == np.int64
        assert {7, -7} <= set(ids.tolist())
        numbers.save()
    with Recommender.open(bundle) as again:
        assert again.added_items == [7, -7]
        with pytest.raises(InputError, match="no map of item features; export it with --item-features"):
            again.add_item(8, features=DRAMA)


def test_a_state_holds_so_many(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(added_module, "MAX_ADDED_ITEMS", 2)
    monkeypatch.setattr(added_module, "MAX_FIRST_USERS", 3)
    rec.add_item("a", features=DRAMA)
    rec.add_item("b", users=USERS[:2])
    with pytest.raises(InputError, match="2 items have been added here, which is all"):
        rec.add_item("c", features=DRAMA)
    with pytest.raises(InputError, match="more than 3 users together"):
        rec.add_item("a", users=USERS[:2])
    rec.add_item("b", users=USERS[:3])  # in place of its two


def test_added_items_are_counted_before_they_are_read(featured: Path) -> None:
    with Recommender.open(featured) as rec:
        plain, used = rec.plan(), rec.memory[0]
        for number in range(30):
            rec.add_item(f"new-{number:03d}", features=DRAMA)
        more = rec.plan().phase("open").total_bytes - plain.phase("open").total_bytes
        assert 0 < rec.memory[0] - used <= more < 4 * (rec.memory[0] - used)
        rec.save()
        needed = max(rec.plan().phase(name).total_bytes for name in ("open", "encode", "recommend"))
    with Recommender.open(featured, memory_budget=needed) as rec:
        rec.recommend(USERS[0], k=70)
        assert rec.memory[1] <= needed
    with pytest.raises(BudgetError, match=r"added items \d+"):
        Recommender.open(featured, memory_budget=needed - more)


def test_what_does_not_fit_leaves_all_as_it_was(featured: Path) -> None:
    with Recommender.open(featured) as rec:
        needed = rec.plan().phase("open").total_bytes
        needed = max(needed, *(rec.plan().phase(name).total_bytes for name in ("encode", "recommend")))
    with Recommender.open(featured, memory_budget=needed) as rec:
        for number in range(2_000):
            try:
                rec.add_item(f"new-{number:04d}-{'x' * 2000}", features=DRAMA)
            except BudgetError:
                break
        else:
            raise AssertionError("the budget holds everything")
        assert len(rec.added_items) == number
        rec.recommend(USERS[0], k=5)


def test_the_command(featured: Path, shell: Shell) -> None:
    found = shell.json(
        "add-item", featured, "new", "--features", "genres=Drama|Crime", "--features", "year=2000"
    )
    assert found == {"item": "new", "removed": False, "added_items": 1}
    assert shell.json("add-item", featured, "more", "--users", f"{USERS[0]},{USERS[1]}")["added_items"] == 2
    told = shell.json("info", featured)
    assert told["state"]["added_items"] == 2
    assert told["features"][0] == {"name": "genres", "kind": "category", "size": 4}
    assert "added items" in told["memory"]["open"]["items"]
    best = shell.json(
        "recommend", featured, "--user", USERS[5], "--items", f"new,{ITEMS[2]}", "--include-seen"
    )
    assert {entry["item"] for entry in best["users"][0]["items"]} == {"new", ITEMS[2]}
    assert len(shell.json("similar", featured, "--item", "new", "-k", 41)["items"][0]["similar"]) == 41
    assert shell.json("score", featured, "--user", USERS[0], "--item", "more")["scores"][0]["item"] == "more"
    status, out, err = shell("add-item", featured, "more", "--remove")
    assert (status, out, err) == (0, "", "more removed; the bundle has 1 added item.\n")
    assert "genres (category)" in shell("info", featured)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new",), "give --features NAME=VALUE or --users"),
        (("new", "--features", "year=1", "--remove"), "give --features NAME=VALUE or --users"),
        (("new", "--features", "Drama"), "write NAME=VALUE"),
        (("new", "--features", "year=1", "--boost", "-1"), "boost is -1.0"),
        (("new", "--remove", "--boost", "2"), "--boost goes with"),
        (("new", "--features", "year=1", "--features", "year=2"), "names 'year' twice"),
        (("new", "--features", "genres=Western"), "which is none of the 4 values"),
        (("new", "--users", "bob"), "give --skip-unknown"),
        (("new", "--remove"), "there is no added item 'new'"),
    ],
)
def test_commands_that_cannot_be(featured: Path, shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    before = (featured / "state.bin").read_bytes()
    status, out, err = shell("add-item", featured, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert (featured / "state.bin").read_bytes() == before
