"""The boundary to a bundle's files: whatever stands in their place, the answer is one sentence and exit 4."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _oracles import reseal
from _shell import Shell
from _tiny import raw_ids

from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder, _arrays
from lerg_runtime.bundle import _reader as reader_module
from lerg_runtime.bundle._checksums import render_checksums
from lerg_runtime.errors import BundleError, InputError

FILES = (
    "SHA256SUMS",
    "manifest.json",
    "entities.arrays",
    "golden.arrays",
    "interactions.arrays",
    "model.pte",
    "state.bin",
)
USER = raw_ids("text", 1, prefix="user")[0]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def link_loop(path: Path) -> None:
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


PLACES = [fifo, unix_socket, device, folder, link_loop, dangling]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("lay", PLACES, ids=lambda lay: lay.__name__)
def test_what_is_no_plain_file(
    shell: Shell, tiny_bundle: Path, name: str, lay: Callable[[Path], None]
) -> None:
    (tiny_bundle / name).unlink()
    lay(tiny_bundle / name)
    status, out, err = shell("recommend", tiny_bundle, "--user", USER)
    assert (status, out) == (4, "")
    assert re.fullmatch(rf"Error: .*{re.escape(name)}.*\n", err), err


@pytest.mark.parametrize(
    "lay", [fifo, unix_socket, device, link_loop, dangling], ids=lambda lay: lay.__name__
)
@pytest.mark.parametrize("command", ["info B", "recommend B --user x", "evaluate B --test F", "profile B"])
def test_what_is_no_folder(shell: Shell, tmp_path: Path, lay: Callable[[Path], None], command: str) -> None:
    lay(tmp_path / "b")
    (tmp_path / "f").write_text("user,item\na,b\n")
    names = {"B": tmp_path / "b", "F": tmp_path / "f"}
    status, out, err = shell(*(names.get(word, word) for word in command.split()))
    assert (status, out) == (4, "")
    assert re.fullmatch(r"Error: .*\n", err), err
    with pytest.raises(BundleError):
        Recommender.open(tmp_path / "b")


def test_a_pipe_laid_where_the_state_was_does_not_hold_up_a_save(tiny_bundle: Path) -> None:
    with Recommender.open(tiny_bundle) as rec:
        (tiny_bundle / "state.bin").unlink()
        os.mkfifo(tiny_bundle / "state.bin")
        with pytest.raises(BundleError, match=r"state\.bin is not a plain file"):
            rec.save()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_read(shell: Shell, tiny_bundle: Path, name: str) -> None:
    (tiny_bundle / name).chmod(0)
    assert shell("recommend", tiny_bundle, "--user", USER)[0] == 4


def test_a_file_that_cannot_be_read(shell: Shell, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, *given: Any, **more: Any) -> int:
        if str(path).endswith("golden.arrays"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *given, **more)

    monkeypatch.setattr(os, "open", refuse)
    status, _, err = shell("info", tiny_bundle)
    assert (status, err) == (4, f"Error: cannot read {tiny_bundle / 'golden.arrays'}: Permission denied\n")


DEEP = 100_000
TEXTS = {
    "a lone surrogate": lambda text: text.replace('"seed"', '"\\ud800"'),
    "a lone surrogate as a value": lambda text: text.replace('"0.1.0"', '"\\udfff"'),
    "1e999": lambda text: text.replace('"l2": 0.001', '"l2": 1e999'),
    "-1e999 for people": lambda text: text.replace('"recall@20": 0.5', '"recall@20": -1e999'),
    "an integer of 5,000 digits": lambda text: text.replace('"seed": 0', f'"seed": {"9" * 5000}'),
    "an integer of 70 bits": lambda text: text.replace('"seed": 0', f'"seed": {2**70}'),
    "deep lists": lambda text: text.replace('"seed": 0', f'"seed": {"[" * DEEP}{"]" * DEEP}'),
    "deep objects": lambda text: text.replace('"seed": 0', '"seed": ' + '{"a":' * DEEP + "0" + "}" * DEEP),
    "no UTF-8": lambda text: text.replace('"seed"', '"s\udcffd"'),
    "no JSON": lambda text: text[:-20],
    "NaN": lambda text: text.replace('"seed": 0', '"seed": NaN'),
    "a list": lambda text: "[]",
    "nothing": lambda text: "",
    "a byte order mark": lambda text: "\ufeff" + text,
    "a null in a key": lambda text: text.replace('"seed"', '"s\\u0000d"').replace('"macs"', '"mac"'),
}


def rewrite(bundle: Path, change: Callable[[str], str]) -> None:
    """Change the manifest's text and make the hashes fit."""
    before = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(before)
    reseal(bundle)
    text = (bundle / "manifest.json").read_text()
    changed = change(text)
    assert changed != text
    (bundle / "manifest.json").write_text(changed, errors="surrogateescape")
    seal_listing(bundle)


