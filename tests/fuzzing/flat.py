"""A program's flatbuffer as nested dicts and back: ExecuTorch's schema, and no library of its.

A table is a dict of its fields that are there; a union is a dict with `""`, its type's name, beside them.
What a tree may hold is not checked: a tree that no compiler would make is what this is for.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Tree = dict[str, Any]

_FORMATS = {"u8": "B", "i8": "b", "i32": "i", "u32": "I", "i64": "q", "u64": "Q", "f64": "d"}
TABLES: dict[str, tuple[tuple[str, str], ...]] = {}
_UNIONS: dict[str, tuple[str, ...]] = {}
for _line in Path(__file__).with_name("schema.txt").read_text(encoding="utf-8").splitlines():
    _what, _name, *_rest = _line.split()
    if _what == "union":
        _UNIONS[_name] = tuple(_rest)
    elif _what == "table":
        TABLES[_name] = tuple((_field, _kind) for _field, _kind in (_entry.split(":") for _entry in _rest))


def unpack(data: bytes, position: int = 0, kind: str = "Program") -> Tree:
    """The tree of the table that the offset at `position` leads to."""
    table = position + struct.unpack_from("<I", data, position)[0]
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    found: Tree = {}
    number = 0
    for field, of in TABLES[kind]:
        places = [0, 0]
        for part in range(2 if of in _UNIONS else 1):
            if 4 + 2 * (number + part) < size:
                places[part] = struct.unpack_from("<H", data, vtable + 4 + 2 * (number + part))[0]
        number += 2 if of in _UNIONS else 1
        if of in _UNIONS:
            if places[0] and places[1]:
                name = _UNIONS[of][data[table + places[0]] - 1]
                found[field] = {"": name, **unpack(data, table + places[1], name)}
        elif places[0]:
            found[field] = _read_field(data, table + places[0], of)
    return found


def _read_field(data: bytes, at: int, kind: str) -> Any:
    if kind in _FORMATS:
        return struct.unpack_from("<" + _FORMATS[kind], data, at)[0]
    if kind in TABLES:
        return unpack(data, at, kind)
    start = at + struct.unpack_from("<I", data, at)[0]
    count = struct.unpack_from("<I", data, start)[0]
    if kind == "str":
        return data[start + 4 : start + 4 + count].decode(errors="surrogateescape")
    of = kind[1:-1]
    if of in _FORMATS:
        return list(struct.unpack_from(f"<{count}{_FORMATS[of]}", data, start + 4))
    return [_read_field(data, start + 4 + 4 * i, of) for i in range(count)]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a table with certain fields is laid out.

    Attributes:
        vtable: its bytes.
        body: of the offset to the vtable and the slots, the widest first.
        slots: for each its field, the kind of that, and a mask for integers; 0 for a union's type, -1 for
            the hole of a child, -2 for a number with a point.
        children: fields that lie elsewhere, with their kinds and the places of their holes.
    """

    vtable: bytes
    body: struct.Struct
    slots: tuple[tuple[str, str, int], ...]
    children: tuple[tuple[str, str, int], ...]


_TYPE, _HOLE, _REAL = 0, -1, -2
# The number of a type in its union.
_MEMBERS = {(union, name): index + 1 for union, names in _UNIONS.items() for index, name in enumerate(names)}


@functools.cache
def _layout(kind: str, present: tuple[str, ...]) -> _Layout:
    slots: list[tuple[int, str, str, str, int]] = []  # number, form, field, kind, mask
    children: list[tuple[int, str, str]] = []
    number = 0
    for field, of in TABLES[kind]:
        if field in present and of in _UNIONS:
            slots.append((number, "B", field, of, _TYPE))
            children.append((number + 1, field, of))
        elif field in present and of in _FORMATS:
            form, mask = _form(of)
            slots.append((number, form, field, of, mask))
        elif field in present:
            children.append((number, field, of))
        number += 2 if of in _UNIONS else 1
    slots += [(index, "I", field, of, _HOLE) for index, field, of in children]
    slots.sort(key=lambda slot: -struct.calcsize("<" + slot[1]))
    offsets, at = [0] * number, 4
    for index, form, *_ in slots:
        offsets[index] = at
        at += struct.calcsize("<" + form)
    return _Layout(
        struct.pack(f"<HH{number}H", 4 + 2 * number, at, *offsets),
        struct.Struct("<i" + "".join(form for _, form, *_ in slots)),
        tuple((field, of, mask) for _, _, field, of, mask in slots),
        tuple((field, of, offsets[index]) for index, field, of in children),
    )


