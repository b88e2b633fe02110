"""The device's API on bundles with a fake program, against dense algebra."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from _oracles import by_definition, parts
from _tiny import TinyModel, raw_ids, tiny_manifest, tiny_model, write_tiny

from lerg_runtime import BudgetError, BundleError, InputError, LergRuntimeError, Recommender, UnknownIdError
from lerg_runtime.bundle import write_bundle


def oracle(model: TinyModel, user: int, k: int, *, include_seen: bool = False) -> list[tuple[int, float]]:
    scores = model.scores()[user].astype(np.float32)
    seen = model.seen()[user] & (not include_seen)
    candidates = [(-float(score), item) for item, score in enumerate(scores) if not seen[item]]
    return [(item, -score) for score, item in sorted(candidates)[:k]]


@pytest.fixture
def rec(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


@pytest.mark.parametrize("include_seen", [False, True])
@pytest.mark.parametrize("k", [1, 7, 8, 20, 40])
def test_a_user_gets_the_best_items(rec: Recommender, model: TinyModel, k: int, include_seen: bool) -> None:
    names = raw_ids("text", model.items, prefix="item")
    for user in range(0, model.users, 7):
        ids, scores = rec.recommend(
            raw_ids("text", model.users, prefix="user")[user], k=k, include_seen=include_seen
        )
        expected = oracle(model, user, k, include_seen=include_seen)
        assert scores.tolist() == pytest.approx([score for _, score in expected], rel=1e-4, abs=1e-6)
        # Near-equal scores may change places between float32 and float64: compare by score.
        exact = model.scores()[user]
        assert [exact[names.index(name)] for name in ids] == pytest.approx(
            [exact[item] for item, _ in expected], rel=1e-4, abs=1e-6
        )
        assert ids.dtype == object
        assert scores.dtype == np.float32


@pytest.mark.parametrize("ids", ["text", "integer"])
def test_a_batch_is_its_users_one_by_one(
    tmp_path: Path, model: TinyModel, ids: str, fake_native: None
) -> None:
    rec = Recommender.open(write_tiny(tmp_path / "b", model, ids=ids))
    users = raw_ids(ids, model.users, prefix="user")[:11]
    items, scores = rec.recommend(users, k=39)
    assert items.shape == scores.shape == (11, 39)
    for row, user in enumerate(users):
        single, points = rec.recommend(user, k=39)
        there = np.isfinite(scores[row])
        assert items[row][there].tolist() == single.tolist()
        assert np.allclose(scores[row][there], points, rtol=1e-5)
        assert all(item in (None, -1) for item in items[row][~there].tolist())
    assert items.dtype == (object if ids == "text" else np.int64)


def test_ids_of_the_command_line_find_integers(tmp_path: Path, model: TinyModel, fake_native: None) -> None:
    rec = Recommender.open(write_tiny(tmp_path / "b", model, ids="integer"))
    assert rec.recommend("-20", k=3)[0].tolist() == rec.recommend(-20, k=3)[0].tolist()
    assert rec.recommend(np.array([-20, 0]), k=3)[0].shape == (2, 3)


def test_seen_items_never_come(rec: Recommender, model: TinyModel) -> None:
    users = raw_ids("text", model.users, prefix="user")
    items, _ = rec.recommend(users, k=40)
    names = np.array(raw_ids("text", model.items, prefix="item"), dtype=object)
    for user in range(model.users):
        assert not set(items[user].tolist()) & set(names[model.seen()[user]].tolist())
    assert all(None not in row for row in rec.recommend(users, k=40, include_seen=True)[0].tolist())


def test_unknown_users(rec: Recommender) -> None:
    with pytest.raises(
        UnknownIdError, match="there is no user 'bob' in this bundle; it knows 30 users, such as 'useré0000'"
    ):
        rec.recommend(["useré0001", "bob"])
    items, scores = rec.recommend(["bob", "useré0001"], k=3, on_unknown="skip")
    assert items[0].tolist() == [None] * 3
    assert np.all(scores[0] == -np.inf)
    assert items[1].tolist() == rec.recommend("useré0001", k=3)[0].tolist()
    assert len(rec.recommend("bob", on_unknown="skip")[0]) == 0
    assert rec.recommend([], k=3)[0].shape == (0, 3)


@pytest.mark.parametrize("users", [None, b"user\xc3\xa90001", 1.5])
def test_what_is_no_user(rec: Recommender, users: object) -> None:
    with pytest.raises(InputError, match=f"^the users are {re.escape(repr(users))}; give an id"):
        rec.recommend(users)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^the history is .*; give a list of item ids"):
        rec.recommend_from_history(users)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [0, -1, 41, 2.5, True, "3"])
def test_k_out_of_range(rec: Recommender, k: int) -> None:
    with pytest.raises(InputError, match=f"k is {k!r}"):
        rec.recommend("useré0001", k=k)


def test_similar_items(rec: Recommender, model: TinyModel) -> None:
    quantised = model.codebook * model.step.astype(np.float64).reshape(-1, 1)
    rows = np.concatenate([model.item_rows @ quantised, model.item_places])[model.slots("item")]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows[3]
    names = raw_ids("text", model.items, prefix="item")
    ids, values = rec.similar_items(names[3], k=39)
    assert names[3] not in ids.tolist()
    assert sorted(ids.tolist()) == sorted(set(names) - {names[3]})
    assert values.tolist() == pytest.approx([cosines[names.index(name)] for name in ids], abs=1e-5)
    assert np.all(np.diff(values) <= 0)
    # Pruned items of one placeholder are equally near, and come in order.
    for earlier, later, one, other in zip(ids[:-1], ids[1:], values[:-1], values[1:], strict=True):
        assert one > other or earlier < later
    with pytest.raises(UnknownIdError, match="there is no item 'x'"):
        rec.similar_items("x")
    with pytest.raises(InputError, match="there are 39 other items"):
        rec.similar_items(names[3], k=40)


@pytest.mark.parametrize("k", [5, 20])
def test_evaluate_ranks_all_but_what_was_seen(rec: Recommender, model: TinyModel, k: int) -> None:
    random = np.random.default_rng(5)
    users, items = raw_ids("text", model.users, prefix="user"), raw_ids("text", model.items, prefix="item")
    wanted = {
        user: set(random.choice(np.flatnonzero(~model.seen()[user]), 3, replace=False).tolist())
        for user in range(0, model.users, 2)
    }
    test = [(users[user], items[item]) for user, those in wanted.items() for item in those]
    top = [[item for item, _ in oracle(model, user, k)] for user in wanted]
    found = rec.evaluate([*test, test[0]], k=k)
    assert (found.recall, found.ndcg) == pytest.approx(by_definition(top, list(wanted.values()), k), abs=1e-6)
    assert found.users == len(wanted)
    assert (found.pairs, found.duplicates, found.rows) == (len(test), 1, len(test) + 1)
    skipped = rec.evaluate([*test, ("bob", items[0])], k=k, on_unknown="skip")
    assert (skipped.recall, skipped.ndcg, skipped.users) == (found.recall, found.ndcg, found.users)
    assert (skipped.unknown, skipped.duplicates) == (1, 0)
    with pytest.raises(UnknownIdError, match="interaction 2: there is no item 'nothing'"):
        rec.evaluate([test[0], (users[0], "nothing")])
    with pytest.raises(InputError, match="none of the 1 interactions"):
        rec.evaluate([("bob", "x")], on_unknown="skip")


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([], "there are no interactions"),
        ([("a",)], "interaction 1 is"),
        (["ab"], "interaction 1 is 'ab'"),
        ([1], "interaction 1 is '1'"),
        ("file.csv", "pass InteractionsFile"),
        (7, "not int"),
    ],
)
def test_what_is_no_pair(rec: Recommender, pairs: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        rec.evaluate(pairs)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=reason):
        rec.finetune(pairs)  # type: ignore[arg-type]


def test_a_closed_recommender_says_so(rec: Recommender) -> None:
    with rec:
        rec.recommend("useré0001")
    with pytest.raises(LergRuntimeError, match="is closed"):
        rec.recommend("useré0001")


def test_memory_goes_back(tiny_bundle: Path) -> None:
    rec = Recommender.open(tiny_bundle)
    opened = rec.memory[0]
    rec.recommend("useré0001")
    served = rec.memory[0]
    rec.finetune([("useré0001", "itemé0001")], epochs=1)
    assert rec.memory[0] < served
    # What stays is the interaction that is new, if anything.
    assert rec.memory[0] <= opened + 128


def test_opening_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        Recommender.open(tmp_path / "nothing")


def test_a_needed_release_that_is_not_installed(tmp_path: Path, fake_native: None) -> None:
    model = tiny_model()
    manifest = {**tiny_manifest(model), "requires": {"executorch": "1.6"}}
    write_bundle(tmp_path / "b", **{**parts(model), "manifest": manifest})
    with pytest.raises(BundleError, match=r"needs ExecuTorch 1\.6 and 1\.5"):
        Recommender.open(tmp_path / "b")


def test_the_usual_length_is_capped_at_what_there_is(tmp_path: Path, fake_native: None) -> None:
    few = tiny_model(users=10, items=6)
    rec = Recommender.open(write_tiny(tmp_path / "few", few, max_k=6))
    users, items = raw_ids("text", 10, prefix="user"), raw_ids("text", 6, prefix="item")
    assert rec.recommend(users)[0].shape == (10, 6)
    assert len(rec.recommend_from_history([items[0]])[0]) == 5
    assert len(rec.similar_items(items[0])[0]) == 5
    new = next((users[u], items[i]) for u, i in zip(*np.nonzero(~few.seen()), strict=True))
    assert rec.evaluate([new]).k == 6
    for ask in (rec.recommend, rec.recommend_from_history):
        with pytest.raises(InputError, match="k is 7 and there are 6 items"):
            ask([users[0]], k=7)
    with pytest.raises(InputError, match="k is 6 and there are 5 other items"):
        rec.similar_items(items[0], k=6)


def test_several_k_at_once(rec: Recommender, model: TinyModel) -> None:
    users, items = raw_ids("text", model.users, prefix="user"), raw_ids("text", model.items, prefix="item")
    test = [(users[u], items[i]) for u in range(0, 20) for i in np.flatnonzero(~model.seen()[u])[:3].tolist()]
    found = rec.evaluate(test, k=[10, 5, 10])
    assert [at.k for at in found.by_k] == [5, 10]
    for k in (5, 10):
        assert rec.evaluate(test, k=k).by_k == (found.at(k),)
        top = [[item for item, _ in oracle(model, user, k)] for user in range(20)]
        degrees = model.seen().sum(axis=0)
        assert found.at(k).coverage == len({item for row in top for item in row}) / model.items
        assert found.at(k).popularity == pytest.approx(degrees[np.array(top)].mean())
    assert found.per_user is None
    assert sum(group.users for group in found.groups) == 20


@pytest.mark.parametrize(
    ("k", "reason"),
    [
        ((), "k has 0 lengths"),
        (range(1, 18), "k has 17"),
        ((5, 0), "k is 0"),
        ("5,10", "k is '5,10'"),
        ({5}, "k is {5}"),
    ],
)
def test_what_are_no_lengths(rec: Recommender, k: object, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        rec.evaluate([("useré0001", "x")], k=k)  # type: ignore[arg-type]


def test_figures_of_users_are_planned_and_counted(tiny_bundle: Path, model: TinyModel) -> None:
    users, items = raw_ids("text", model.users, prefix="user"), raw_ids("text", model.items, prefix="item")
    test = [(users[u], items[i]) for u in range(30) for i in np.flatnonzero(~model.seen()[u])[:3].tolist()]
    with Recommender.open(tiny_bundle) as free:
        found = free.evaluate(test, k=(5, 10), per_user=True)
        assert found == free.evaluate(test, k=(5, 10))
        before = free.memory[0]
        figures = found.per_user
        del found
        assert figures is not None
        assert figures.figures.shape == (30, 2, 8)
        del figures
        assert free.memory[0] <= before - 4 * 30 * 16
        budget = free.plan().phase("recommend").total_bytes
    for _ in range(3):
        try:
            with Recommender.open(tiny_bundle, memory_budget=budget) as rec:
                assert rec.evaluate(test, k=(5, 10), per_user=True).users == 30
                assert rec.memory[1] <= budget
                break
        except BudgetError as error:
            budget, said = error.needed_bytes, str(error)
    else:
        pytest.fail(said)
    assert "figures of 30 users" in said
