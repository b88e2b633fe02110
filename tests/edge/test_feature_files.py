"""Files of item features in the forms that there are."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lerg_edge import IdMap, InputError, ItemFeatures, read_dataset
from lerg_edge.data.readers import read_features

IDS = IdMap.from_text(["3", "1", "2"])  # indices are ranks: items 1, 2, 3
GENRES = (("Animation", "Comedy"), ("Crime",), ())

FORMS = {
    "movies.dat": "1::Toy Story::Animation|Comedy\n2::Leon::Crime\n9::Heat::Crime\n",
    "films.csv": "movieId,genres\n1,Animation|Comedy\n2,Crime\n9,Crime\n3,\n",
    "typed.csv": "id;genres:category\n1;Animation | Comedy|Comedy\n2;Crime\n9;x\n",
    "ml.item": "item_id:token\tgenres:token_seq\n1\tAnimation Comedy\n2\tCrime\n9\tCrime\n",
}


def columns_of(features: ItemFeatures) -> dict[str, object]:
    return {
        column.name: column.texts if column.numbers is None else column.numbers.tolist()
        for column in features.columns
    }


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_forms(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / (f"{name}.gz" if packed else name)
    data = FORMS[name].encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    found = read_features(path, IDS)
    assert columns_of(found) == {"genres": GENRES}
    assert found.unknown == 1
    assert found.known.tolist() == [True, True, name == "films.csv"]


def test_kinds_are_told_or_inferred(tmp_path: Path) -> None:
    path = tmp_path / "features.csv"
    path.write_text(
        'item,year,code:category,text,mixed,empty\n1,1995,7,"0.5 1 2",3,\n2,,8,[1 2 3],x|y,\n3,2001,7,,,\n'
    )
    found = read_features(path, IDS)
    assert [(column.name, column.kind) for column in found.columns] == [
        ("year", "number"),
        ("code", "category"),
        ("text", "vector"),
        ("mixed", "category"),
    ]
    values = {column.name: column for column in found.columns}
    np.testing.assert_array_equal(values["year"].numbers, [[1995.0], [np.nan], [2001.0]])
    np.testing.assert_array_equal(values["text"].numbers, [[0.5, 1, 2], [1, 2, 3], [np.nan] * 3])
    assert values["code"].texts == (("7",), ("8",), ("7",))
    assert values["mixed"].texts == (("3",), ("x", "y"), ())


@pytest.mark.parametrize("make", [dict, pd.DataFrame])
def test_tables_in_memory(make: Callable[..., Any]) -> None:
    genres, texts = [["Crime"], ["Animation", "Comedy"], []], [[1.0, 2.0], None, None]
    found = read_features(make({"item": [2, 1, 9], "genres": genres, "text": texts}), IDS)
    assert found.columns[0].texts == (("Animation", "Comedy"), ("Crime",), ())
    np.testing.assert_array_equal(found.columns[1].numbers, [[np.nan] * 2, [1.0, 2.0], [np.nan] * 2])


def test_reordering_keeps_an_items_features() -> None:
    frame = {"item": ["1", "2"], "genre": ["a", "b"], "year": [1.0, 2.0]}
    found = read_features(frame, IDS).reordered(np.array([2, 0, 1]))
    assert found.columns[0].texts == ((), ("a",), ("b",))
    np.testing.assert_array_equal(found.columns[1].numbers, [[np.nan], [1.0], [2.0]])
    assert found.known.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item,year:number\n1,1995\n2,soon\n", r"line 3: 'year' is 'soon', which is no number; mend the row"),
        ("item,year:number\n1,inf\n", r"line 2: 'year' is 'inf'"),
        ("item,text:vector\n1,1 2\n2,1 2 3\n", r"line 3: 'text' has 3 numbers and 2 are expected"),
        ("item,genre\n1,a\n2\n", r"line 3: the row has 1 fields and the header 2"),
        ("item,genre\n1,a\n1,b\n", r"line 3: item '1' is there before"),
        ("item,genre\n7,a\n", r"none is of an item of the data"),
        ("name,genre\n1,a\n", r"no column looks like the items' ids; name one 'item' .*'name', 'genre'"),
        ("item,movie,id,item\n1,a,b,c\n", r"several columns could be the items' ids"),
        ("item\n1\n", r"there are 0 columns beside the items' ids"),
        ("item,genre,genre\n1,a,b\n", r"two columns are called 'genre'"),
        ("item,a=b\n1,a\n", r"column 2 is called 'a=b'; give it a name"),
        ("item,genre\n1,\n2,\n", r"every feature of the items of the data is empty"),
        (f"item,genre\n1,{'x' * 300}\n", r"line 2: a value of 'genre' has more than 256 bytes"),
        ("item,genre\n1,a\x1b[2J\n", r"line 2: a value of 'genre' has more than 256 bytes or a control"),
        ('item,genre\n1,"a\n', r"line \d: .*; mend the row"),
    ],
)
def test_bad_files_name_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "features.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"features.csv: .*{said}"):
        read_features(path, IDS)


def test_bytes_that_are_no_text_and_rows_without_genres(tmp_path: Path) -> None:
    (tmp_path / "features.csv").write_bytes(b"item,genre\n1,\xe9\n")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_features(tmp_path / "features.csv", IDS)
    (tmp_path / "movies.dat").write_text("1::Toy Story\n")
    with pytest.raises(InputError, match="line 1: each row is id::title::genres"):
        read_features(tmp_path / "movies.dat", IDS)


def test_a_dataset_has_the_features_of_its_items(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user,item\n1,1\n1,2\n2,3\n")
    (tmp_path / "movies.dat").write_text(FORMS["movies.dat"])
    dataset = read_dataset(tmp_path / "x.csv", split="none", item_features=tmp_path / "movies.dat")
    assert dataset.features is not None
    assert dataset.features.columns[0].texts == GENRES
    moved = dataset.reordered(np.array([1, 0]), np.array([2, 1, 0]))
    assert moved.features is not None
    assert moved.features.columns[0].texts == GENRES[::-1]
    assert read_dataset("demo", item_features="demo").features is not None
    with pytest.raises(InputError, match="features of the data demo"):
        read_dataset(tmp_path / "x.csv", split="none", item_features="demo")
