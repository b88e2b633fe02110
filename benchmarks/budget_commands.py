"""The commands whose memory `benchmarks.budgets` measures, and the files that they read."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime import Recommender

__all__ = ["Command", "commands"]

_LARGE_ROWS = 1_000_000
_ADDED = 100
_NEW_ITEM = "999999"  # an id that neither set has, nor with a number behind
_MANY_USERS = 5_000  # from here on a file with 4,000 places a user would have gigabytes


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name: for people.
        arguments: `--memory-budget` and `--threads` are added where it takes them.
        takes_budget, takes_threads: whether it does.
        copied: a bundle, and the copy of it that the command changes: it is made anew before each run.
    """

    name: str
    arguments: tuple[str, ...]
    takes_budget: bool = True
    takes_threads: bool = True
    copied: tuple[Path, Path] | None = None


def commands(bundle: Path, data: Path, work: Path, *, large: bool) -> Iterator[Command]:
    """All of them on one bundle.

    Args:
        bundle: of any form.
        data: the folder that it was exported from.
        work: a folder for what commands read and write; `top.csv` and `saved` are removed before each.
        large: with a million rows and a million local interactions, too.
    """
    if _manifest(bundle).get("form", "shared") == "personal":
        yield from _personal(bundle, data, work)
    else:
        yield from _shared(bundle, data, work, large=large)


