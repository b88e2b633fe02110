"""A mutant as a recipe, a small JSON object, and the bundle that it makes of a seed.

`kind`: the seed. `program`: changes of `model.pte`, see `mutations`, and `constants`: bytes of its
constants. `plan`: true if the manifest is made to agree with the changed program. `manifest`: changes of
`manifest.json`, as `[address, value]`; the text `"json:…"` as a value is put there as it is. `arrays`: by
array file, by array, `[dtype, shape, base64 of its bytes]` or null for none. `bytes`: by file, a list of
`[position, byte]`, a position from the end if negative; `["cut", length]` shortens it.
"""

from __future__ import annotations

import base64
import json
import random
import struct
from typing import Any

from fuzzing import addresses, drawing, mutations
from fuzzing.bundles import MANIFEST, PROGRAM, STATE, Files, consistent, seed, with_manifest
from fuzzing.flat import Tree, read_program, write_program
from lerg_runtime.bundle._arrays import read_arrays

Recipe = dict[str, Any]

_RAW = "json:"
_DTYPES = ("|b1", "|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f4")


class Seed:
    """A seed bundle, unpacked once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.files = seed(kind)
        self._tree = json.dumps(read_program(self.files[PROGRAM])[0])
        self.segments = read_program(self.files[PROGRAM])[1]

    def tree(self) -> Tree:
        """A copy of the program's tree."""
        found: Tree = json.loads(self._tree)
        return found

    def build(self, recipe: Recipe) -> Files:
        """The mutant's files.

        Raises:
            LookupError: an address of the recipe leads nowhere in this seed.
        """
        files = dict(self.files)
        manifest = json.loads(files[MANIFEST])
        if "program" in recipe:
            tree = self.tree()
            addresses.apply(tree, recipe["program"])
            files[PROGRAM] = write_program(tree, patched(self.segments, recipe.get("constants", [])))
            if recipe.get("plan"):
                agree(manifest, tree)
        addresses.apply(manifest, recipe.get("manifest", []))
        raw: list[str] = []
        files = with_manifest(files, _take_raw(manifest, raw))
        for name, arrays in recipe.get("arrays", {}).items():
            if name != STATE:
                files[name] = with_arrays(files[name], arrays)
        patches = dict(recipe.get("bytes", {}))
        for name in set(patches) - {STATE}:
            files[name] = patched(files[name], patches[name])

        def alter_state(body: bytes) -> bytes:
            return patched(with_arrays(body, recipe.get("arrays", {}).get(STATE, {})), patches.get(STATE, []))

        def alter_manifest(text: bytes) -> bytes:
            for index, piece in enumerate(raw):
                text = text.replace(f'"{_RAW}{index}"'.encode(), piece.encode())
            return text

        return consistent(files, alter_state=alter_state, alter_manifest=alter_manifest)


def _take_raw(value: Any, raw: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _take_raw(entry, raw) for key, entry in value.items()}
    if isinstance(value, list):
        return [_take_raw(entry, raw) for entry in value]
    if isinstance(value, str) and value.startswith(_RAW):
        raw.append(value.removeprefix(_RAW))
        return f"{_RAW}{len(raw) - 1}"
    return value


def agree(manifest: Any, tree: Tree) -> None:
    """Make the manifest say of the programs what the changed tree says."""
    for entry in manifest["methods"]:
        plan = next((plan for plan in tree["execution_plan"] if plan.get("name") == entry["method"]), None)
        if plan is None:
            continue
        entry["arena_bytes"] = [int(size) for size in plan.get("non_const_buffer_sizes", [0])[1:]]
        entry["planned_bytes"] = sum(entry["arena_bytes"]) + entry["scratch_bytes"]
        called = [addresses.operator_name(plan, call) for _, call in addresses.calls(plan)]
        entry["operators"] = list(dict.fromkeys(called))


def with_arrays(data: bytes, changes: dict[str, Any]) -> bytes:
    """An array file with some arrays replaced, whatever numpy or a reader would say of them."""
    if not changes:
        return data
    members = {
        name: (array.dtype.str, list(array.shape), array.tobytes())
        for name, array in read_arrays(data).items()
    }
    for name, change in changes.items():
        if change is None:
            members.pop(name, None)
        else:
            members[name] = (change[0], change[1], base64.b64decode(change[2]))
    directory, out = b"", b""
    for name in sorted(members):
        dtype, shape, content = members[name]
        kind = _DTYPES.index(dtype) if dtype in _DTYPES else 200
        lengths = [size % 2**32 for size in shape]
        directory += (
            bytes([len(name)]) + name.encode() + struct.pack("<BBBI", kind, 0, len(shape), len(content))
        )
        directory += struct.pack(f"<{len(shape)}I", *lengths)
    out = struct.pack("<8sII", b"LERGARR2", len(directory), len(members)) + directory
    for name in sorted(members):
        out += bytes(-len(out) % 8) + members[name][2]
    return out


