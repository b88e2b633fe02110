"""Tables of other libraries: what is read is what was written, and whatever else is one sentence."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from _table_files import ITEMS, MODELS, USERS, implicit, lightgcn, recbole, rows, word2vec

from lerg_edge.data.interactions import IdMap
from lerg_edge.errors import InputError
from lerg_edge.tables import GivenTables, read_model, read_tables
from lerg_edge.tables._source import Source
from lerg_edge.tables.registry import table_formats


@pytest.mark.parametrize("name", MODELS)
def test_models_are_told_by_their_content(tmp_path: Path, name: str) -> None:
    path = MODELS[name](tmp_path / "model.npz")
    fitting = [each for each in table_formats() if each.recognises(Source(path))]
    assert [each.__name__.rpartition(".")[2] for each in fitting] == [name]  # type: ignore[attr-defined]
    found = read_model(path)
    assert found.form == fitting[0].NAME
    assert np.array_equal(found.items, ITEMS)
    if name == "word2vec":
        assert found.users is None
    else:
        assert np.array_equal(found.users, USERS)


def test_every_format_has_a_sample() -> None:
    assert {each.__name__.rpartition(".")[2] for each in table_formats()} == set(MODELS)  # type: ignore[attr-defined]


def test_what_formats_say_of_ids_and_layers(tmp_path: Path) -> None:
    final = read_model(implicit(tmp_path / "als.npz"))
    assert (final.layers, final.user_ids, final.item_ids) == (0, None, None)
    assert read_model(lightgcn(tmp_path / "lgn.pth.tar")).layers is None
    padded = read_model(recbole(tmp_path / "bpr.pth"))
    assert padded.layers is None
    assert padded.user_ids is not None
    assert list(padded.user_ids) == list(range(1, 10))
    text = read_model(word2vec(tmp_path / "vectors.txt"))
    assert text.item_ids is not None
    assert list(text.item_ids) == [f"film {number}" for number in range(7)]


def test_checkpoints_of_all_makes(tmp_path: Path) -> None:
    """Of old torch without a zip, of DataParallel, and a state dict alone."""
    assert np.array_equal(read_model(lightgcn(tmp_path / "old", zipped=False)).items, ITEMS)
    assert np.array_equal(read_model(recbole(tmp_path / "bare", wrapped=False)).items, ITEMS)
    names = {"module.embedding_user.weight": USERS, "module.embedding_item.weight": ITEMS}
    torch.save({name: torch.tensor(table).half() for name, table in names.items()}, tmp_path / "parallel")
    found = read_model(tmp_path / "parallel")
    assert found.items.dtype == np.float32
    assert np.array_equal(found.items, ITEMS.astype(np.float16).astype(np.float32))


def test_recbole_tokens_with_and_without_padding(tmp_path: Path) -> None:
    path, tokens = recbole(tmp_path / "bpr.pth"), [f"t{number}" for number in range(7)]
    for name, given in (("whole", ["[PAD]", *tokens]), ("short", tokens)):
        (tmp_path / name).write_text("\n".join(given), encoding="utf-8")
        found = read_model(path, item_ids=tmp_path / name)
        assert found.item_ids is not None
        assert list(found.item_ids) == tokens
        assert np.array_equal(found.items, ITEMS)


def test_tables_of_all_dtypes_and_orders(tmp_path: Path) -> None:
    np.save(tmp_path / "u.npy", USERS.astype(np.float64))
    np.save(tmp_path / "i.npy", np.asfortranarray(ITEMS))
    found = read_tables(tmp_path / "i.npy", tmp_path / "u.npy")
    assert found.users is not None
    assert found.users.dtype == found.items.dtype == np.float32
    assert np.array_equal(found.users, USERS)
    assert np.array_equal(found.items, ITEMS)


def test_parquet_brings_ids(tmp_path: Path) -> None:
    names = [f"i{number}" for number in range(7)]
    for vector in (pl.Series(ITEMS, dtype=pl.Array(pl.Float32, 6)), pl.Series(ITEMS.tolist())):
        pl.DataFrame({"id": names, "vector": vector}).write_parquet(tmp_path / "i.parquet")
        found = read_tables(tmp_path / "i.parquet")
        assert np.array_equal(found.items, ITEMS)
        assert found.item_ids is not None
        assert list(found.item_ids) == names


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("3\n1\n2\n", [3, 1, 2]),
        ("b\r\na\r\n7", ["b", "a", "7"]),
        (np.array([30, 10, 20], np.uint16), [30, 10, 20]),
        (np.array(["3", "x", "ä"]), ["3", "x", "ä"]),
    ],
)
def test_ids_stay_in_their_order(tmp_path: Path, written: str | np.ndarray, expected: list[object]) -> None:
    np.save(tmp_path / "t.npy", rows(0, 3))
    path = tmp_path / "ids"
    if isinstance(written, str):
        path.write_bytes(written.encode())
    else:
        with open(path, "wb") as stream:
            np.save(stream, written)
    found = read_tables(tmp_path / "t.npy", item_ids=path)
    assert found.item_ids is not None
    assert list(found.item_ids) == expected


class Bomb:
    """What a pickle may do when it is opened."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, ("opened-by-a-pickle", "w"))


