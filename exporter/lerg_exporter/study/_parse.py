"""From a study's TOML file to a `Study`; everything in it is checked before anything runs."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from lerg_edge.errors import InputError
from lerg_exporter.exporting.settings import nearest
from lerg_exporter.study._fields import FIELDS, checked, seeds_rule
from lerg_exporter.study._parse_report import read_columns, read_plots
from lerg_exporter.study._problems import Problems, StudyFileError
from lerg_exporter.study._spec import PEERS, PROTOCOLS, Arrivals, Cell, Study

__all__ = ["load_study"]

_TOP = (
    "name", "title", "about", "protocol", "data", "seeds", "base", "grid", "variant", "arrivals", "quick",
    "plot", "report", "folds",
)  # fmt: skip
_QUICK = ("data", "seeds", "folds", "variants", "base", "grid", "arrivals")
_MOST_FOLDS = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def load_study(path: str | os.PathLike[str], *, quick: bool = False) -> Study:
    """Read and check a study's file, the part that `quick` does not ask for included.

    Args:
        path: of the file.
        quick: with the changes of its table `[quick]`.

    Raises:
        InputError: there is no such file, or it is not TOML.
        StudyFileError: anything in it is wrong; holds a sentence for each.
    """
    file = Path(path)
    document = _toml(file)
    problems = Problems(str(path))
    problems.unknown_keys("", document, _TOP)
    changes = _table(document, "quick", problems, place="[quick]")
    problems.unknown_keys("[quick]", changes, _QUICK)
    studies = {
        False: _study(document, {}, problems),
        True: _study(document, changes, problems),
    }
    if quick and not changes:
        problems.add("", "there is no table [quick], which --quick asks for; add one or leave --quick out")
    problems.raise_any()
    return studies[quick]


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: the study cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyFileError((f"{file}: this is not TOML: {error}",)) from error


def _study(document: Mapping[str, Any], changes: Mapping[str, Any], problems: Problems) -> Study:
    """One reading of the file; what is wrong is noted, and stands in the result as if it were not there."""
    texts = {key: _text(document, key, problems) for key in ("name", "title", "about")}
    if texts["name"] and not _NAME.fullmatch(texts["name"]):
        problems.add("", f"name is '{texts['name']}'; use small letters, digits and hyphens")
    protocol = document.get("protocol", PROTOCOLS[0])
    if protocol not in PROTOCOLS:
        problems.add("", f"protocol is {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
    grid = {**_grid(document, problems, place="[grid]")}
    grid |= _grid(changes, problems, place="[quick.grid]")
    cells = tuple(_cells(document, changes, grid, problems))
    if not cells:
        problems.add("[quick]" if changes else "", "there is nothing to run; no variant goes with this data")
    columns = read_columns(document, arrivals=protocol == "arrivals", problems=problems)
    return Study(
        **texts,
        protocol=protocol,
        axes=tuple(grid),
        cells=cells,
        columns=columns,
        plots=read_plots(document, arrivals=protocol == "arrivals", problems=problems),
        arrivals=_arrivals(document, changes, problems) if protocol == "arrivals" else None,
        folds=_folds(document, changes, problems),
    )


def _cells(
    document: Mapping[str, Any], changes: Mapping[str, Any], grid: Mapping[str, list[Any]], problems: Problems
) -> Iterator[Cell]:
    """Data sets times variants times the grid; a field that a variant sets has no axis in it."""
    data = _data(document, problems, place="", required=True) or []
    _check_data_of_variants(document, [*data, *(_data(changes, problems, place="[quick]") or [])], problems)
    seeds = _seeds(document, problems, place="") or (0,)
    base = _fields(_table(document, "base", problems, place="[base]"), problems, place="[base]")
    if changes:
        data = _data(changes, problems, place="[quick]") or data
        seeds = _seeds(changes, problems, place="[quick]") or seeds
        changed = _table(changes, "base", problems, place="[quick.base]")
        base |= _fields(changed, problems, place="[quick.base]")
    for name, variant in _variants(document, changes, problems):
        place = f"[[variant]] '{name}'" if name else ""
        own = _fields({key: variant[key] for key in variant if key in FIELDS}, problems, place=place)
        wanted = _data(variant, problems, place=place) or data
        own_seeds = None if "seeds" in changes else _seeds(variant, problems, place=place)
        free = {axis: values for axis, values in grid.items() if axis not in own}
        for dataset in [each for each in data if each in wanted]:
            for values in product(*free.values()):
                settings = {**base, **dict(zip(free, values, strict=True)), **own}
                cell = Cell(dataset, name, settings, own_seeds or seeds)
                _check_options(cell, problems, place=place)
                yield cell


def _check_data_of_variants(document: Mapping[str, Any], known: list[str], problems: Problems) -> None:
    """A variant may be limited to some of the study's data sets, and to no others."""
    for name, variant in _variants(document, {}, problems):
        for each in _data(variant, problems, place=f"[[variant]] '{name}'") or []:
            if each not in known:
                problems.add(f"[[variant]] '{name}'", f"data holds '{each}'; choose of {', '.join(known)}")


def _check_options(cell: Cell, problems: Problems, *, place: str) -> None:
    try:
        cell.options(cell.seeds[0], (1_000_000, 1_000_000, 10_000_000))
    except InputError as error:
        for fault in error.faults:
            problems.add(place, str(fault))


