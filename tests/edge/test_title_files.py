"""Files of titles in the forms that there are."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lerg_edge import IdMap, InputError, ItemTitles, read_dataset
from lerg_edge.data.readers._titles import read_titles

IDS = IdMap.from_text(["3", "1", "2"])
FILMS = ("Toy Story (1995)", "Léon (1994)", None)  # of items 1, 2, 3

FORMS = {
    "movies.dat": "1::Toy Story (1995)::Animation|Comedy\n2::Léon (1994)::Crime\n9::Heat::Crime\n",
    "u.item": "1|Toy Story (1995)|01-Jan-1995||http://x|0\n2|Léon (1994)|\n9|Heat|\n",
    "films.csv": 'movieId,title,genres\n1,"Toy Story (1995)",x\n2,Léon (1994),y\n9,"Heat, or not",z\n',
    "semicolons.csv": "id;name\n1;Toy Story (1995)\n2;Léon (1994)\n9;Heat\n",
    "films.tsv": "title\titem\nToy Story (1995)\t1\nLéon (1994)\t2\nHeat\t9\n",
    "ml.item": "item_id:token\tmovie_title:token_seq\n1\tToy Story (1995)\n2\tLéon (1994)\n9\tHeat\n",
    "blanks.csv": "Item ID,Product Title\n1, Toy\u2003Story\x07\t(1995) \n\n"
    "2,\u202eLéon (1994)\u2069\n3,  \n9,Heat\n",
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_forms(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / (f"{name}.gz" if packed else name)
    data = FORMS[name].encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    found = read_titles(path, IDS)
    assert found.texts == FILMS
    assert (found.titled, found.unknown) == (2, 1)


@pytest.mark.parametrize("name", ["movies.dat", "u.item"])
def test_movielens_is_latin_1(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMS[name].encode("latin-1"))
    assert read_titles(tmp_path / name, IDS).texts == FILMS


def test_titles_move_with_their_items() -> None:
    found = ItemTitles(("A", None, "C"), unknown=4)
    assert found.reordered(np.array([2, 0, 1])) == ItemTitles(("C", "A", None), unknown=4)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    {
        "other ids": ("x.csv", "item,title\n7,Seven\n", "of its 1 rows none has the title of an item"),
        "no column of titles": ("x.csv", "item,year\n1,1995\n", "no column looks like the titles"),
        "no column of items": ("x.csv", "who,title\n1,A\n", "no column looks like the items' ids"),
        "two columns of titles": ("x.csv", "item,title,Title\n1,A,B\n", "several columns"),
        "empty": ("x.csv", "", "no column looks like the items' ids"),
        "two titles": ("x.csv", "item,title\n1,A\n2,B\n1,C\n", "line 4: item '1' has another title"),
        "a short row": ("x.csv", "item,title\n1\n", "line 2: the row has 1 fields"),
        "a quote": ("x.csv", 'item,title\n1,"A\n', "line 2: unexpected end of data"),
        "no separator": ("movies.dat", "1::A\n2 B\n", "line 2: there is no '::'"),
        "too long": ("x.csv", f"item,title\n1,{'é' * 513}\n", "line 2: the title of '1' has more than 1,024"),
        "Latin-1": ("x.csv", b"item,title\n1,L\xe9on\n", "is not UTF-8"),
    }.values(),
)
def test_what_is_no_file_of_titles(tmp_path: Path, name: str, content: str | bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as error:
        read_titles(path, IDS)
    assert reason in str(error.value)
    assert str(error.value).startswith(str(path))


def test_a_dataset_has_the_titles_of_its_items(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user,item\na,2\na,1\nb,3\nb,1\n")
    (tmp_path / "u.item").write_text(FORMS["u.item"])
    dataset = read_dataset(tmp_path / "x.csv", split="none", item_titles=tmp_path / "u.item")
    assert dataset.titles is not None
    moved = dataset.reordered(np.array([1, 0]), np.array([2, 0, 1]))
    assert moved.titles is not None
    assert list(zip(moved.train.item_ids, moved.titles.texts, strict=True)) == [
        (3, None),
        (1, FILMS[0]),
        (2, FILMS[1]),
    ]
    assert read_dataset(tmp_path / "x.csv", split="none").titles is None
    with pytest.raises(InputError, match="cannot be read"):
        read_dataset(tmp_path / "x.csv", split="none", item_titles=tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "titles",
    [
        {"1": "Toy Story (1995)", "2": "Léon (1994)", "9": "Heat", "3": None},
        {1: "Toy Story (1995)", 2: "Léon (1994)", 9: "Heat"},
        {"movieId": [1, 2, 9], "title": ["Toy Story (1995)", "Léon (1994)", "Heat"]},
        pd.DataFrame({"movieId": [1, 2, 9], "title": ["Toy Story (1995)", "Léon\n(1994)", "Heat"], "x": 0}),
        pl.DataFrame({"Item ID": ["1", "2", "9"], "name": ["Toy Story (1995)", "Léon (1994)", "Heat"]}),
    ],
)
def test_titles_in_memory(titles: object) -> None:
    found = read_titles(titles, IDS)
    assert found.texts == FILMS
    assert (found.titled, found.unknown) == (2, 1)


def test_what_holds_no_titles_in_memory() -> None:
    for source, reason in (
        (pd.DataFrame({"a": [1]}), "no column looks like"),
        (["x"], "holds no titles"),
        ({"1": "A", "2": "A" * 1025}, "row 2: the title of '2' has more than"),
        (pd.DataFrame({"item": [1, 1], "title": ["A", "B"]}), "row 2: item '1' has another title"),
    ):
        with pytest.raises(InputError, match=reason):
            read_titles(source, IDS)
