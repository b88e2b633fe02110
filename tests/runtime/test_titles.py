"""Titles in bundles: what comes back, what is shown, what is counted, and what a hostile bundle may not."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _oracles import reseal
from _person import ITEMS as PERSON_ITEMS
from _person import write_person
from _shell import Shell
from _tiny import TinyModel, raw_ids, write_tiny

from lerg_runtime import BudgetError, BundleError, InputError, Recommender, UnknownIdError
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.bundle._arrays import array_bytes, read_arrays

TITLES: list[str | None] = [f"Film {number}, the “{number}th”" for number in range(40)]
TITLES[3], TITLES[17] = None, ""
TITLES[5] = "七人の侍 (1954)"
TITLES[6] = "é" * 512  # as long as one may be
ARRAYS = ("item_title_lengths", "item_title_text")


@pytest.fixture
def titled(tmp_path: Path, model: TinyModel, fake_native: None) -> Path:
    return write_tiny(tmp_path / "titled", model, item_titles=TITLES)


@pytest.fixture
def names(model: TinyModel) -> list[str]:
    return raw_ids("text", model.items, prefix="item")


def test_titles_come_back(titled: Path, tiny_bundle: Path, names: list[str], tmp_path: Path) -> None:
    with Recommender.open(titled) as rec:
        assert rec.has_titles
        assert rec.titles(names) == [title or None for title in TITLES]
        assert rec.titles(np.array(names, dtype=object)[[5, 3]]) == ["七人の侍 (1954)", None]
        assert rec.title(names[5]) == "七人の侍 (1954)"
        assert rec.title(names[3]) is None
        with pytest.raises(UnknownIdError, match="there is no item 'x'"):
            rec.title("x")
        with pytest.raises(UnknownIdError, match="there is no item 'x'"):
            rec.titles([names[0], "x"])
        with pytest.raises(InputError, match="give a list"):
            rec.titles(names[0])
        rec.save(tmp_path / "copy")
    with Recommender.open(tmp_path / "copy") as copied:
        assert copied.title(names[5]) == "七人の侍 (1954)"
    with Recommender.open(tiny_bundle) as rec:
        assert not rec.has_titles
        assert rec.titles(names[:2]) == [None, None]
        assert rec.title(names[0]) is None


def test_the_manifest_says_whether_there_are_titles(
    titled: Path, tmp_path: Path, model: TinyModel, fake_native: None
) -> None:
    assert BundleFolder.open(titled).manifest.titled_items == 38
    untitled = write_tiny(tmp_path / "none", model, item_titles=[None, ""] * 20)
    assert "titles" not in json.loads((untitled / "manifest.json").read_text())
    assert not set(ARRAYS) & set(read_arrays((untitled / "entities.arrays").read_bytes()))


def test_commands_show_titles(shell: Shell, titled: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    user = raw_ids("text", 1, prefix="user")[0]
    options = ("--user", user, "-k", 40)
    with Recommender.open(titled) as rec:
        items, _ = rec.recommend(user, k=40)
        wanted = list(zip(items.tolist(), rec.titles(items), strict=True))
    found = shell.json("recommend", titled, *options)["users"][0]["items"]
    assert [(entry["item"], entry["title"]) for entry in found] == wanted
    assert None in dict(wanted).values()
    status, out, _ = shell("recommend", titled, *options)
    assert status == 0
    lines = out.splitlines()
    assert lines[1].split() == ["rank", "item", "score", "title"]
    assert all(line.endswith(title or "") for line, (_, title) in zip(lines[2:], wanted, strict=True))
    shell.json("recommend", titled, *options, "-o", tmp_path / "top.csv")
    with open(tmp_path / "top.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["item"], row["title"] or None) for row in rows] == wanted
    _, out, _ = shell("recommend", titled, "--all-users", "-k", 2)
    assert next(csv.reader(io.StringIO(out))) == ["user", "item", "rank", "score", "title"]
    _, out, _ = shell("recommend", tiny_bundle, "--all-users", "-k", 2)
    assert next(csv.reader(io.StringIO(out))) == ["user", "item", "rank", "score"]
    assert "title" not in shell.json("recommend", tiny_bundle, *options)["users"][0]["items"][0]


@pytest.mark.native
def test_a_personal_bundle_has_titles(tmp_path: Path, shell: Shell) -> None:
    titles: list[str | None] = [f"Film {number}" for number in range(PERSON_ITEMS)]
    person = write_person(tmp_path / "person", item_titles=titles)
    without = write_person(tmp_path / "without")
    with Recommender.open(person.folder) as rec, Recommender.open(without.folder) as other:
        assert rec.titles(person.ids) == titles
        plan, least = rec.plan().phase("recommend"), other.plan().phase("recommend")
        stored = sum(len(title or "") for title in titles)
        assert 0 <= plan.total_bytes - least.total_bytes - (stored + 4 * (PERSON_ITEMS + 1)) < 128
        rec.observe(person.ids[:3])
        rec.save()
    needed = max(phase.total_bytes for phase in plan_of(person.folder))
    with Recommender.open(person.folder, memory_budget=needed) as rec:
        rec.recommend(k=3)
        assert rec.memory[1] <= needed
    found = shell.json("recommend", person.folder, "-k", 2)["users"][0]["items"]
    assert all(entry["title"] == titles[person.ids.index(entry["item"])] for entry in found)


def plan_of(folder: Path) -> tuple[object, ...]:
    with Recommender.open(folder) as rec:
        return rec.plan().phases


def test_titles_are_counted(titled: Path, tmp_path: Path, model: TinyModel, fake_native: None) -> None:
    plain = write_tiny(tmp_path / "plain", model)
    with Recommender.open(titled) as rec, Recommender.open(plain) as other:
        text = sum(len((title or "").encode()) for title in TITLES)
        counted = rec.memory[0] - other.memory[0]
        assert 0 <= counted - (text + 4 * 41) < 128
        more = rec.plan().phase("recommend").total_bytes - other.plan().phase("recommend").total_bytes
        assert more == counted
        needed = max(rec.plan().phase(name).total_bytes for name in ("open", "encode", "recommend"))
    with pytest.raises(BudgetError, match=r"titles \d+"):
        Recommender.open(titled, memory_budget=needed - counted)


@pytest.mark.parametrize(
    ("titles", "reason"),
    [
        (["x"] * 39, "39 titles and the manifest says 40"),
        (["x" * 1025] * 40, "1025 bytes"),
        (["a\x1b[2J"] * 40, "control character"),
        (["a\u202eb"] * 40, "control character"),
        (["a\nb"] * 40, "control character"),
        (["\ud800"] * 40, "UTF-8"),
    ],
)
def test_what_a_writer_refuses(
    tmp_path: Path, model: TinyModel, fake_native: None, titles: list[str | None], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        write_tiny(tmp_path / "bundle", model, item_titles=titles)
    assert not (tmp_path / "bundle").exists()


def altered(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change arrays of titles as a hostile maker of bundles would: sizes and checksums are right again."""
    arrays = read_arrays((folder / "entities.arrays").read_bytes())
    change(arrays)
    (folder / "entities.arrays").write_bytes(array_bytes(arrays))
    reseal(folder)


