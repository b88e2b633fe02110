"""Writing a bundle and reading it, and finding any change in between."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _oracles import parts, reseal
from _tiny import TinyModel, raw_ids, tiny_model, write_tiny

from lerg_runtime.bundle import BundleFolder, State, copy_bundle, pack, save_state, write_bundle
from lerg_runtime.bundle._checksums import parse_checksums, render_checksums
from lerg_runtime.errors import BundleError, InputError

FILES = (
    "SHA256SUMS",
    "entities.arrays",
    "golden.arrays",
    "interactions.arrays",
    "manifest.json",
    "model.pte",
    "state.bin",
)


@pytest.fixture
def bundle(tmp_path: Path, model: TinyModel) -> Path:
    return write_tiny(tmp_path / "bundle", model)


@pytest.mark.parametrize("ids", ["text", "integer"])
@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_everything_comes_back(tmp_path: Path, ids: str, bits: int) -> None:
    model = tiny_model(bits=bits, per_row=bits == 4)
    folder = BundleFolder.open(write_tiny(tmp_path / "bundle", model, ids=ids))
    entities, interactions, state = folder.read_entities(), folder.read_interactions(), folder.read_state()
    assert entities.user_ids.take(np.arange(model.users)).tolist() == raw_ids(ids, model.users, prefix="user")
    assert entities.item_ids.take(np.arange(model.items)).tolist() == raw_ids(ids, model.items, prefix="item")
    assert np.array_equal(entities.user_slots, model.slots("user"))
    assert np.array_equal(entities.item_slots, model.slots("item"))
    assert np.array_equal(interactions.users_of(np.arange(len(interactions))), model.pairs[0])
    assert np.array_equal(interactions.items, model.pairs[1])
    assert np.array_equal(state.codebook, pack(model.codebook, bits=bits))
    assert np.array_equal(state.step, model.step)
    assert (len(state.users), state.generation) == (0, 0)
    assert folder.read_golden()["finetune.in.users"].tolist() == [0, 1, 2]
    sizes = folder.stored_sizes()
    assert (sizes.user_id_bytes, sizes.item_id_bytes) == (entities.user_ids.nbytes, entities.item_ids.nbytes)
    assert sizes.pairs == len(interactions)


def test_same_content_same_bytes(tmp_path: Path, model: TinyModel) -> None:
    first, second = (write_tiny(tmp_path / name, model) for name in ("a", "b"))
    assert sorted(path.name for path in first.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_sizes_count_every_file(bundle: Path) -> None:
    folder = BundleFolder.open(bundle)
    total = sum(path.stat().st_size for path in bundle.iterdir())
    assert folder.manifest.document["storage"]["bundle_bytes"] == total
    assert sum(folder.file_sizes().values()) == total


def test_sha256sum_agrees(bundle: Path) -> None:
    names = [name for name in FILES if name not in ("SHA256SUMS", "state.bin")]
    printed = subprocess.run(["sha256sum", *names], cwd=bundle, capture_output=True, check=True).stdout
    assert (bundle / "SHA256SUMS").read_bytes() == printed


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "append", "remove", "empty", "link", "folder"])
def test_any_damage_is_a_bundle_error(bundle: Path, name: str, damage: str) -> None:
    path = bundle / name
    data = path.read_bytes()
    path.unlink()
    if damage == "flip":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    elif damage == "truncate":
        path.write_bytes(data[:-7])
    elif damage == "append":
        path.write_bytes(data + b"\n")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "link":
        outside = bundle.parent / "outside"
        outside.write_bytes(data)
        path.symlink_to(outside)
    elif damage == "folder":
        path.mkdir()
    with pytest.raises(BundleError, match=r"\.(json|arrays|bin|pte)|SHA256SUMS") as caught:
        BundleFolder.open(bundle).read_state()
    assert "\n" not in str(caught.value)


def test_a_pipe_does_not_hang_the_reader(bundle: Path) -> None:
    (bundle / "model.pte").unlink()
    os.mkfifo(bundle / "model.pte")
    with pytest.raises(BundleError, match="not a plain file"):
        BundleFolder.open(bundle)


def change_manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        document = json.loads((folder / "manifest.json").read_bytes())
        change(document)
        (folder / "manifest.json").write_text(json.dumps(document))

    return apply


def listing(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        lines = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
        (folder / "SHA256SUMS").write_text("".join(change(lines)))

    return apply


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (listing(lambda lines: lines[::-1]), "not sorted"),
        (listing(lambda lines: lines + lines[-1:]), "not sorted"),
        (listing(lambda lines: lines[:-1]), "name different files"),
        (listing(lambda lines: []), "SHA256SUMS does not name manifest.json"),
        (listing(lambda lines: [line.upper() for line in lines]), "line 1: expected a SHA-256"),
        (listing(lambda lines: [line.replace("  ", " *") for line in lines]), "line 1: expected a SHA-256"),
        (listing(lambda lines: [*lines, f"{'0' * 64}  ../x\n"]), "line 6: expected a SHA-256"),
        (listing(lambda lines: ["x" * 70_000]), "at most"),
    ],
)
def test_a_listing_that_is_not_canonical(bundle: Path, change: Callable[[Path], None], reason: str) -> None:
    change(bundle)
    with pytest.raises(BundleError, match=reason):
        BundleFolder.open(bundle)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda document: document.update(version=3), "upgrade lerg-edge"),
        (lambda document: document.update(version=1), "no longer reads; make the bundle again"),
        (lambda document: document["model"].update(users=29), "expected"),
        (lambda document: document["model"].update(retained_users=23), "do not fit the model"),
        (lambda document: document["requires"].update(executorch="no"), "release series"),
    ],
)
def test_a_resealed_bundle_is_still_checked(
    bundle: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    change_manifest(change)(bundle)
    reseal(bundle)
    with pytest.raises(BundleError, match=reason):
        BundleFolder.open(bundle).read_entities()


def test_other_files_in_the_folder_do_not_matter(bundle: Path) -> None:
    (bundle / ".state.bin.99999999.new").write_bytes(b"left by a crash")
    (bundle / "notes.txt").write_text("mine")
    BundleFolder.open(bundle)


def test_checksums_round_trip() -> None:
    digests = {"b": "0" * 64, "a.c": "f" * 64}
    data = render_checksums(digests)
    assert data.splitlines()[0].endswith(b"  a.c")
    assert parse_checksums(data, where="x") == digests
    with pytest.raises(BundleError):
        parse_checksums(data[:-1], where="x")


@pytest.mark.parametrize(
    "changed",
    [
        {"user_ids": [1, *range(1, 30)]},
        {"user_ids": list(range(5))},
        {"retained_users": np.ones(30, bool)},
        {"user_placeholder": np.zeros(3, int)},
        {"item_placeholder": np.full(8, 2)},
        {"item_placeholder": np.full(8, -1)},
        {"interactions": (np.array([0]), np.array([99]))},
        {"codebook": np.zeros((12, 8), np.int16)},
        {"codebook": np.zeros((3, 8), np.int8)},
        {"step": np.zeros(1, np.float32)},
        {"step": np.full(1, np.nan, np.float32)},
        {"step": np.ones(3, np.float32)},
        {"program": b""},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_parts_that_do_not_fit_leave_nothing_behind(
    tmp_path: Path, model: TinyModel, changed: dict[str, Any]
) -> None:
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "bundle", **{**parts(model), **changed})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changed",
    [{"codebook": np.full((12, 8), np.nan, np.float32)}, {"step": np.full(1, 0.5, np.float32)}],
    ids=lambda changed: "-".join(changed),
)
def test_floats_must_be_finite_and_their_step_1(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="32 bits must be finite and its step 1"):
        write_bundle(tmp_path / "bundle", **{**parts(tiny_model(bits=32)), **changed})


def test_the_writer_does_not_touch_the_callers_manifest(tmp_path: Path, model: TinyModel) -> None:
    given = parts(model)
    manifest = write_bundle(tmp_path / "bundle", **given)
    assert "files" not in given["manifest"]
    assert "bundle_bytes" not in given["manifest"]["storage"]
    assert manifest.files["model.pte"] == len(b"program")


def test_nothing_is_overwritten_unless_asked(tmp_path: Path, model: TinyModel) -> None:
    given = parts(model)
    write_bundle(tmp_path / "bundle", **given)
    with pytest.raises(InputError, match="exists already"):
        write_bundle(tmp_path / "bundle", **given)
    write_bundle(tmp_path / "bundle", **{**given, "program": b"another"}, overwrite=True)
    assert (tmp_path / "bundle" / "model.pte").read_bytes() == b"another"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="it is not a bundle"):
        write_bundle(tmp_path / "mine", **given, overwrite=True)
    with pytest.raises(InputError, match="there is no folder"):
        write_bundle(tmp_path / "no" / "bundle", **given)


def test_a_bundle_with_a_file_of_somebody_else_in_it_is_not_overwritten(
    tmp_path: Path, model: TinyModel
) -> None:
    given = parts(model)
    write_bundle(tmp_path / "bundle", **given)
    (tmp_path / "bundle" / ".state.bin.4711.new").write_text("what a crash left")
    write_bundle(tmp_path / "bundle", **given, overwrite=True)
    (tmp_path / "bundle" / "notes.txt").write_text("precious")
    with pytest.raises(InputError, match=r"notes\.txt in it is no part of a bundle and would be lost"):
        write_bundle(tmp_path / "bundle", **given, overwrite=True)
    assert (tmp_path / "bundle" / "notes.txt").read_text() == "precious"


def test_a_copy_carries_another_state(bundle: Path, tmp_path: Path) -> None:
    folder = BundleFolder.open(bundle)
    state = folder.read_state()
    pair = np.array([0], np.int32), np.array([39], np.int32)
    copy_bundle(folder, tmp_path / "copy", State(state.codebook, state.step * 2, *pair, generation=3))
    copied = BundleFolder.open(tmp_path / "copy")
    assert copied.digest == folder.digest
    assert copied.read_state().generation == 3
    assert np.array_equal(copied.read_state().step, state.step * 2)
    with pytest.raises(InputError, match="exists already"):
        copy_bundle(folder, tmp_path / "copy", state)


def test_a_state_belongs_to_its_bundle(bundle: Path, tmp_path: Path) -> None:
    other = BundleFolder.open(write_tiny(tmp_path / "other", tiny_model(seed=1)))
    (bundle / "state.bin").write_bytes((other.path / "state.bin").read_bytes())
    with pytest.raises(BundleError, match="saved for another bundle"):
        BundleFolder.open(bundle).read_state()


@pytest.mark.parametrize(
    ("users", "items", "reason"),
    [
        ([0, 0], [1, 1], "sorted"),
        ([1, 0], [0, 0], "sorted"),
        ([30], [0], "does not exist"),
        ([0], [40], "does not exist"),
        ([-1], [0], "does not exist"),
    ],
)
def test_local_interactions_that_cannot_be(
    bundle: Path, users: list[int], items: list[int], reason: str
) -> None:
    folder = BundleFolder.open(bundle)
    state = folder.read_state()
    pairs = np.array(users, np.int32), np.array(items, np.int32)
    save_state(bundle, State(state.codebook, state.step, *pairs), digest=folder.digest)
    with pytest.raises(BundleError, match=reason):
        folder.read_state()


def test_no_damage_to_a_state_gives_another_error(bundle: Path) -> None:
    folder = BundleFolder.open(bundle)
    data = (bundle / "state.bin").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(100):
        content = bytearray(data[32:])
        content[random.integers(len(content))] ^= 1 << int(random.integers(8))
        # A valid digest over damaged content: what is left is the reader's own care.
        sealed = hashlib.sha256(content).digest() + bytes(content)
        (bundle / "state.bin").write_bytes(sealed)
        with contextlib.suppress(BundleError):
            folder.read_state()
