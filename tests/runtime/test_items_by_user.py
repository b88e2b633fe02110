"""What `--items` and `--exclude` read from a file by user: the same answers, in memory that is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _shell import Shell
from _tiny import raw_ids

from lerg_runtime import Recommender

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


def listed(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in rows))
    return path


@pytest.mark.parametrize("option", ["items", "exclude"])
def test_a_file_is_what_a_mapping_is(shell: Shell, tiny_bundle: Path, tmp_path: Path, option: str) -> None:
    rows = [(user, item) for at, user in enumerate(USERS[:25]) for item in ITEMS[at : 3 * at % 40]]
    rows += [(USERS[3], "nothing"), (USERS[26], "nothing"), ("nobody", ITEMS[0])]
    path = listed(tmp_path / "listed.csv", rows)
    by_user: dict[str, list[str]] = {}
    for user, item in rows:
        by_user.setdefault(user, []).append(item)
    rec = Recommender.open(tiny_bundle)
    wanted = [
        [raw for raw in row if raw is not None]
        for row in rec.recommend(USERS, k=12, on_unknown="skip", **{option: by_user})[0].tolist()  # type: ignore[arg-type]
    ]
    told = shell.json(
        "recommend", tiny_bundle, "--all-users", f"--{option}", path, "--skip-unknown", "-k", 12
    )
    assert [[entry["item"] for entry in user["items"]] for user in told["users"]] == wanted


def test_what_is_listed_for_somebody_unknown_holds(shell: Shell, tiny_bundle: Path, tmp_path: Path) -> None:
    path = listed(tmp_path / "listed.csv", [("nobody", ITEMS[7]), ("nobody", "nothing"), ("other", ITEMS[1])])
    ask = ("recommend", tiny_bundle, "--fallback", "popular", "--items", path)
    told = shell.json(*ask, "--user", "nobody", "--user", "stranger", "-k", 3)
    assert [len(user["items"]) for user in told["users"]] == [1, 3]
    assert told["users"][0]["items"][0]["item"] == ITEMS[7]


def test_ids_that_are_unknown_are_told_by_line(shell: Shell, tiny_bundle: Path, tmp_path: Path) -> None:
    for rows, says in (
        ([(USERS[0], ITEMS[0]), (USERS[1], "nothing")], "line 3: there is no item 'nothing'"),
        ([("nobody", ITEMS[0])], "line 2: there is no user 'nobody'"),
    ):
        path = listed(tmp_path / "listed.csv", rows)
        status, out, err = shell("recommend", tiny_bundle, "--all-users", "--exclude", path)
        assert (status, out) == (2, "")
        assert says in err
        assert "give --skip-unknown" in err


def test_a_budget_counts_it(shell: Shell, tiny_bundle: Path, tmp_path: Path) -> None:
    path = listed(tmp_path / "listed.csv", [(user, item) for user in USERS for item in ITEMS])
    plan = Recommender.open(tiny_bundle).plan()
    budget = max(plan.phase(name).total_bytes for name in ("open", "encode"))
    ask = ("recommend", tiny_bundle, "--all-users", "--exclude", path, "--json", "--memory-budget")
    sentences = []
    for _ in range(5):
        status, out, err = shell(*ask, budget)
        if status == 0:
            break
        assert status == 3, err
        sentences.append(err)
        budget = int(err.rsplit("give at least ", 1)[1].split(" ", 1)[0])
    assert any("given with the question" in sentence for sentence in sentences)
    assert all(user["items"] == [] for user in json.loads(out)["users"])