def titles_said(folder: Path, value: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["titles"] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    reseal(folder)


def put(arrays: dict[str, np.ndarray], name: str, values: object, dtype: str) -> None:
    arrays[name] = np.array(values, dtype=dtype)


def with_text(arrays: dict[str, np.ndarray], text: bytes) -> None:
    """The first title is this."""
    lengths = arrays[ARRAYS[0]].astype(np.uint16)
    rest = arrays[ARRAYS[1]][int(lengths[0]) :]
    lengths[0] = len(text)
    arrays[ARRAYS[0]] = lengths
    arrays[ARRAYS[1]] = np.concatenate((np.frombuffer(text, np.uint8), rest))


HOSTILE: dict[str, tuple[Callable[[dict[str, np.ndarray]], object], str]] = {
    "no lengths": (lambda arrays: arrays.pop(ARRAYS[0]), "no array item_title_lengths"),
    "no text": (lambda arrays: arrays.pop(ARRAYS[1]), "no array item_title_text"),
    "one title less": (lambda arrays: put(arrays, ARRAYS[0], arrays[ARRAYS[0]][1:], "uint16"), "shape"),
    "wide lengths": (lambda arrays: put(arrays, ARRAYS[0], arrays[ARRAYS[0]], "uint32"), "expected uint8"),
    "text of floats": (lambda arrays: put(arrays, ARRAYS[1], [1.0], "float32"), "the titles are float32"),
    "a table of text": (lambda arrays: put(arrays, ARRAYS[1], [[65]], "uint8"), "the titles are uint8"),
    "too much text": (lambda arrays: put(arrays, ARRAYS[1], [65] * (40 * 1024 + 1), "uint8"), "may not be"),
    "text left over": (
        lambda arrays: put(arrays, ARRAYS[1], [*arrays[ARRAYS[1]].tolist(), 65], "uint8"),
        "do not add up",
    ),
    "sums beyond 32 bits": (lambda arrays: put(arrays, ARRAYS[0], [65535] * 40, "uint16"), "do not add up"),
    "too long": (lambda arrays: with_text(arrays, b"x" * 1025), "1025 bytes"),
    "no UTF-8": (lambda arrays: with_text(arrays, b"caf\xe9"), "not UTF-8"),
    "half a character": (lambda arrays: with_text(arrays, "é".encode()[:1]), "not UTF-8"),
    "an escape": (lambda arrays: with_text(arrays, b"\x1b]0;x\x07"), "control character"),
    "C1": (lambda arrays: with_text(arrays, "\x9b31m".encode()), "control character"),
    "a line": (lambda arrays: with_text(arrays, b"a\r\nb"), "control character"),
    "other direction": (lambda arrays: with_text(arrays, "\u2066x".encode()), "control character"),
    "one more": (lambda arrays: with_text(arrays, b""), "37 items have a title and the manifest says 38"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused(titled: Path, name: str) -> None:
    change, reason = HOSTILE[name]
    altered(titled, change)
    with pytest.raises(BundleError, match=reason):
        Recommender.open(titled)


@pytest.mark.parametrize(
    "value", [{}, {"items": 0}, {"items": 41}, {"items": "38"}, {"items": True}, [], 38, None]
)
def test_a_hostile_manifest_is_refused(titled: Path, value: object) -> None:
    titles_said(titled, value)
    with pytest.raises(BundleError, match="titles"):
        Recommender.open(titled)


def test_titles_that_nobody_was_told_of_are_not_read(titled: Path, names: list[str]) -> None:
    altered(titled, lambda arrays: with_text(arrays, b"\x1b"))
    manifest = json.loads((titled / "manifest.json").read_text())
    del manifest["titles"]
    (titled / "manifest.json").write_text(json.dumps(manifest))
    reseal(titled)
    with Recommender.open(titled) as rec:
        assert not rec.has_titles


def test_mutants_are_refused_or_have_titles_that_can_be_shown(
    tmp_path: Path, model: TinyModel, fake_native: None, names: list[str]
) -> None:
    """Seeded changes of bytes and lengths; each bundle is refused by its name, or all of it can be shown."""
    rng, outcomes = random.Random(5), []
    pristine = write_tiny(tmp_path / "pristine", model, item_titles=TITLES)
    arrays = read_arrays((pristine / "entities.arrays").read_bytes())
    for _ in range(120):
        changed = {name: array.copy() for name, array in arrays.items()}
        for _ in range(rng.choice((1, 1, 2, 4))):
            of = changed[rng.choice(ARRAYS)]
            at = rng.randrange(len(of))
            of[at] = rng.choice((0, 1, 255, 65, int(of[at]) ^ (1 << rng.randrange(8))))
        if rng.random() < 0.2:
            changed[ARRAYS[1]] = changed[ARRAYS[1]][: rng.randrange(len(changed[ARRAYS[1]]))]
        (pristine / "entities.arrays").write_bytes(array_bytes(changed))
        reseal(pristine)
        try:
            with Recommender.open(pristine, memory_budget="1MiB") as rec:
                shown = [title for title in rec.titles(names) if title is not None]
                assert len(shown) == 38
                assert all(letter >= "\x20" and letter != "\x7f" for title in shown for letter in title)
                outcomes.append("fine")
        except BundleError as error:
            outcomes.append("refused" if "title" in str(error) else str(error))
    assert {"fine", "refused"} == set(outcomes)