def _manifest(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return found


def _shared(bundle: Path, data: Path, work: Path, *, large: bool) -> Iterator[Command]:
    where, file = str(bundle), _Files(data, work)
    user, *items = file.first
    history = ",".join(items[:5])
    # A portable program ranks for one user a call: of many users, all take minutes a run.
    soon = file.users < _MANY_USERS or _manifest(bundle)["lowering"] == "native"

    def command(name: str, *arguments: str) -> Command:
        return Command(name, arguments)

    yield command("recommend, one user", "recommend", where, "--user", user)
    yield Command("info", ("info", where), takes_budget=False, takes_threads=False)
    yield command("recommend, one user, k = 4,000", "recommend", where, "--user", user, "-k", "4000")
    if soon:
        yield from _everybody(where, work, file)
    unknown = ("recommend", where, "--user", "nobody", "--fallback", "popular")
    yield command("recommend, nobody known, popular", *unknown)
    yield command("recommend, a history", "recommend", where, "--history", history)
    yield command("similar, an item", "similar", where, "--item", items[0])
    yield command("similar, a user", "similar", where, "--user", user)
    yield command("score, 20 items", "score", where, "--user", user, *_each("--item", file.some))
    yield command("score, from a history", "score", where, "--history", history, "--item", items[5])
    yield command("explain", "explain", where, "--user", user, "--item", file.some[0])
    if soon:
        yield from _evaluating(where, str(data / "test.txt"))
    yield command("profile", "profile", where, "--seconds", "0.05", "--runs", "5")
    finetune = ("finetune", where, "--epochs", "1", "--skip-unknown", "--force", "-o", str(work / "saved"))
    yield command("finetune, 50 users' pairs", *finetune, "--interactions", str(file.small))
    yield from _adding(bundle, work, file)
    if not large:
        return
    yield command("finetune, 1,000,000 rows", *finetune, "--interactions", str(file.large))
    rated = ("--interactions", str(file.rated), "--rating-threshold", "4")
    yield command("finetune, 1,000,000 rows rated low", *finetune, *rated)
    grown = str(_grown(finetune, work / f"{bundle.name}-grown", file))
    yield command("recommend, one user, 1,000,000 local", "recommend", grown, "--user", user)
    yield command(
        "finetune, as many local, half of them taken back",
        *("finetune", grown, *finetune[2:], "--interactions", str(file.turned), "--rating-threshold", "4"),
    )


def _everybody(where: str, work: Path, file: _Files) -> Iterator[Command]:
    everybody = ("recommend", where, "--all-users")
    lists = {"of half of the items": ("--items", str(file.half))}
    lists["each without 20 items"] = ("--exclude", str(file.excluded), "-k", "50")
    yield Command("recommend, all users", everybody)
    yield Command("recommend, all users, to a file", (*everybody, "-o", str(work / "top.csv")))
    if file.users < _MANY_USERS:
        yield Command("recommend, all users, k = 4,000", (*everybody, "-k", "4000"))
    yield Command("recommend, all users, JSON", (*everybody, "--json"))
    for name, options in lists.items():
        yield Command(f"recommend, all users, {name}", (*everybody, *options))


def _evaluating(where: str, test: str) -> Iterator[Command]:
    evaluate = ("evaluate", where, "--test", test, "--skip-unknown")
    yield Command("evaluate", evaluate)
    yield Command("evaluate, k = 5, 10, 20", (*evaluate, "-k", "5,10,20"))
    yield Command("evaluate, with intervals", (*evaluate, "--intervals"))
    yield Command("evaluate, compared with itself", (*evaluate, "--compare", where))


def _adding(bundle: Path, work: Path, file: _Files) -> Iterator[Command]:
    """An item that is added, first alone and then among others."""
    more = _with_added(bundle, work / f"{bundle.name}-more", file)
    users = ("--users", ",".join(file.few))

    def change(name: str, before: Path, *arguments: str) -> Command:
        after = work / f"{bundle.name}-changed"
        return Command(
            name, ("add-item", str(after), *arguments), takes_threads=False, copied=(before, after)
        )

    yield change("add-item, by 20 users", bundle, _NEW_ITEM, *users)
    yield change(f"add-item, by 20 users, {_ADDED} added before", more, _NEW_ITEM, *users)
    yield change(f"add-item, one of {_ADDED} taken out", more, f"{_NEW_ITEM}0", "--remove")
    yield Command(
        f"recommend, one user, {_ADDED} items added", ("recommend", str(more), "--user", file.first[0])
    )


def _with_added(bundle: Path, to: Path, file: _Files) -> Path:
    """The bundle with some added items."""
    shutil.copytree(bundle, to)
    with Recommender.open(to) as rec:
        for number in range(_ADDED):
            rec.add_item(f"{_NEW_ITEM}{number}", users=file.few)
        rec.save()
    return to


def _personal(bundle: Path, data: Path, work: Path) -> Iterator[Command]:
    file = _Files(data, work)
    _, *items = file.first
    own = work / f"{bundle.name}-own"
    shutil.copytree(bundle, own)
    where, history = str(own), ",".join(items[:5])

    def command(name: str, *arguments: str, threads: bool = True) -> Command:
        return Command(name, arguments, takes_threads=threads)

    yield command("observe, 20 items", "observe", where, *_each("--item", items[:20]), threads=False)
    yield command("observe, an item taken out", "observe", where, "--forget", items[0], threads=False)
    yield command("recommend", "recommend", where)
    yield Command("info", ("info", where), takes_budget=False, takes_threads=False)
    yield command("recommend, JSON", "recommend", where, "--json")
    yield command("recommend, of half of the items", "recommend", where, "--items", str(file.half))
    yield command("recommend, without 20 items", "recommend", where, "--exclude", ",".join(file.some))
    yield command("recommend, a history", "recommend", where, "--history", history)
    yield command("recommend, no history, popular", "recommend", str(bundle), "--fallback", "popular")
    yield command("similar, an item", "similar", where, "--item", items[0])
    yield command("score, 20 items", "score", where, *_each("--item", file.some))
    yield command("score, from a history", "score", where, "--history", history, "--item", items[5])
    yield command("explain", "explain", where, "--item", file.some[0])
    yield command("observe, all forgotten", "observe", where, "--erase", threads=False)


def _each(option: str, values: list[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


def _grown(finetune: tuple[str, ...], to: Path, file: _Files) -> Path:
    """The bundle with the state that a million rows leave behind."""
    if not to.exists():
        command = [*finetune[:-1], str(to), "--interactions", str(file.large), "--optimiser", "sgd"]
        subprocess.run(
            [sys.executable, "-m", "lerg_runtime", *command, "--learning-rate", "0.001"],
            check=True,
            capture_output=True,
        )
    return to


class _Files:
    """What commands read, written when it is first asked for.

    Args:
        data: a folder with `train.txt` and `test.txt`.
        work: where to write.

    Attributes:
        users: in the training pairs.
        first: the first of them, and their items.
        some: 20 items that the first has not touched.
        few: 20 users.
    """

    def __init__(self, data: Path, work: Path) -> None:
        self._name, self._test, self._work = data.name, data / "test.txt", work
        rows = [line.split() for line in (data / "train.txt").read_text().splitlines()]
        rows = [row for row in rows if len(row) > 1]
        self.users, self.first = len(rows), rows[0]
        self._users = [row[0] for row in rows]
        self.few = self._users[:20]
        self._items = sorted({item for row in rows for item in row[1:]})
        self.some = random.Random(0).sample(sorted(set(self._items) - set(self.first[1:])), 20)

    @property
    def small(self) -> Path:
        """Pairs of some users that are held out."""
        lines = self._test.read_text().splitlines()
        return self._written("small.txt", lambda: lines[:50])

    @property
    def half(self) -> Path:
        """Every other item."""
        return self._written("half.txt", lambda: self._items[::2])

    @property
    def excluded(self) -> Path:
        """20 items of each user."""
        draw = random.Random(1)
        return self._written(
            "excluded.csv",
            lambda: [
                "user,item",
                *(f"{user},{item}" for user in self._users for item in draw.sample(self._items, 20)),
            ],
        )

    @property
    def large(self) -> Path:
        """A million rows, nearly all of them of pairs that nobody has seen."""
        return self._written("large.csv", lambda: ["user,item", *self._drawn()])

    @property
    def rated(self) -> Path:
        """The same, all but 1,000 of them rated low."""
        rows = (f"{row},{1 + 4 * (at < 1000)}" for at, row in enumerate(self._drawn()))
        return self._written("rated.csv", lambda: ["user,item,rating", *rows])

    @property
    def turned(self) -> Path:
        """The same, every other one rated low and 1,000 liked."""
        rows = (f"{row},{1 + 4 * (at < 1000)}" for at, row in enumerate(self._drawn()) if at < 1000 or at % 2)
        return self._written("turned.csv", lambda: ["user,item,rating", *rows])

    def _drawn(self) -> list[str]:
        draw = np.random.default_rng(0)
        pairs = (draw.choice(side, _LARGE_ROWS).tolist() for side in (self._users, self._items))
        return [f"{user},{item}" for user, item in zip(*pairs, strict=True)]

    def _written(self, name: str, lines: object) -> Path:
        path = self._work / f"{self._name}-{name}"
        if not path.exists():
            path.write_text("\n".join(lines()) + "\n")  # type: ignore[operator]
        return path
