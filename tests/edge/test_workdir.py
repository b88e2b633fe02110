"""The work folder: what is stored comes back, and nothing else ever does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from lerg_edge import workdir
from lerg_edge.errors import InputError, LergError
from lerg_edge.workdir import WorkDir, fingerprint

KEY = "0123456789abcdef" * 4
TENSORS = {
    "codes": np.arange(6, dtype=np.int16).reshape(2, 3),
    "kept": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(7, np.int64),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}
RESULT = {"epochs": 3, "loss": np.float32(0.5), "name": "é", "none": None}


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    folder = WorkDir.at(tmp_path / "made" / "here")
    folder.store("train", KEY, tensors=TENSORS, result=RESULT)
    return folder


def test_a_result_comes_back_as_it_was(work: WorkDir) -> None:
    loaded = work.load("train", KEY)
    assert loaded is not None
    tensors, result = loaded
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype
        assert tensors[name].shape == value.shape
    assert result == {"epochs": 3, "loss": 0.5, "name": "é", "none": None}
    tensors["codes"][0, 0] = 9  # not a read-only view


def test_other_inputs_and_stages_have_results_of_their_own(work: WorkDir) -> None:
    assert work.load("train", "f" + KEY[1:]) is None
    assert work.load("select", KEY) is None
    work.store("train", "f" + KEY[1:], tensors={}, result={"epochs": 9})
    assert work.load("train", "f" + KEY[1:]) == ({}, {"epochs": 9})
    assert work.load("train", KEY) is not None


def test_storing_again_replaces_the_whole(work: WorkDir) -> None:
    work.store("train", KEY, tensors={"other": np.zeros(2)}, result={})
    loaded = work.load("train", KEY)
    assert loaded is not None
    assert loaded[0].keys() == {"other"}
    assert [path.name for path in work.root.iterdir()] == [work.folder("train", KEY).name]


def header(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "stage.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def flip_last_byte(folder: Path) -> None:
    content = bytearray((folder / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "tensors.safetensors").write_bytes(content)


def replace_by_file(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("not a folder")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "stage.json").unlink(), "stage.json is missing"),
        (lambda folder: (folder / "tensors.safetensors").unlink(), "tensors.safetensors is missing"),
        (lambda folder: (folder / "stage.json").write_text("{"), "stage.json is damaged"),
        (lambda folder: (folder / "stage.json").write_bytes(b"\xff\xfe"), "stage.json is damaged"),
        (lambda folder: (folder / "stage.json").write_text("[]"), "not written by this program"),
        (lambda folder: (folder / "tensors.safetensors").write_bytes(b""), "is not the file that was stored"),
        (header(format="other"), "not written by this program"),
        (header(version=2), "version 2 and not 1"),
        (header(stage="select"), "another stage"),
        (header(fingerprint=KEY[:20] + "0" * 44), "other inputs"),
        (header(result=[]), "no result"),
        (flip_last_byte, "is not the file that was stored"),
        (replace_by_file, "cannot be read"),
    ],
)
def test_what_is_damaged_or_foreign_is_computed_anew(
    work: WorkDir, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], reason: str
) -> None:
    damage(work.folder("train", KEY))
    with caplog.at_level(logging.WARNING):
        assert work.load("train", KEY) is None
    assert reason in caplog.text
    work.store("train", KEY, tensors=TENSORS, result=RESULT)
    assert work.load("train", KEY) is not None


def test_an_interrupted_store_leaves_the_old_result(work: WorkDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path, content: bytes) -> None:
        path.write_bytes(content[:5])
        raise KeyboardInterrupt

    monkeypatch.setattr(workdir, "_write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        work.store("train", KEY, tensors={}, result={})
    loaded = work.load("train", KEY)
    assert loaded is not None
    assert loaded[1]["epochs"] == 3
    assert len(list(work.root.iterdir())) == 1


def test_a_full_disk_is_one_sentence(work: WorkDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workdir, "_write", full)
    with pytest.raises(LergError, match="No space left"):
        work.store("train", KEY, tensors={}, result={})


def test_a_file_is_no_work_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        WorkDir.at(tmp_path / "file")


def test_a_checkpoint_lies_beside_its_stage(work: WorkDir) -> None:
    assert work.checkpoint("train", KEY).parent == work.root
    assert work.checkpoint("train", KEY) != work.folder("train", KEY)


@dataclass(frozen=True)
class Options:
    bits: int = 8
    rate: float = 0.1


@dataclass(frozen=True)
class OtherOptions:
    bits: int = 8
    rate: float = 0.1


MATRIX = sparse.csr_matrix(np.array([[0, 1, 0], [2, 0, 3]], np.float32))


def test_different_inputs_have_different_fingerprints() -> None:
    values: list[object] = [
        None, 0, 1, 2, True, False, 1.0, -0.0, "1", "", b"", "ab", ["a", "b"], ["ab"], [["a"], "b"], [], {},
        {"a": 1}, {"a": 2}, {"b": 1}, Options(), Options(bits=4), Options(rate=0.2), OtherOptions(), MATRIX,
        MATRIX.T, MATRIX * 2, np.zeros(2), np.zeros((1, 2)), np.zeros(2, np.float32), np.zeros(3), np.ones(2),
        np.array(["a", "b"], object), np.array(["ab"], object),
    ]  # fmt: skip
    prints = [fingerprint("stage", value=value) for value in values]
    assert len(set(prints)) == len(values)
    assert fingerprint("stage", a=1, b=2) != fingerprint("stage", a=2, b=1)
    assert fingerprint("stage", a=1) != fingerprint("other", a=1)
    assert fingerprint("stage", a=1) != fingerprint("stage", b=1)


def test_equal_inputs_have_equal_fingerprints() -> None:
    assert fingerprint("s", a=1, b=[1, 2]) == fingerprint("s", b=(1, 2), a=1)
    wide = sparse.csr_matrix(
        (MATRIX.data, MATRIX.indices.astype(np.int64), MATRIX.indptr.astype(np.int64)), (2, 3)
    )
    assert fingerprint("s", m=MATRIX) == fingerprint("s", m=wide) == fingerprint("s", m=MATRIX.tocoo())
    turned = np.arange(6).reshape(2, 3).T
    assert fingerprint("s", a=turned) == fingerprint("s", a=turned.copy())
    assert fingerprint("s", a=np.float64(0.5)) == fingerprint("s", a=0.5)
    # Written down once: kept results must stay valid from release to release.
    assert fingerprint("train", bits=8, rate=0.1).startswith("ba074076de4f0fd5fe85")
    assert fingerprint("s", a=fingerprint) != fingerprint("s", a=fingerprint.__name__)
    with pytest.raises(TypeError, match="function"):
        fingerprint("s", a=lambda: 0)
