"""Rows of a fine-tuning file below the threshold: seen from then on, no positives, and likable again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _shell import Shell
from _tiny import TinyModel, others, raw_ids, write_tiny

from lerg_runtime import BudgetError, BundleError, InputError, InteractionsFile, Recommender
from lerg_runtime._limits import MAX_LOCAL_INTERACTIONS
from lerg_runtime.bundle import BundleFolder, State, save_state
from lerg_runtime.bundle._arrays import array_pieces
from lerg_runtime.bundle._state import encode_state

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture
def bundle(tmp_path: Path, model: TinyModel, fake_native: None) -> Path:
    sets = others(model, "held_out", "disliked")
    return write_tiny(tmp_path / "bundle", model, seen_only=sets)


@pytest.fixture
def free(bundle: Path) -> dict[str, list[str]]:
    """Items that each user may get, best first."""
    rec = Recommender.open(bundle)
    return {user: rec.recommend(user, k=40)[0].tolist() for user in USERS}


def rated(path: Path, rows: list[tuple[object, ...]], header: str = "user,item,rating") -> InteractionsFile:
    path.write_text(header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return InteractionsFile(path, rating_threshold=4)


def test_they_count_as_seen_from_then_on(
    shell: Shell, bundle: Path, free: dict[str, list[str]], tmp_path: Path
) -> None:
    user, other = USERS[3], USERS[4]
    low, high = free[user][:3], free[other][0]
    path = rated(tmp_path / "new.csv", [*((user, item, 1) for item in low), (other, high, 5)]).path
    told = shell.json("finetune", bundle, "--interactions", path, "--rating-threshold", 4, "--epochs", 1)
    assert (told["new_interactions"], told["below_threshold"], told["disliked"], told["withdrawn"]) == (
        1,
        3,
        3,
        0,
    )
    rec = Recommender.open(bundle)
    assert sorted(rec.recommend(user, k=40)[0].tolist()) == sorted(free[user][3:])
    assert set(rec.recommend(USERS, k=40)[0][3].tolist()) - {None} == set(free[user][3:])
    assert sorted(rec.recommend(user, k=40, include_seen=True)[0].tolist()) == ITEMS
    assert shell.json("info", bundle)["state"]["local_disliked"] == 3
    assert "+ 3 local rated low" in shell("info", bundle)[1]
    assert rec.finetune([(other, high)], epochs=1).known_interactions == 1
    assert set(rec.recommend(user, k=40)[0].tolist()).isdisjoint(low)


def test_they_are_no_positives_and_not_measured(
    bundle: Path, model: TinyModel, free: dict[str, list[str]], tmp_path: Path
) -> None:
    rec = Recommender.open(bundle)
    learned = [
        (USERS[user], ITEMS[item])
        for user, item in zip(*(part.tolist() for part in model.pairs), strict=True)
    ]
    before = rec.finetune(None, epochs=1).replayed
    mine = [pair for pair in learned if pair[0] == USERS[0]]
    low = [*mine, (USERS[0], free[USERS[0]][0])]
    report = rec.finetune(
        rated(tmp_path / "new.csv", [*((*pair, 2) for pair in low), (USERS[1], free[USERS[1]][0], 4)])
    )
    assert (report.disliked, report.withdrawn) == (len(low), len(mine))
    after = rec.finetune(None, epochs=1).replayed
    assert after == before + 1 - sum(trainable(model, *pair) for pair in mine)
    with pytest.raises(InputError, match=f"{len(low)} are pairs that the bundle has seen already"):
        rec.evaluate(low)


def trainable(model: TinyModel, user: str, item: str) -> bool:
    return bool(model.retained_users[USERS.index(user)] or model.retained_items[ITEMS.index(item)])


def test_a_liking_takes_a_dislike_back_and_the_other_way_round(
    bundle: Path, free: dict[str, list[str]], tmp_path: Path
) -> None:
    pair = (USERS[5], free[USERS[5]][0])
    for opened in range(2):
        rec = Recommender.open(bundle)
        low = rec.finetune(rated(tmp_path / "low.csv", [(*pair, 1)]), epochs=1)
        assert (low.disliked, low.withdrawn, low.steps, low.epochs) == (1, opened, 0, ())
        assert len(rec.state.disliked_users) == 1
        high = rec.finetune([pair], epochs=1)
        assert (high.new_interactions, high.known_interactions) == (1 - opened, opened)
        assert high.steps > 0
        assert len(rec.state.disliked_users) == 0
        rec.save()
    state = Recommender.open(bundle).state
    assert [(USERS[user], ITEMS[item]) for user, item in zip(state.users, state.items, strict=True)] == [pair]


def test_what_the_export_knows_to_be_low_is_not_stored_twice(
    bundle: Path, model: TinyModel, tmp_path: Path
) -> None:
    users, items = others(model, "held_out", "disliked")["disliked"]
    pair = (USERS[users[0]], ITEMS[items[0]])
    rec = Recommender.open(bundle)
    assert rec.finetune(rated(tmp_path / "low.csv", [(*pair, 1)])).disliked == 0
    assert rec.finetune([pair], epochs=1).new_interactions == 1
    again = rec.finetune(rated(tmp_path / "low.csv", [(*pair, 1)]))
    assert (again.disliked, again.withdrawn) == (1, 1)


def test_weights_stay_where_all_is_low(
    bundle: Path, free: dict[str, list[str]], shell: Shell, tmp_path: Path
) -> None:
    path = rated(tmp_path / "low.csv", [(USERS[0], free[USERS[0]][0], 1), ("nobody", "nothing", 1)]).path
    before = Recommender.open(bundle).state
    status, out, _ = shell("finetune", bundle, "--interactions", path, "--rating-threshold", 4)
    assert status == 0
    assert "2 rows rated below the threshold: 1 pairs count as seen from now on" in out
    assert "the weights stay as they are" in out
    after = Recommender.open(bundle).state
    assert np.array_equal(after.codebook, before.codebook)
    assert free[USERS[0]][0] not in Recommender.open(bundle).recommend(USERS[0], k=39)[0].tolist()
    path = rated(tmp_path / "unknown.csv", [("nobody", "nothing", 1)]).path
    status, out, err = shell("finetune", bundle, "--interactions", path, "--rating-threshold", 4)
    assert (status, out) == (2, "")
    assert "all 1 rows are rated below 4" in err


RULE = {
    "the last row": ("user,item,rating", [(1,), (5,)], True),
    "the last row, low": ("user,item,rating", [(5,), (1,)], False),
    "the latest": ("user,item,rating,timestamp", [(5, 20), (1, 10)], True),
    "the latest, low": ("user,item,rating,timestamp", [(1, 20), (5, 10)], False),
    "of equally late ones the last": ("user,item,rating,timestamp", [(1, 10), (5, 10), (1, 9)], True),
    "nanoseconds": (
        "user,item,rating,ts",
        [(1, 1717156800000000002), (5, 1717156800000000001)],
        False,
    ),
    "fractions": ("user,item,rating,ts", [(5, "881250949.75"), (1, "881250949.5")], True),
    "dates with zones": (
        "user,item,rating,date",
        [(5, "2024-05-31T12:00:00+02:00"), (1, "2024-05-31T11:00:00Z")],
        False,
    ),
    "three rows": (
        "user,item,rating,date",
        [(1, "2024-05-31"), (5, "2024-06-02"), (1, "2024-06-01 12:00")],
        True,
    ),
}


@pytest.mark.parametrize(("header", "rows", "liked"), RULE.values(), ids=RULE.keys())
def test_the_latest_row_decides(
    bundle: Path,
    free: dict[str, list[str]],
    tmp_path: Path,
    header: str,
    rows: list[tuple[object, ...]],
    liked: bool,
) -> None:
    pair = (USERS[7], free[USERS[7]][0])
    known = (USERS[8], free[USERS[8]][0])
    extra = (5, *rows[0][1:])
    path = tmp_path / "both.csv"
    file = rated(path, [*((*pair, *row) for row in rows), (*known, *extra)], header)
    rec = Recommender.open(bundle)
    measured = rec.evaluate(file)
    assert (measured.pairs, measured.rows) == (1 + liked, len(rows) + 1)
    report = rec.finetune(file, epochs=1)
    assert (report.new_interactions, report.disliked) == (1 + liked, 1 - liked)


def test_a_time_that_cannot_be_read_matters_where_rows_disagree(
    shell: Shell, bundle: Path, free: dict[str, list[str]], tmp_path: Path
) -> None:
    pair, other = (USERS[7], free[USERS[7]][0]), (USERS[8], free[USERS[8]][0])
    path = tmp_path / "both.csv"
    rated(path, [(*other, 5, 3), (*pair, 5, "soon"), (*pair, 1, 7)], "user,item,rating,ts")
    command = ("evaluate", bundle, "--test", path, "--rating-threshold", 4)
    status, out, err = shell(*command)
    assert (status, out) == (2, "")
    assert "both.csv, line 3: the timestamp 'soon' is not a number" in err
    assert shell.json(*command, "--skip-bad-rows")["bad_rows"] == 1
    assert shell.json(*command, "--timestamp-column", "")["pairs"] == 1
    rated(path, [(*other, 5, "soon"), (*pair, 5, "later")], "user,item,rating,ts")
    assert shell.json(*command)["pairs"] == 2


def test_the_state_keeps_them_within_bounds(bundle: Path, tmp_path: Path) -> None:
    folder = BundleFolder.open(bundle)
    state = folder.read_state()
    plain = encode_state(state, digest=folder.digest)
    one = np.array([1], np.int32)
    more = replace(state, disliked_users=one, disliked_items=one)
    assert len(encode_state(more, digest=folder.digest)) > len(plain)
    save_state(bundle, more, digest=folder.digest)
    assert Recommender.open(bundle).state.disliked_items.tolist() == [1]
    many = np.arange(MAX_LOCAL_INTERACTIONS + 1, dtype=np.int32)
    with pytest.raises(InputError, match="a state holds"):
        encode_state(replace(state, disliked_users=many, disliked_items=many), digest=folder.digest)


def _pairs(users: list[int], items: list[int]) -> Callable[[State], State]:
    return lambda state: replace(
        state, disliked_users=np.array(users, np.int32), disliked_items=np.array(items, np.int32)
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_pairs([30], [0]), "does not exist"),
        (_pairs([0], [-1]), "does not exist"),
        (_pairs([1, 0], [0, 0]), "must be sorted"),
        (_pairs([1, 1], [2, 2]), "must be sorted"),
    ],
)
def test_states_that_cannot_be_are_refused(bundle: Path, change: Callable[[State], State], says: str) -> None:
    folder = BundleFolder.open(bundle)
    save_state(bundle, change(folder.read_state()), digest=folder.digest)
    with pytest.raises(BundleError, match=says):
        Recommender.open(bundle)


def test_one_array_without_the_other_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BundleFolder.open(bundle)

    def without(arrays: dict[str, np.ndarray], **how: Any) -> list[Any]:
        kept = {name: array for name, array in arrays.items() if name != "disliked_items"}
        return array_pieces(kept, **how)

    monkeypatch.setattr("lerg_runtime.bundle._state.array_pieces", without)
    save_state(bundle, _pairs([1], [1])(folder.read_state()), digest=folder.digest)
    with pytest.raises(BundleError, match="disliked_users and disliked_items"):
        Recommender.open(bundle)


def test_the_plan_counts_them(bundle: Path, free: dict[str, list[str]], tmp_path: Path) -> None:
    before = Recommender.open(bundle).plan().peak_bytes
    rows = [(user, item, 1) for user in USERS for item in free[user][:5]]
    rec = Recommender.open(bundle)
    rec.finetune(rated(tmp_path / "low.csv", rows))
    plan = rec.plan()
    assert [item.size_bytes for item in plan.resident if item.name == "local disliked pairs"] == [
        2 * 640 + 128 + 192
    ]
    assert plan.peak_bytes > before
    rec.save()
    Recommender.open(bundle, memory_budget=plan.peak_bytes)
    with pytest.raises(BudgetError):
        Recommender.open(bundle, memory_budget=plan.phase("open").total_bytes - 1)


def test_no_loss_is_told_where_nothing_was_trained(
    shell: Shell, tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    everything = tuple(part.astype(np.int32) for part in np.nonzero(np.ones((30, 40), dtype=bool)))
    bundle = write_tiny(tmp_path / "full", replace(model, pairs=everything))
    path = tmp_path / "new.csv"
    path.write_text(f"user,item\n{USERS[0]},{ITEMS[0]}\n")
    status, out, _ = shell("finetune", bundle, "--interactions", path)
    assert status == 0
    assert "nothing is left to learn from" in out
    assert ": loss" not in out
