"""Seed bundles as files in memory, and writing an altered one so that every hash and size is right again."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime.bundle._arrays import array_bytes, read_arrays

SEEDS = Path(__file__).parent / "seeds"
PROGRAM, MANIFEST, CHECKSUMS, STATE = "model.pte", "manifest.json", "SHA256SUMS", "state.bin"

Files = dict[str, bytes]


def seed_kinds() -> list[str]:
    return sorted(file.stem for file in SEEDS.glob("*.zip"))


def seed(kind: str) -> Files:
    """The files of a seed bundle by name."""
    with zipfile.ZipFile(SEEDS / f"{kind}.zip") as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def with_manifest(files: Files, manifest: Any) -> Files:
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return {**files, MANIFEST: text.encode(errors="surrogatepass")}


def consistent(
    files: Files,
    *,
    alter_state: Callable[[bytes], bytes] = lambda body: body,
    alter_manifest: Callable[[bytes], bytes] = lambda text: text,
) -> Files:
    """The files with sizes and checksums as a writer would have made them, and a state that belongs to them.

    A manifest that cannot be read stays as it is. `alter_state` changes the state's array file and
    `alter_manifest` the manifest's text; the checksums are of what they return.
    """
    state = read_arrays(files[STATE][32:])
    try:
        manifest = json.loads(files[MANIFEST])
        sizes = {name: len(files[name]) for name in manifest["files"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    else:
        files = with_manifest(files, {**manifest, "files": sizes})
    files = {**files, MANIFEST: alter_manifest(files[MANIFEST])}
    listed = sorted(name for name in files if name not in (CHECKSUMS, STATE))
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in listed).encode()
    state["bundle"] = np.frombuffer(hashlib.sha256(sums).digest(), np.uint8)
    body = alter_state(array_bytes(state))
    return {**files, CHECKSUMS: sums, STATE: hashlib.sha256(body).digest() + body}


def write(files: Files, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