def patched(data: bytes, patches: list[Any]) -> bytes:
    if patches and patches[0] == "cut":
        return data[: patches[1]]
    changed = bytearray(data)
    for position, byte in patches:
        if -len(changed) <= position < len(changed):
            changed[position] = byte
    return bytes(changed)


def make(of: Seed, number: int) -> Recipe:
    """Mutant `number` of a seed: of its program most often, else of one of its other files."""
    rng = random.Random(f"{of.kind} {number}")
    if of.segments and rng.random() < 0.08:
        size = len(of.segments)
        constants = [
            [rng.randrange(size), rng.choice((0, 1, 127, 128, 255))] for _ in range(rng.choice((1, 2, 8)))
        ]
        changed = mutations.mutate(of.tree(), rng) if rng.random() < 0.3 else []
        return {"kind": of.kind, "program": changed, "constants": constants, "plan": True}
    if rng.random() < 0.8:
        changes: list[Any] = []
        while not changes:
            changes = mutations.mutate(of.tree(), rng)
        return {"kind": of.kind, "program": changes, "plan": rng.random() < 0.7}
    name = rng.choice([MANIFEST, *(file for file in of.files if file != "SHA256SUMS")])
    if name == MANIFEST and rng.random() < 0.8:
        return {"kind": of.kind, "manifest": _manifest_changes(json.loads(of.files[MANIFEST]), rng)}
    if name.endswith((".arrays", ".bin")) and rng.random() < 0.6:
        data = of.files[name][32:] if name == STATE else of.files[name]
        return {"kind": of.kind, "arrays": {name: _array_changes(data, rng)}}
    size = len(of.files[name])
    if rng.random() < 0.1:
        return {"kind": of.kind, "bytes": {name: ["cut", rng.randrange(size)]}}
    ends = (rng.randrange(size), rng.randrange(size), -1 - rng.randrange(min(size, 300)))
    patches = [
        [rng.choice(ends), rng.choice((0, 255, rng.randrange(256)))] for _ in range(rng.choice((1, 2, 4, 16)))
    ]
    return {"kind": of.kind, "bytes": {name: patches}}


_STRANGE: tuple[Any, ...] = (
    *(0, 1, -1, 2, 2**31 - 1, 2**31, 2**63, 10**400, 0.5, "", "x", None, True, [], {}, [0], "\ud800"),
    *("json:1e999", "json:-1e999", "json:NaN", "json:" + "[" * 3000 + "]" * 3000, "json:1e400000000"),
    *("../model.pte", "x" * 5000),
)


def _manifest_changes(manifest: Any, rng: random.Random) -> list[Any]:
    changes: list[Any] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, address = manifest, []
        while isinstance(at, (dict, list)) and len(at) and (not address or rng.random() < 0.8):
            step = rng.choice(sorted(at)) if isinstance(at, dict) else rng.randrange(len(at))
            address.append(step)
            at = at[step]
        value = rng.choice((*_STRANGE, "absent"))
        if isinstance(at, int) and not isinstance(at, bool) and rng.random() < 0.6:
            value = drawing.number(rng, at)
        if value == "absent" and isinstance(address[-1], int):
            continue
        addresses.apply(manifest, [[address, value]])
        changes.append([address, value])
    return changes


def _array_changes(data: bytes, rng: random.Random) -> dict[str, Any]:
    arrays = read_arrays(data)
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    how = rng.randrange(6)
    if how == 0:
        return {name: None}
    content, dtype, shape = bytearray(array.tobytes()), array.dtype.str, list(array.shape)
    if how == 1:
        dtype = rng.choice(
            ("<i8", "<i4", "|u1", "<u2", "<u4", "<f4", "<f8", "|O", ">i4", "|b1", "<U4", "<c16")
        )
    elif how == 2:
        shape = rng.choice(([], [0], [*shape, 1], [2**40], [-1], [2**62, 4], [2**31, 2**31], shape[:-1]))
    elif content:
        width = array.dtype.itemsize
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.randrange(len(content) // width) * width
            value = rng.choice((b"\xff", b"\x00", b"\x7f", b"\x80", b"\x01"))
            content[at : at + width] = (value * width) if rng.random() < 0.5 else (value + bytes(width - 1))
        if how == 5:
            content = content[: rng.randrange(len(content))]
    return {name: [dtype, shape, base64.b64encode(bytes(content)).decode()]}