def npy(array: np.ndarray, *, shape: str | None = None) -> bytes:
    """A .npy file, with another shape in its header if one is given."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    data = stream.getvalue()
    if shape is None:
        return data
    stated = repr(array.shape).encode()
    return data.replace(stated, shape.encode().ljust(len(stated))[: max(len(stated), len(shape))], 1)


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def checkpoint(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def bombed() -> bytes:
    tables = {"user_embedding.weight": torch.zeros(3, 2), "item_embedding.weight": torch.zeros(3, 2)}
    return checkpoint({"config": Bomb(), "state_dict": tables})


TABLE = npy(ITEMS)
HOSTILE_MODELS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no known format"),
    "some text": (b"user,item\n1,2\n", "no known format"),
    "a table": (TABLE, "single table"),
    "a pickle": (pickle.dumps(Bomb()), "never opened"),
    "a zip cut short": (zipped(user_factors=TABLE, item_factors=TABLE)[:-30], "damaged"),
    "a zip of something else": (zipped(rows=TABLE), "no known format"),
    "a table that is none": (zipped(user_factors=b"rows", item_factors=TABLE), "damaged"),
    "objects": (zipped(user_factors=npy(np.array([Bomb()], object)), item_factors=TABLE), "never unpickled"),
    "a shape that lies": (zipped(user_factors=npy(ITEMS, shape="(9, 6)"), item_factors=TABLE), "(9, 6)"),
    "a negative shape": (
        zipped(user_factors=npy(rows(1, 10), shape="(-10,-6)"), item_factors=TABLE),
        "(-10, -6)",
    ),
    "zeros that unpack": (zipped(user_factors=bytes(1 << 27), item_factors=TABLE), "unpacks"),
    "one dimension": (zipped(user_factors=npy(USERS[0]), item_factors=TABLE), "shape (6,)"),
    "texts for numbers": (zipped(user_factors=npy(np.array([["a"]])), item_factors=TABLE), "<U1"),
    "another width": (zipped(user_factors=npy(rows(1, 4, 5)), item_factors=TABLE), "one model"),
    "no rows": (zipped(user_factors=npy(rows(1, 0)), item_factors=TABLE), "(0, 6)"),
    "not finite": (
        zipped(user_factors=npy(np.array([[0.0] * 6, [np.nan] * 6])), item_factors=TABLE),
        "row 1",
    ),
    "more than weights": (bombed(), "nothing else is ever unpickled"),
    "a checkpoint of something else": (checkpoint({"w": torch.zeros(2, 2)}), "without the tables"),
    "a checkpoint cut short": (bombed()[:-40], "damaged"),
    "names without tensors": (
        checkpoint({"embedding_user.weight": 1, "embedding_item.weight": 2}),
        "0 such parameters",
    ),
    "two of a name": (
        checkpoint(
            {
                f"{place}embedding_{side}.weight": torch.zeros(2, 2)
                for place in ("a.", "b.")
                for side in ("user", "item")
            }
        ),
        "2 such parameters",
    ),
    "a sparse tensor": (
        checkpoint({f"embedding_{side}.weight": torch.eye(3).to_sparse() for side in ("user", "item")}),
        "plain table",
    ),
    "padding alone": (
        checkpoint({f"{side}_embedding.weight": torch.zeros(1, 2) for side in ("user", "item")}),
        "padding",
    ),
    "sizes without rows": (b"9999999999 300\n", "too small"),
    "too few lines": (b"3 2\na 1 2\nb 3 4\n               ", "line 4"),
    "fewer than stated": (b"2 1\naaaaaaaa 1\n", "states 2 rows and has 1"),
    "more than stated": (b"1 1\na 1\nb 2\n", "line 3"),
    "a word for a number": (b"1 2\na 1 x\n", "line 2"),
    "binary vectors": (b"2 2\na \x00\x00\x80?\x00\x00\x00@\nb \x00\x00\x80?\x00\x00\x00@\n", "line 2"),
    "an id twice": (b"2 1\na 1\na 2\n", "twice"),
    "bytes for an id": (b"1 1\n\xff\xfe 1\n", "line 2"),
}


@pytest.mark.parametrize("name", HOSTILE_MODELS)
def test_hostile_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    data, told = HOSTILE_MODELS[name]
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(InputError, match=r"^[^\n]+$") as raised:
        read_model(tmp_path / "model")
    assert told in str(raised.value)
    assert not (tmp_path / "opened-by-a-pickle").exists()


HOSTILE_IDS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "an empty line": (b"a\n\nb\nc\nd\ne\nf\n", "line 2"),
    "twice": (b"a\nb\nc\nd\ne\nf\na\n", "twice"),
    "too few": (b"a\nb\n", "2 ids, and the model 7 rows"),
    "latin-1": (b"a\nb\n\xe4\nd\ne\nf\ng\n", "line 3"),
    "floats": (npy(np.arange(7.0)), "integers or texts"),
    "objects": (npy(np.array([Bomb()] * 7, object)), "never unpickled"),
    "beyond 64 bits": (npy(np.arange(7, dtype=np.uint64) + 2**63), "64 bits"),
    "longer than a bundle holds": (b"x" * 5000 + b"\nb\nc\nd\ne\nf\ng\n", "5,000 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_hostile_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    data, told = HOSTILE_IDS[name]
    np.save(tmp_path / "i.npy", ITEMS)
    (tmp_path / "ids").write_bytes(data)
    with pytest.raises(InputError) as raised:
        read_tables(tmp_path / "i.npy", item_ids=tmp_path / "ids")
    assert told in str(raised.value)
    assert not (tmp_path / "opened-by-a-pickle").exists()


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pl.DataFrame({"id": [1, 2]}), "must be id and vector"),
        (pl.DataFrame({"id": [1, None], "vector": [[1.0], [2.0]]}), "missing"),
        (pl.DataFrame({"id": [1, 2], "vector": [[1.0], [2.0, 3.0]]}), "several lengths"),
        (pl.DataFrame({"id": [1.5, 2.5], "vector": [[1.0], [2.0]]}), "integers or texts"),
        (pl.DataFrame({"id": [1, 1], "vector": [[1.0], [2.0]]}), "twice"),
        (pl.DataFrame({"id": [1, 2], "vector": ["a", "b"]}), "real numbers"),
    ],
)
def test_hostile_parquet(tmp_path: Path, frame: pl.DataFrame, told: str) -> None:
    frame.write_parquet(tmp_path / "i.parquet")
    with pytest.raises(InputError, match=told):
        read_tables(tmp_path / "i.parquet")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for read in (read_model, read_tables):
        for path in (tmp_path / "nowhere", tmp_path, Path("/dev/zero")):
            with pytest.raises(InputError, match="cannot be read"):
                read(path)


def test_tables_of_another_number_than_ids() -> None:
    with pytest.raises(InputError, match="7 rows of items and 9 ids"):
        GivenTables(ITEMS, item_ids=IdMap(np.arange(9)))
