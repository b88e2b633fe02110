"""Studies as files: what they expand to, and everything that can be wrong with one, told at once."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest
from _studies import STUDY, write_study

from lerg_edge.errors import InputError
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.study import Study, StudyFileError, load_study
from lerg_exporter.study._columns import COLUMNS
from lerg_exporter.study._fields import FIELDS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "studies"
HEAD = 'name = "small"\ntitle = "Small"\nabout = "Why?"\ndata = ["tiny", "other"]\n'


def read(folder: Path, text: str, *, quick: bool = False) -> Study:
    return load_study(write_study(folder, text), quick=quick)


def problems(folder: Path, text: str, *, quick: bool = False) -> tuple[str, ...]:
    with pytest.raises(StudyFileError) as refused:
        read(folder, text, quick=quick)
    return refused.value.problems


def test_the_grid_is_a_product_and_base_holds_for_all(tmp_path: Path) -> None:
    study = read(
        tmp_path, HEAD + "seeds = [0, 3]\n[base]\nbits = 8\n[grid]\nretention = [0.5, 1]\ndim = [8, 16]\n"
    )
    assert study.keys == study.axes == ("retention", "dim")
    assert len(study.cells) == 2 * 4
    assert [(cell.data, cell.values["retention"], cell.values["dim"]) for cell in study.cells[:4]] == [
        ("tiny", 0.5, 8),
        ("tiny", 0.5, 16),
        ("tiny", 1.0, 8),
        ("tiny", 1.0, 16),
    ]
    runs = list(study.runs())
    assert len(runs) == 16
    options = runs[0][0].options(3)
    assert options == ExportOptions(bits=8, retention=0.5, dim=8, seed=3)
    # Runs of a data set and seed follow each other, for they share what is trained.
    assert [(cell.data, seed) for cell, seed in runs[::4]] == [
        ("tiny", 0),
        ("tiny", 3),
        ("other", 0),
        ("other", 3),
    ]


VARIANTS = """
[grid]
retention = [0.5, 0.7]
[[variant]]
name = "all"
retention = 1.0
[[variant]]
name = "int8"
bits = 8
data = ["other"]
seeds = [1, 2]
"""


def test_a_variant_has_its_own_data_seeds_and_no_axis_for_what_it_sets(tmp_path: Path) -> None:
    study = read(tmp_path, HEAD + VARIANTS)
    assert study.keys == ("variant", "retention")
    found = [(cell.data, cell.variant, cell.values["retention"], cell.seeds) for cell in study.cells]
    assert found == [
        ("tiny", "all", 1.0, (0,)),
        ("other", "all", 1.0, (0,)),
        ("other", "int8", 0.5, (1, 2)),
        ("other", "int8", 0.7, (1, 2)),
    ]


def test_quick_replaces_lists_and_chooses_variants(tmp_path: Path) -> None:
    quick = '\n[quick]\ndata = ["other"]\nseeds = [7]\nvariants = ["int8"]\n[quick.base]\ndim = 8\n'
    quick += "[quick.grid]\nretention = [0.3]\n"
    study = read(tmp_path, HEAD + VARIANTS + quick, quick=True)
    (cell,) = study.cells
    assert (cell.data, cell.variant, cell.seeds) == ("other", "int8", (7,))
    assert cell.values == {"dim": 8, "retention": 0.3, "bits": 8}
    assert len(read(tmp_path, HEAD + VARIANTS + quick).cells) == 4
    assert "--quick" in problems(tmp_path, HEAD, quick=True)[0]


def test_folds_and_those_of_quick(tmp_path: Path) -> None:
    assert read(tmp_path, HEAD).folds is None
    text = HEAD + "folds = 5\n[quick]\nfolds = 2\n"
    assert read(tmp_path, text).folds == 5
    assert read(tmp_path, text, quick=True).folds == 2


def test_shares_are_of_the_data(tmp_path: Path) -> None:
    study = read(
        tmp_path,
        HEAD + '[base]\nedge_share = "retention"\nuser_share = 0.25\nretention = 0.5\n',
    )
    options = study.cells[0].options(0, (80, 60, 900))
    assert (options.edge_budget, options.min_users, options.min_items) == (900, 20, None)
    assert study.cells[0].options(0).edge_budget is None


def test_sizes_and_lists_are_taken_as_an_export_takes_them(tmp_path: Path) -> None:
    study = read(tmp_path, HEAD + '[base]\nmemory_budget = "2KiB"\nkeep_users = ["a", 3]\nl2 = 0\n')
    options = study.cells[0].options(0)
    assert (options.memory_budget, options.keep_users, options.l2) == (2048, ("a", 3), 0.0)


# What is written below the head, and what every sentence must name.
WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "no such key": ("colour = 1\n", ("'colour'", "protocol")),
    "seeds": ("seeds = [-1]\n", ("seeds is [-1]",)),
    "seeds are a list": ("seeds = 3\n", ("seeds is 3",)),
    "folds": ("folds = 1\n", ("folds is 1", "from 2")),
    "folds are a number": ("folds = true\n", ("folds is True",)),
    "quick's folds": ('[quick]\nfolds = "two"\n', ("[quick]", "folds is 'two'")),
    "folds and a share": (
        'folds = 3\nprotocol = "arrivals"\n[arrivals]\nshare = 0.2\n',
        ("[arrivals]", "share and folds"),
    ),
    "protocol": ('protocol = "dance"\n', ("'dance'", "arrivals")),
    "no such field": ("[base]\nbitz = 4\n", ("[base]", "'bitz'", "bits")),
    "seed is no field": ("[base]\nseed = 4\n", ("[base]", "seeds = [...]")),
    "a field's type": ('[base]\ndim = "wide"\n', ("dim is 'wide'", "whole number")),
    "a boolean is no number": ("[base]\ndim = true\n", ("dim is True", "whole number")),
    "a size": ('[base]\nmemory_budget = "lots"\n', ("memory_budget", "lots")),
    "a field's range": ("[base]\nretention = 1.5\n", ("retention is 1.5",)),
    "fields that contradict": (
        '[grid]\nselector = ["bip", "degree"]\nrounding_boundary = [0.3]\n',
        ("rounding_boundary", "degree"),
    ),
    "a share": ("[base]\nedge_share = 2\n", ("edge_share is 2", "from 0 to 1")),
    "a share of retention without one": (
        '[base]\nedge_share = "retention"\n',
        ("edge_share", "no retention"),
    ),
    "both ways": ("[base]\nedge_share = 0.5\nedge_budget = 3\n", ("edge_share and edge_budget",)),
    "a grid of one value": ("[grid]\nretention = 0.5\n", ("[grid]", "retention is 0.5", "list")),
    "an empty grid": ("[grid]\nretention = []\n", ("[grid]", "list")),
    "grid is a table": ("grid = 3\n", ("grid is 3", "[grid]")),
    "variant is a list": ("[variant]\nbits = 4\n", ("[[variant]]",)),
    "a variant without a name": ("[[variant]]\nbits = 4\n", ("[[variant]]", "name is None")),
    "a name twice": ('[[variant]]\nname = "a"\n[[variant]]\nname = "a"\n', ("name is 'a'",)),
    "a variant's key": ('[[variant]]\nname = "a"\ncolour = 1\n', ("'a'", "'colour'")),
    "a variant's data": ('[[variant]]\nname = "a"\ndata = ["third"]\n', ("'a'", "'third'", "tiny, other")),
    "quick's variants": ('[quick]\nvariants = ["b"]\n', ("[quick]", "'b'")),
    "quick's key": ("[quick]\ncodes = 3\n", ("[quick]", "'codes'")),
    "quick's grid": ("[quick.grid]\nretention = [2.0]\n", ("retention is 2.0",)),
    "nothing to run": (
        '[[variant]]\nname = "a"\ndata = ["other"]\n[quick]\ndata = ["tiny"]\n',
        ("[quick]", "nothing to run"),
    ),
    "a column": ('[report]\ncolumns = ["beauty"]\n', ("[report]", "'beauty'", "ndcg@20")),
    "an arrivals' column": ('[report]\ncolumns = ["history"]\n', ("'history'",)),
    "a plot's name": ('[[plot]]\nname = "A b"\nx = "bits"\ny = "ndcg@20"\n', ("name is 'A b'",)),
    "a plot's axis": ('[[plot]]\nname = "p"\nx = "bits"\ny = "fun"\n', ("'p'", "y is 'fun'")),
    "a plot's kind": ('[[plot]]\nname = "p"\nx = "bits"\ny = "gap"\nkind = "pie"\n', ("'pie'", "scatter")),
    "a plot's log": ('[[plot]]\nname = "p"\nx = "bits"\ny = "gap"\nlog = ["z"]\n', ("log is ['z']",)),
    "a plot's where": ('[[plot]]\nname = "p"\nx = "bits"\ny = "gap"\nwhere = { fun = 1 }\n', ("where is",)),
    "arrivals' share": ('protocol = "arrivals"\n[arrivals]\nshare = 1.5\n', ("[arrivals]", "share is 1.5")),
    "arrivals' peers": (
        'protocol = "arrivals"\n[arrivals]\npeers = ["als", "als"]\n',
        ("[arrivals]", "a list of cosines, ease, als, each once"),
    ),
    "arrivals' steps": ('protocol = "arrivals"\n[arrivals]\nsteps = 0\n', ("[arrivals]", "steps is 0")),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    text, named = WRONG[case]
    (sentence,) = [one for one in problems(tmp_path, HEAD + text) if all(word in one for word in named)]
    assert sentence.startswith(str(tmp_path / "small.toml"))


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, 'name = "Big Name"\ndata = []\n[base]\nbitz = 4\ndim = 7\n')
    for named in ("name is 'Big Name'", "title is None", "about is None", "data is []", "'bitz'"):
        assert sum(named in sentence for sentence in found) == 1, named


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert "not TOML" in problems(tmp_path, "name = small")[0]
    with pytest.raises(InputError, match="nowhere"):
        load_study(tmp_path / "nowhere.toml")


def test_every_field_of_an_export_but_the_seed_can_be_set() -> None:
    assert {field.name for field in fields(ExportOptions)} - {"seed"} <= set(FIELDS)
    assert not set(FIELDS) & set(COLUMNS), "a row holds fields and columns by the same kind of name"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_example_can_be_read(file: Path) -> None:
    for quick in (False, True):
        study = load_study(file, quick=quick)
        assert study.name == file.stem
        assert study.plots
        assert study.cells
    assert {cell.data for cell in load_study(file, quick=True).cells} <= {"lastfm", "demo"}


def test_the_experiments_are_all_there() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.toml")} >= {
        "baselines",
        "retention",
        "precision",
        "placeholders",
        "rounding",
        "selectors",
        "arrivals",
        "contrastive",
        "rewiring",
        "bytes",
    }


def test_reading_a_study_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom lerg_exporter.study import load_study\n"
        f"load_study({str(EXAMPLES / 'retention.toml')!r})\n"
        "print(sorted({'torch', 'scipy', 'executorch', 'matplotlib'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"


def test_the_small_study_is_one(tmp_path: Path) -> None:
    assert len(read(tmp_path, STUDY).cells) == 2
    assert len(read(tmp_path, STUDY, quick=True).cells) == 1
