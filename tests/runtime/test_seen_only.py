"""Pairs that were held out for testing or rated low: seen, never learned from, measured where asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _oracles import reseal
from _shell import Shell
from _tiny import TinyModel, others, raw_ids, write_tiny

from lerg_runtime import BundleError, InputError, Recommender
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.bundle._arrays import array_bytes, read_arrays
from lerg_runtime.bundle._csr import encode_interactions

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")
Pairs = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def sets(model: TinyModel) -> dict[str, Pairs]:
    return others(model, "held_out", "disliked")


@pytest.fixture
def bundle(tmp_path: Path, model: TinyModel, sets: dict[str, Pairs], fake_native: None) -> Path:
    return write_tiny(tmp_path / "bundle", model, seen_only=sets)


def raw(pairs: Pairs) -> list[tuple[str, str]]:
    return [(USERS[user], ITEMS[item]) for user, item in zip(*(part.tolist() for part in pairs), strict=True)]


def test_they_are_stored_and_come_back(bundle: Path, model: TinyModel, sets: dict[str, Pairs]) -> None:
    folder = BundleFolder.open(bundle)
    found = folder.read_seen_only(folder.read_interactions())
    for name, (users, items) in sets.items():
        pairs = getattr(found, name)
        assert np.array_equal(pairs.users_of(np.arange(len(pairs))), users)
        assert np.array_equal(pairs.items, items)
    sizes = folder.stored_sizes()
    assert (sizes.held_out, sizes.disliked) == tuple(len(users) for users, _ in sets.values())
    assert sizes.pairs == len(model.pairs[0])


def test_a_bundle_without_them_has_no_array_for_them(tmp_path: Path, model: TinyModel) -> None:
    nothing = (np.empty(0, np.int32),) * 2
    plain = write_tiny(tmp_path / "a", model)
    empty = write_tiny(tmp_path / "b", model, seen_only={"held_out": nothing, "disliked": nothing})
    assert (plain / "interactions.arrays").read_bytes() == (empty / "interactions.arrays").read_bytes()
    assert list(read_arrays((plain / "interactions.arrays").read_bytes())) == ["pairs"]
    folder = BundleFolder.open(plain)
    found = folder.read_seen_only(folder.read_interactions())
    assert (found.held_out, found.disliked) == (None, None)


def test_none_of_them_is_recommended(bundle: Path, model: TinyModel, sets: dict[str, Pairs]) -> None:
    rec = Recommender.open(bundle)
    seen = model.seen()
    for pairs in sets.values():
        seen[pairs] = True
    items, _ = rec.recommend(USERS, k=40)
    for user, row in enumerate(items.tolist()):
        expected = [ITEMS[item] for item in np.flatnonzero(~seen[user])]
        assert sorted(item for item in row if item is not None) == expected
        assert sorted(rec.recommend(USERS[user], k=40)[0].tolist()) == expected
    everything, _ = rec.recommend(USERS, k=40, include_seen=True)
    assert all(sorted(row) == ITEMS for row in everything.tolist())


def test_the_command_leaves_them_out(shell: Shell, bundle: Path, sets: dict[str, Pairs]) -> None:
    told = shell.json("recommend", bundle, "--all-users", "-k", 40)
    given = {(entry["user"], item["item"]) for entry in told["users"] for item in entry["items"]}
    assert given
    for pairs in sets.values():
        assert not given & set(raw(pairs))


def expected_ndcg(model: TinyModel, out: np.ndarray, test: np.ndarray, k: int) -> float:
    """NDCG@k by the definition, where `out` may not be recommended."""
    scores = np.where(out, -np.inf, model.scores().astype(np.float32))
    values = []
    for user in np.flatnonzero(test.any(axis=1)):
        order = sorted(range(model.items), key=lambda item: (-scores[user, item], item))[:k]
        gain = sum(test[user, item] / np.log2(rank + 2) for rank, item in enumerate(order))
        ideal = sum(1 / np.log2(rank + 2) for rank in range(min(k, int(test[user].sum()))))
        values.append(gain / ideal)
    return float(np.mean(values))


@pytest.mark.parametrize("part", ["all of them", "one in three"])
def test_held_out_pairs_are_candidates_only_where_they_are_measured(
    bundle: Path, model: TinyModel, sets: dict[str, Pairs], part: str
) -> None:
    pairs = tuple(column[:: 1 if part == "all of them" else 3] for column in sets["held_out"])
    test, out = np.zeros_like(model.seen()), model.seen()
    test[pairs] = True
    for others_ in sets.values():
        out[others_] = True
    found = Recommender.open(bundle).evaluate(raw(pairs), k=10)  # type: ignore[arg-type]
    assert found.ndcg == pytest.approx(expected_ndcg(model, out & ~test, test, 10), abs=1e-9)
    assert (found.pairs, found.already_seen, found.rows) == (len(pairs[0]), 0, len(pairs[0]))


def test_the_rows_of_a_test_file_are_accounted_for(
    shell: Shell, bundle: Path, model: TinyModel, sets: dict[str, Pairs], tmp_path: Path
) -> None:
    trained = raw(model.pairs)[0]
    held_out, disliked = raw(sets["held_out"])[:2], raw(sets["disliked"])[0]
    rows = [*held_out, held_out[0], trained, disliked, ("nobody", ITEMS[0]), (USERS[0], "nothing")]
    path = tmp_path / "test.csv"
    path.write_text(
        "user,item,rating\n" + "".join(f"{u},{i},5\n" for u, i in rows) + f"{USERS[1]},{ITEMS[0]},1\n"
    )
    told = shell.json("evaluate", bundle, "--test", path, "--skip-unknown", "--rating-threshold", 4)
    counts = {name: told[name] for name in told if "@" not in name and name not in ("file", "groups")}
    assert counts == {
        "users": len({user for user, _ in held_out}),
        "pairs": 2,
        "rows": 8,
        "unknown": 2,
        "below_threshold": 1,
        "duplicates": 1,
        "already_seen": 2,
        "bad_rows": 0,
    }
    status, out, _ = shell("evaluate", bundle, "--test", path, "--skip-unknown", "--rating-threshold", 4)
    assert status == 0
    assert "Of 8 rows not measured: 2 already seen, 2 unknown, 1 repeated, 1 rated below" in out


def test_a_test_file_of_which_nothing_is_left_is_refused(
    shell: Shell, bundle: Path, model: TinyModel, sets: dict[str, Pairs], tmp_path: Path
) -> None:
    path = tmp_path / "test.csv"
    rows = [*raw(model.pairs), *raw(sets["disliked"])]
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in rows))
    status, out, err = shell("evaluate", bundle, "--test", path)
    assert (status, out) == (2, "")
    assert f"{len(rows)} are pairs that the bundle has seen already" in err
    path.write_text(f"user,item,rating\n{USERS[0]},{ITEMS[0]},1\n{USERS[0]},{ITEMS[1]},2\n")
    status, out, err = shell("evaluate", bundle, "--test", path, "--rating-threshold", 3)
    assert (status, out) == (2, "")
    assert "all 2 rows are rated below 3" in err


def test_fine_tuning_on_one_makes_it_an_interaction(
    bundle: Path, model: TinyModel, sets: dict[str, Pairs]
) -> None:
    rec = Recommender.open(bundle)
    learned = [raw(pairs)[0] for pairs in sets.values()]
    before = rec.finetune(None, epochs=1)
    assert before.replayed <= len(model.pairs[0])
    assert rec.finetune(learned, epochs=1).new_interactions == 2
    rec.save()
    again = Recommender.open(bundle)
    assert len(again.state.users) == 2
    assert again.finetune(learned, epochs=1).known_interactions == 2
    with pytest.raises(InputError, match="2 are pairs that the bundle has seen already"):
        again.evaluate(learned)
    for user, item in learned:
        assert item not in again.recommend(user, k=40)[0].tolist()


def damaged(bundle: Path, change: Callable[[dict[str, np.ndarray]], None]) -> BundleFolder:
    """The bundle with other arrays in `interactions.arrays` and digests to match."""
    path = bundle / "interactions.arrays"
    arrays = read_arrays(path.read_bytes())
    change(arrays)
    path.write_bytes(array_bytes(arrays, as_they_are=arrays))
    reseal(bundle)
    return BundleFolder.open(bundle)


def _same(arrays: dict[str, np.ndarray]) -> None:
    arrays["disliked_pairs"] = arrays["held_out_pairs"]


def _trained(arrays: dict[str, np.ndarray]) -> None:
    arrays["held_out_pairs"] = arrays["pairs"]


def _short(arrays: dict[str, np.ndarray]) -> None:
    arrays["disliked_pairs"] = arrays["disliked_pairs"][:-1]


def _fewer(arrays: dict[str, np.ndarray]) -> None:
    arrays["held_out_pairs"] = np.concatenate((arrays["held_out_pairs"], [1])).astype(np.uint8)


def _others(arrays: dict[str, np.ndarray]) -> None:
    arrays["held_out_pairs"] = encode_interactions(np.array([1]), np.array([2]), user_count=31, item_count=40)


def _no_code(arrays: dict[str, np.ndarray]) -> None:
    arrays["held_out_pairs"] = np.arange(200, dtype=np.uint8)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_same, "a pair is among held_out and disliked"),
        (_trained, "a pair is among interactions and held_out"),
        (_short, "array disliked_pairs is damaged .the parts of the coded pairs do not add up|does not fit"),
        (_fewer, "array held_out_pairs is damaged .the parts of the coded pairs do not add up"),
        (_others, "array held_out_pairs is damaged .its pairs are of 31 users and 40 items"),
        (_no_code, "array held_out_pairs is damaged"),
    ],
)
def test_sets_that_cannot_be_are_refused(
    bundle: Path, change: Callable[[dict[str, np.ndarray]], None], says: str
) -> None:
    folder = damaged(bundle, change)
    with pytest.raises(BundleError, match=says):
        folder.read_seen_only(folder.read_interactions())
    with pytest.raises(BundleError, match=says):
        Recommender.open(bundle)


@pytest.mark.parametrize("name", ["held_out", "disliked"])
def test_the_writer_refuses_a_pair_that_was_trained_on(tmp_path: Path, model: TinyModel, name: str) -> None:
    with pytest.raises(BundleError, match=f"a pair is among interactions and {name}"):
        write_tiny(tmp_path / "bundle", model, seen_only={name: model.pairs})
    assert not (tmp_path / "bundle").exists()
