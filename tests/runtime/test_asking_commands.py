"""`lerg-edge recommend` with filters and fallback, `similar`, `score` and `explain`: what Python answers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _person import PersonBundle, write_person
from _shell import Shell
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime import Recommender

USERS, ITEMS = raw_ids("text", 30, prefix="user"), raw_ids("text", 40, prefix="item")


@pytest.fixture
def rec(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


def told_items(entry: Any) -> list[Any]:
    return [item["item"] for item in entry["items"]]


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_filters_by_ids_and_by_file(
    shell: Shell, tiny_bundle: Path, rec: Recommender, tmp_path: Path
) -> None:
    catalogue = tmp_path / "catalogue.txt"
    catalogue.write_text(
        "item\n" + "\n\n".join(f"  {item} " for item in ITEMS[5:30]) + "\r\n", encoding="utf-8"
    )
    options = ("--items", catalogue, "--items", ITEMS[2], "--exclude", f"{ITEMS[7]},{ITEMS[9]}", "-k", 40)
    only, never = [*ITEMS[5:30], ITEMS[2]], [ITEMS[7], ITEMS[9]]
    told = shell.json("recommend", tiny_bundle, "--user", USERS[3], "--user", USERS[4], *options)
    for entry, user in zip(told["users"], USERS[3:5], strict=True):
        assert told_items(entry) == rec.recommend(user, k=40, items=only, exclude=never)[0].tolist()
    told = shell.json("recommend", tiny_bundle, "--history", ITEMS[8], *options)
    found, _ = rec.recommend_from_history([ITEMS[8]], k=40, items=only, exclude=never)
    assert told_items(told["users"][0]) == found.tolist()
    output = tmp_path / "top.csv"
    assert shell("recommend", tiny_bundle, "--all-users", *options, "--output", output)[0] == 0
    rows = read(output)
    assert {row["item"] for row in rows} <= set(only) - set(never)
    assert [row["item"] for row in rows if row["user"] == USERS[3]] == rec.recommend(
        USERS[3], k=40, items=only, exclude=never
    )[0].tolist()


def test_a_file_by_user(shell: Shell, tiny_bundle: Path, rec: Recommender, tmp_path: Path) -> None:
    path = tmp_path / "rented.csv"
    lists = {USERS[3]: ITEMS[4:20], USERS[5]: ITEMS[30:33]}
    path.write_text(
        "user,item\n" + "".join(f"{user},{item}\n" for user, items in lists.items() for item in items),
        encoding="utf-8",
    )
    who = [part for user in USERS[3:6] for part in ("--user", user)]
    for option in ("items", "exclude"):
        told = shell.json("recommend", tiny_bundle, *who, f"--{option}", path, "-k", 40)
        for entry in told["users"]:
            wanted = rec.recommend(entry["user"], k=40, **{option: lists.get(entry["user"])})[0]
            assert told_items(entry) == wanted.tolist()
    status, _, err = shell("recommend", tiny_bundle, "--history", ITEMS[1], "--items", path)
    assert (status, "has items by user; without --user or --all-users" in err) == (2, True)
    status, _, err = shell("recommend", tiny_bundle, *who, "--items", path, "--items", ITEMS[1])
    assert (status, "give no other --items beside it" in err) == (2, True)


def test_an_id_is_an_id_before_it_is_a_file(
    shell: Shell, tmp_path: Path, fake_native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(["a,b", *(f"item{number:02d}" for number in range(39))])
    write_tiny(tmp_path / "b", tiny_model(), item_ids=names)
    monkeypatch.chdir(tmp_path)
    Path("a,b").write_text("item03\n")
    Path("c").write_text("item03\n")
    options = ("--user", USERS[0], "--include-seen")
    for given, meant in (("a,b", "a,b"), ("c", "item03"), ("item04", "item04")):
        assert told_items(shell.json("recommend", "b", *options, "--items", given)["users"][0]) == [meant]


def test_unknown_ids_of_filters(shell: Shell, tiny_bundle: Path, rec: Recommender, tmp_path: Path) -> None:
    lines, table = tmp_path / "lines.txt", tmp_path / "table.csv"
    lines.write_text(f"{ITEMS[3]}\n\nx\n", encoding="utf-8")
    table.write_text(f"user,item\n{USERS[1]},{ITEMS[3]}\n{USERS[1]},x\nbob,{ITEMS[4]}\n", encoding="utf-8")
    who = ("--user", USERS[1], "--include-seen")
    for given, sentence in (
        (lines, f"{lines}, line 3: there is no item 'x' in this bundle"),
        (table, f"{table}, line 3: there is no item 'x' in this bundle"),
        (f"{ITEMS[3]},x", "there is no item 'x' in this bundle"),
    ):
        status, out, err = shell("recommend", tiny_bundle, *who, "--items", given)
        assert (status, out) == (2, "")
        assert sentence in err
        assert "on_unknown" not in err
        for more in ("--skip-unknown",), ("--fallback", "popular"):
            told = shell.json("recommend", tiny_bundle, *who, "--items", given, *more)
            assert told_items(told["users"][0]) == [ITEMS[3]]
    table.write_text(f"user,item\nbob,{ITEMS[4]}\n", encoding="utf-8")
    status, _, err = shell("recommend", tiny_bundle, *who, "--exclude", table)
    assert (status, f"{table}, line 2: there is no user 'bob'" in err) == (2, True)
    lines.write_bytes(b"\xff\xfe\xfd\n")
    status, _, err = shell("recommend", tiny_bundle, *who, "--items", lines)
    assert (status, err.count("\n")) == (2, 1)


def test_the_fallback(shell: Shell, tiny_bundle: Path, rec: Recommender, tmp_path: Path) -> None:
    told = shell.json(
        "recommend", tiny_bundle, "--user", "bob", "--user", USERS[2], "-k", 6, "--fallback", "popular"
    )
    ids, points = rec.recommend(["bob", USERS[2]], k=6, on_unknown="popular")
    assert [entry["user"] for entry in told["users"]] == ["bob", USERS[2]]
    for entry, row, scores in zip(told["users"], ids, points, strict=True):
        assert told_items(entry) == row.tolist()
        assert np.array_equal(np.float32([item["score"] for item in entry["items"]]), scores)
    status, out, err = shell("recommend", tiny_bundle, "--user", "bob")
    assert (status, out) == (2, "")
    assert "give --history ITEM,... or --fallback popular" in err
    status, _, err = shell("recommend", tiny_bundle, "--user", "bob", "--fallback", "best")
    assert (status, "'popular'" in err) == (2, True)


def test_similar(shell: Shell, tiny_bundle: Path, rec: Recommender, tmp_path: Path) -> None:
    for kind, names, find in (
        ("item", ITEMS, rec.similar_items),
        ("user", USERS, rec.similar_users),
    ):
        told = shell.json("similar", tiny_bundle, f"--{kind}", names[3], f"--{kind}", names[8], "-k", 4)
        assert told["k"] == 4
        assert [entry[kind] for entry in told[f"{kind}s"]] == [names[3], names[8]]
        ids, cosines = find([names[3], names[8]], k=4)
        for entry, row, values in zip(told[f"{kind}s"], ids, cosines, strict=True):
            assert [one[kind] for one in entry["similar"]] == row.tolist()
            assert np.array_equal(np.float32([one["cosine"] for one in entry["similar"]]), values)
        output = tmp_path / f"{kind}.csv"
        told = shell.json("similar", tiny_bundle, f"--{kind}", names[3], "-o", output)
        assert told == {"output": str(output), f"{kind}s": 1, "rows": 10, "k": 10}
        rows = read(output)
        assert list(rows[0]) == [kind, "similar", "rank", "cosine"]
        assert [row["similar"] for row in rows] == find(names[3])[0].tolist()
        status, out, err = shell("similar", tiny_bundle, f"--{kind}", names[3])
        assert (status, err) == (0, "")
        assert find(names[3])[0][0] in out
        status, _, err = shell("similar", tiny_bundle, f"--{kind}", "x")
        assert (status, f"there is no {kind} 'x'" in err) == (2, True)
        status, _, err = shell("similar", tiny_bundle, f"--{kind}", names[3], "-k", 400)
        assert (status, f"-k is 400 and there are {len(names) - 1} other {kind}s" in err) == (2, True)
    assert shell("similar", tiny_bundle)[0] == 2
    assert shell("similar", tiny_bundle, "--item", ITEMS[0], "--user", USERS[0])[0] == 2


def test_score(shell: Shell, tiny_bundle: Path, rec: Recommender, tmp_path: Path) -> None:
    items = [part for item in (ITEMS[9], ITEMS[2]) for part in ("--item", item)]
    who = [part for user in (USERS[4], USERS[1]) for part in ("--user", user)]
    told = shell.json("score", tiny_bundle, *who, *items)["scores"]
    assert [(row["user"], row["item"]) for row in told] == [
        (user, item) for user in (USERS[4], USERS[1]) for item in (ITEMS[9], ITEMS[2])
    ]
    expected = np.ravel(rec.score([USERS[4], USERS[1]], [ITEMS[9], ITEMS[2]]))
    assert np.array_equal(np.float32([row["score"] for row in told]), expected)
    output = tmp_path / "scores.csv"
    assert shell.json("score", tiny_bundle, *who, *items, "-o", output) == {"output": str(output), "rows": 4}
    rows = read(output)
    assert [(row["user"], row["item"], float(row["score"])) for row in rows] == [
        (row["user"], row["item"], row["score"]) for row in told
    ]
    told = shell.json("score", tiny_bundle, "--history", f"{ITEMS[3]},{ITEMS[8]}", *items)["scores"]
    expected = np.ravel(rec.score_from_history([ITEMS[3], ITEMS[8]], [ITEMS[9], ITEMS[2]]))
    assert np.array_equal(np.float32([row["score"] for row in told]), expected)
    assert {row["user"] for row in told} == {None}
    status, out, err = shell("score", tiny_bundle, *who, *items)
    assert (status, err, len(out.splitlines())) == (0, "", 5)
    for bad in (("--user", "bob", *items), items, (*who, "--history", ITEMS[1], *items), who):
        status, out, err = shell("score", tiny_bundle, *bad)
        assert (status, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("who", [("--user", USERS[7]), ("--history", f"{ITEMS[3]},{ITEMS[8]}")])
def test_explain(
    shell: Shell, tiny_bundle: Path, rec: Recommender, tmp_path: Path, who: tuple[str, str]
) -> None:
    user = USERS[7] if who[0] == "--user" else None
    found = rec.explain(user or [ITEMS[3], ITEMS[8]], ITEMS[11])
    told = shell.json("explain", tiny_bundle, *who, "--item", ITEMS[11])
    assert (told["user"], told["item"], told["served_by"]) == (user, ITEMS[11], found.served_by)
    assert [row["item"] for row in told["history"]] == found.items.tolist()
    total = sum(row["share"] for row in told["history"]) + told["rest"]
    assert total == pytest.approx(told["score"], abs=1e-8)
    assert told["score"] == pytest.approx(found.score, rel=1e-8)
    output = tmp_path / "why.csv"
    shell.json("explain", tiny_bundle, *who, "--item", ITEMS[11], "-o", output)
    rows = read(output)
    assert [row["because"] for row in rows] == [*found.items.tolist(), ""]
    assert {(row["user"], row["item"]) for row in rows} == {(user or "", ITEMS[11])}
    assert sum(float(row["share"]) for row in rows) == pytest.approx(found.score, abs=1e-8)
    status, out, err = shell("explain", tiny_bundle, *who, "--item", ITEMS[11])
    assert (status, err) == (0, "")
    assert f"{found.score:.4f}" in out
    assert found.items[0] in out


def test_what_cannot_be_explained(shell: Shell, tiny_bundle: Path) -> None:
    for bad in (
        ("--user", "bob", "--item", ITEMS[1]),
        ("--user", USERS[0], "--item", "x"),
        ("--item", ITEMS[1]),
        ("--user", USERS[0]),
        ("--user", USERS[0], "--history", ITEMS[2], "--item", ITEMS[1]),
    ):
        status, out, err = shell("explain", tiny_bundle, *bad)
        assert (status, out, err.count("\n")) == (2, "", 1), err


def test_titles_stand_beside_items(shell: Shell, tmp_path: Path, fake_native: None, model: TinyModel) -> None:
    titles = [f"Film {number}" if number % 3 else None for number in range(40)]
    bundle = write_tiny(tmp_path / "titled", model, item_titles=titles)
    named = dict(zip(ITEMS, titles, strict=True))
    asked = ("--item", ITEMS[1], "--item", ITEMS[3])
    similar = [row for entry in shell.json("similar", bundle, *asked)["items"] for row in entry["similar"]]
    scores = shell.json("score", bundle, "--user", USERS[0], *asked)["scores"]
    shares = shell.json("explain", bundle, "--user", USERS[0], "--item", ITEMS[4])["history"]
    for rows in (similar, scores, shares):
        assert [row["title"] for row in rows] == [named[row["item"]] for row in rows]
    assert "title" not in shell.json("similar", bundle, "--user", USERS[0])["users"][0]["similar"][0]
    output = tmp_path / "out.csv"
    for command, column in (
        (("similar", *asked[:2]), "similar"),
        (("score", "--user", USERS[0], *asked), "item"),
        (("explain", "--user", USERS[0], "--item", ITEMS[4]), "because"),
    ):
        status, out, err = shell(command[0], bundle, *command[1:])
        assert (status, err, "Film " in out) == (0, "", True)
        shell.json(command[0], bundle, *command[1:], "-o", output)
        rows = read(output)
        assert [row["title"] or None for row in rows] == [named.get(row[column]) for row in rows]


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    return write_person(tmp_path_factory.mktemp("person") / "bundle")


@pytest.mark.native
def test_a_personal_bundle_by_its_own_history(shell: Shell, person: PersonBundle) -> None:
    names = person.ids
    told = shell.json("recommend", person.folder, "-k", 3, "--fallback", "popular")
    with Recommender.open(person.folder) as rec:
        assert told_items(told["users"][0]) == rec.recommend(k=3, on_unknown="popular")[0].tolist()
    assert shell("recommend", person.folder)[0] == 2
    assert shell("observe", person.folder, "--item", names[3], "--item", names[8])[0] == 0
    with Recommender.open(person.folder) as rec:
        told = shell.json("score", person.folder, "--item", names[1], "--item", names[2])["scores"]
        assert np.array_equal(np.float32([row["score"] for row in told]), rec.score(None, names[1:3]))
        told = shell.json("explain", person.folder, "--item", names[1])
        found = rec.explain(None, names[1])
        assert [row["item"] for row in told["history"]] == found.items.tolist()
        assert (told["user"], told["served_by"]) == (None, "history")
        told = shell.json("recommend", person.folder, "--history", names[5], "--exclude", names[6], "-k", 4)
        wanted, _ = rec.recommend_from_history([names[5]], k=4, exclude=[names[6]])
        assert told_items(told["users"][0]) == wanted.tolist()
    for command in (("similar", "--user", "x"), ("score", "--user", "x", "--item", names[0])):
        status, _, err = shell(command[0], person.folder, *command[1:])
        assert (status, "is a personal bundle" in err) == (2, True)