def _variants(
    document: Mapping[str, Any], changes: Mapping[str, Any], problems: Problems
) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and table of each variant that is wanted; one without a name where the file has none."""
    given = document.get("variant", [])
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        problems.add("", "variant is not a list of tables; write [[variant]] above each")
        return []
    found: dict[str, Mapping[str, Any]] = {}
    for table in given:
        name = table.get("name")
        if not isinstance(name, str) or not name or name in found:
            problems.add("[[variant]]", f"name is {name!r}; each variant needs a text of its own as its name")
            continue
        problems.unknown_keys(f"[[variant]] '{name}'", table, ("name", "data", "seeds", *FIELDS))
        found[name] = table
    wanted = changes.get("variants", list(found))
    if not isinstance(wanted, list) or ("variants" in changes and not wanted):
        problems.add("[quick]", f"variants is {wanted!r}; it must be a list of names of variants")
        return list(found.items())
    for name in wanted:
        if name not in found:
            problems.add("[quick]", f"there is no variant {name!r}; choose of {', '.join(found) or 'none'}")
    return [(name, table) for name, table in found.items() if name in wanted] if found else [("", {})]


def _fields(table: Mapping[str, Any], problems: Problems, *, place: str) -> dict[str, Any]:
    found = {}
    choose = f"; choose one of {', '.join(FIELDS)}"
    for key, value in table.items():
        if key == "seed":
            problems.add(place, "seed is set; give seeds = [...] at the top of the file or in a variant")
        elif key not in FIELDS:
            problems.add(place, f"there is no field '{key}'{nearest(key, FIELDS) or choose}")
        else:
            try:
                found[key] = checked(key, value)
            except InputError as error:
                problems.add(place, str(error))
    return found


def _grid(document: Mapping[str, Any], problems: Problems, *, place: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for axis, values in _table(document, "grid", problems, place=place).items():
        if not isinstance(values, list) or not values:
            problems.add(place, f"{axis} is {values!r}; it must be a list of the values to try")
            continue
        read = [_fields({axis: value}, problems, place=place).get(axis) for value in values]
        if None not in read:
            found[axis] = list(dict.fromkeys(read))
    return found


def _arrivals(document: Mapping[str, Any], changes: Mapping[str, Any], problems: Problems) -> Arrivals:
    given = {
        **_table(document, "arrivals", problems, place="[arrivals]"),
        **_table(changes, "arrivals", problems, place="[quick.arrivals]"),
    }
    problems.unknown_keys("[arrivals]", given, ("share", "steps", "peers"))
    usual = Arrivals()
    share, steps = given.get("share", usual.share), given.get("steps", usual.steps)
    if not isinstance(share, float) or not 0 < share < 1:
        problems.add("[arrivals]", f"share is {share!r}; it must be a number above 0 and below 1")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        problems.add("[arrivals]", f"steps is {steps!r}; it must be a whole number from 1")
    peers = given.get("peers", list(usual.peers))
    if not isinstance(peers, list) or len({*map(str, peers)} & {*PEERS}) < len(peers):
        problems.add("[arrivals]", f"peers is {peers!r}; it must be a list of {', '.join(PEERS)}, each once")
        peers = []
    return Arrivals(share, steps, tuple(peers))


def _folds(document: Mapping[str, Any], changes: Mapping[str, Any], problems: Problems) -> int | None:
    """Folds of a cross-validation; None where there is none."""
    place, table = ("[quick]", changes) if "folds" in changes else ("", document)
    value = table.get("folds")
    if value is None:
        return None
    if type(value) is not int or not 2 <= value <= _MOST_FOLDS:
        problems.add(place, f"folds is {value!r}; it must be a whole number from 2 to {_MOST_FOLDS}")
        return None
    for given in (document, changes):
        if isinstance(given.get("arrivals"), dict) and "share" in given["arrivals"]:
            problems.add("[arrivals]", "share and folds are two ways to say who arrives; give one of them")
            break
    return value


def _data(
    table: Mapping[str, Any], problems: Problems, *, place: str, required: bool = False
) -> list[str] | None:
    """Data sets by name; None where the table leaves them out and may."""
    value = table.get("data")
    if value is None and not required:
        return None
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        return list(dict.fromkeys(value))
    problems.add(place, f'data is {value!r}; it must be a list of data sets, such as ["lastfm"]')
    return []


def _seeds(table: Mapping[str, Any], problems: Problems, *, place: str) -> tuple[int, ...] | None:
    if "seeds" not in table:
        return None
    try:
        return seeds_rule(table["seeds"])
    except InputError as error:
        problems.add(place, str(error))
        return None


def _table(document: Mapping[str, Any], key: str, problems: Problems, *, place: str) -> dict[str, Any]:
    value = document.get(key, {})
    if isinstance(value, dict):
        return value
    problems.add("", f"{key} is {value!r}; it must be a table, written as {place}")
    return {}


def _text(document: Mapping[str, Any], key: str, problems: Problems) -> str:
    value = document.get(key)
    if isinstance(value, str) and value.strip():
        return value.strip()
    problems.add("", f"{key} is {value!r}; it must be a text")
    return ""