def _form(of: str) -> tuple[str, int]:
    """How a number is packed, and the mask that wraps an integer to its width."""
    form = _FORMATS[of]
    return (form, _REAL) if form == "d" else (form.upper(), (1 << 8 * struct.calcsize("<" + form)) - 1)


class _Packer:
    """Tables forward: a parent before its children, its offsets filled in when they are placed."""

    def __init__(self) -> None:
        self.data = bytearray(4)

    def align(self, to: int, rest: int = 0) -> None:
        self.data.extend(bytes((rest - len(self.data)) % to))

    def link(self, hole: int) -> None:
        """The offset at `hole` leads here."""
        struct.pack_into("<I", self.data, hole, len(self.data) - hole)

    def table(self, tree: Tree, kind: str, hole: int) -> None:
        layout = _layout(kind, tuple(field for field, _ in TABLES[kind] if tree.get(field) is not None))
        values = []
        for field, of, mask in layout.slots:
            if mask == _HOLE:
                values.append(0)
            elif mask == _TYPE:
                values.append(_MEMBERS[of, tree[field][""]])
            else:
                values.append(tree[field] if mask == _REAL else int(tree[field]) & mask)
        self.align(2)
        vtable = len(self.data)
        self.data += layout.vtable
        self.align(8, 4)
        self.link(hole)
        table = len(self.data)
        self.data += layout.body.pack(table - vtable, *values)
        for field, of, place in layout.children:
            value = tree[field]
            self.child(value, value[""] if of in _UNIONS else of, table + place)

    def child(self, value: Any, kind: str, hole: int) -> None:
        if kind in TABLES:
            self.table(value, kind, hole)
        elif kind == "str":
            self.align(4)
            self.link(hole)
            text = value.encode(errors="surrogateescape")
            self.data += struct.pack("<I", len(text)) + text + b"\0"
        elif kind[1:-1] in _FORMATS:
            form, mask = _form(kind[1:-1])
            entries = value if mask == _REAL else [int(entry) & mask for entry in value]
            self.align(16, 12)  # what follows the length is aligned for every element
            self.link(hole)
            self.data += struct.pack(f"<I{len(value)}{form}", len(value), *entries)
        else:
            self.align(4)
            self.link(hole)
            start = len(self.data) + 4
            self.data += struct.pack("<I", len(value)) + bytes(4 * len(value))
            for index, entry in enumerate(value):
                self.child(entry, kind[1:-1], start + 4 * index)


_IDENTIFIER, _EXTENDED = b"ET12", b"eh00"


def read_program(data: bytes) -> tuple[Tree, bytes]:
    """A `.pte` as its tree and the segments that follow it."""
    assert data[4:8] == _IDENTIFIER, data[4:8]
    base = 0
    if data[8:12] == _EXTENDED:
        base = struct.unpack_from("<Q", data, 24)[0]
    return unpack(data), data[base:] if base else b""


def write_program(tree: Tree, segments: bytes) -> bytes:
    """The `.pte` of a tree, its header as ExecuTorch writes it."""
    packer = _Packer()
    packer.data += _IDENTIFIER + bytes(32)
    packer.table(tree, "Program", 0)
    packer.align(16)
    size = len(packer.data)
    packer.align(128)
    base = len(packer.data) if segments else 0
    packer.data[8:40] = _EXTENDED + struct.pack("<IQQQ", 32, size, base, len(segments))
    return bytes(packer.data[: len(packer.data) if segments else size]) + segments