def seal_listing(bundle: Path) -> None:
    """As `reseal`, for a manifest that is no JSON any more."""
    names = ("entities.arrays", "golden.arrays", "interactions.arrays", "manifest.json", "model.pte")
    digests = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in names}
    listing = render_checksums(digests)
    (bundle / "SHA256SUMS").write_bytes(listing)
    state = _arrays.read_arrays((bundle / "state.bin").read_bytes()[32:])
    state["bundle"] = np.frombuffer(hashlib.sha256(listing).digest(), np.uint8)
    content = _arrays.array_bytes(state)
    (bundle / "state.bin").write_bytes(hashlib.sha256(content).digest() + content)


@pytest.mark.parametrize("change", TEXTS.values(), ids=TEXTS)
def test_texts_that_no_manifest_may_have(
    shell: Shell, tiny_bundle: Path, change: Callable[[str], str]
) -> None:
    rewrite(tiny_bundle, change)
    status, out, err = shell("info", tiny_bundle)
    assert (status, out) == (4, "")
    assert re.fullmatch(r"Error: .*manifest\.json.*\n", err), err


WRONG = [None, True, -1, 2**63, 1.5, "", "text", [], [[]], {}, {"a": {}}, [0] * 5000]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON value, the value itself first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def test_wrong_types_everywhere_in_the_manifest(
    shell: Shell, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each value in turn becomes something else: refused with one sentence, or of no consequence."""
    reseal(tiny_bundle)
    document = json.loads((tiny_bundle / "manifest.json").read_text())
    refused = 0
    where = places(document)[1:]
    assert len(where) > 150
    for number, path in enumerate(where):
        for wrong in (WRONG[number % len(WRONG)], WRONG[(number + 5) % len(WRONG)]):
            changed = json.loads(json.dumps(document))
            parent = changed
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = wrong
            (tiny_bundle / "manifest.json").write_text(json.dumps(changed))
            seal_listing(tiny_bundle)
            status, _, err = shell("info", tiny_bundle)
            assert status in (0, 4), (path, wrong, err)
            refused += status == 4
            if status:
                assert re.fullmatch(r"Error: .*\n", err), (path, wrong, err)
    assert refused > len(where)


def test_metrics_that_are_no_object(shell: Shell, tiny_bundle: Path) -> None:
    rewrite(
        tiny_bundle,
        lambda text: re.sub(r'"metrics": \{[^{}]*\{[^{}]*\}[^{}]*\}', '"metrics": {"rewired": 7}', text),
    )
    status, _, err = shell("info", tiny_bundle)
    assert status == 4
    assert "metrics.rewired must be an object, not 7" in err


def patched(at: int, value: bytes) -> Callable[[bytes], bytes]:
    """Overwrite bytes at a place."""
    return lambda data: data[:at] + value + data[at + len(value) :]


def first_entry(at: int, value: bytes) -> Callable[[bytes], bytes]:
    """Overwrite bytes of the first array's entry, `at` behind its name."""
    return lambda data: patched(17 + data[16] + at, value)(data)


ARRAY_FILES: dict[str, Callable[[bytes], bytes]] = {
    "a zip archive": lambda data: b"PK\x03\x04" + data[4:],
    "something in front": lambda data: b"#!/bin/sh\n" + data,
    "something behind": lambda data: data + b"x",
    "an endless directory": patched(8, b"\xff\xff\xff\x7f"),
    "more arrays": patched(12, b"\x40\x00\x00\x00"),
    "fewer arrays": patched(12, b"\x00\x00\x00\x00"),
    "a long name": patched(16, b"\xff"),
    "an unknown type": first_entry(0, b"\x63"),
    "an unknown coding": first_entry(1, b"\x09"),
    "many dimensions": first_entry(2, b"\xff"),
    "a larger size": first_entry(3, b"\xff\xff\xff\x7f"),
}


@pytest.mark.parametrize("name", ["entities.arrays", "interactions.arrays"])
@pytest.mark.parametrize("make", ARRAY_FILES.values(), ids=ARRAY_FILES)
def test_what_no_array_file_may_be(
    shell: Shell, tiny_bundle: Path, make: Callable[[bytes], bytes], name: str
) -> None:
    (tiny_bundle / name).write_bytes(make((tiny_bundle / name).read_bytes()))
    reseal(tiny_bundle)
    status, out, err = shell("recommend", tiny_bundle, "--user", USER)
    assert (status, out) == (4, "")
    assert re.fullmatch(rf"Error: .*{re.escape(name)}.*\n", err), err
    assert "report" not in err


@pytest.mark.parametrize("name", ["entities.arrays", "interactions.arrays", "golden.arrays"])
def test_damage_inside_a_consistent_bundle(tiny_bundle: Path, name: str) -> None:
    """Hashes are right, so what is left is the care of the parsers."""
    whole = (tiny_bundle / name).read_bytes()
    random = np.random.default_rng(0)
    said = []
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            broken[random.integers(len(broken))] = random.integers(256)
        (tiny_bundle / name).write_bytes(broken)
        reseal(tiny_bundle)
        try:
            folder = BundleFolder.open(tiny_bundle)
            folder.stored_sizes()
            folder.read_entities()
            folder.read_interactions()
            folder.read_golden()
        except BundleError as error:
            said.append(str(error))
    assert len(said) > 30
    assert all(text.isprintable() for text in said)


def test_a_fault_of_this_program_is_not_called_damage(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    """Outside the boundary nothing is converted."""
    monkeypatch.setattr("lerg_runtime.serving._core.plan_memory", lambda *_, **__: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        Recommender.open(tiny_bundle)
    status, _, err = shell("recommend", tiny_bundle, "--user", USER)
    assert status == 1
    assert "please report this as a bug" in err


def test_whatever_a_parser_raises_is_damage(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise LookupError("an\nodd \x1b[31mthing")

    monkeypatch.setattr(reader_module, "decode_interactions", fail)
    with pytest.raises(BundleError, match=r"interactions\.arrays is damaged \(an odd \?\[31mthing\)"):
        Recommender.open(tiny_bundle)


def test_no_folder_and_a_plain_file_are_wrong_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("nothing", "file"):
        with pytest.raises(InputError, match=name):
            BundleFolder.open(tmp_path / name)


@pytest.mark.parametrize("name", ["entities.arrays", "interactions.arrays", "model.pte"])
def test_a_file_that_changes_after_it_was_hashed(tiny_bundle: Path, name: str) -> None:
    folder = BundleFolder.open(tiny_bundle)
    data = bytearray((tiny_bundle / name).read_bytes())
    (tiny_bundle / name).write_bytes(data)  # the same again is no change
    folder.read_entities()
    folder.read_interactions()
    folder.read_program()
    data[len(data) // 2] ^= 1
    (tiny_bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} does not match its SHA-256"):
        (folder.read_entities(), folder.read_interactions(), folder.read_program())
