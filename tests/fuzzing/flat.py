"""A program's flatbuffer as nested dicts and back: ExecuTorch's schema, and no library of its.

A table is a dict of its fields that are there; a union is a dict with `""`, its type's name, beside them.
What a tree may hold is not checked: a tree that no compiler would make is what this is for.
"""

from __future__ import annotations

import struct
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
        scalars: list[tuple[int, int, str, Any]] = []  # number, bytes, format, value or child
        children: list[tuple[int, str, Any]] = []
        number = 0
        for field, of in TABLES[kind]:
            value = tree.get(field)
            if of in _UNIONS:
                if value is not None:
                    scalars.append((number, 1, "B", _UNIONS[of].index(value[""]) + 1))
                    children.append((number + 1, value[""], value))
                number += 2
                continue
            if value is not None and of in _FORMATS:
                scalars.append((number, struct.calcsize("<" + _FORMATS[of]), _FORMATS[of], value))
            elif value is not None:
                children.append((number, of, value))
            number += 1
        slots = [*scalars, *((index, 4, "I", 0) for index, _, _ in children)]
        slots.sort(key=lambda slot: -slot[1])
        offsets, at = [0] * number, 4
        for index, size, _, _ in slots:
            offsets[index] = at
            at += size
        self.align(2)
        vtable = len(self.data)
        self.data += struct.pack(f"<HH{number}H", 4 + 2 * number, at, *offsets)
        self.align(8, 4)
        self.link(hole)
        table = len(self.data)
        self.data += struct.pack("<i", table - vtable)
        for _, _, form, value in slots:
            self.data += _scalar(form, value)
        for index, of, value in children:
            self.child(value, of, table + offsets[index])

    def child(self, value: Any, kind: str, hole: int) -> None:
        if kind in TABLES:
            self.table(value, kind, hole)
        elif kind == "str":
            self.align(4)
            self.link(hole)
            text = value.encode(errors="surrogateescape")
            self.data += struct.pack("<I", len(text)) + text + b"\0"
        elif kind[1:-1] in _FORMATS:
            form = _FORMATS[kind[1:-1]]
            self.align(16, 12)  # what follows the length is aligned for every element
            self.link(hole)
            self.data += struct.pack("<I", len(value)) + b"".join(_scalar(form, entry) for entry in value)
        else:
            self.align(4)
            self.link(hole)
            start = len(self.data) + 4
            self.data += struct.pack("<I", len(value)) + bytes(4 * len(value))
            for index, entry in enumerate(value):
                self.child(entry, kind[1:-1], start + 4 * index)


def _scalar(form: str, value: Any) -> bytes:
    if form == "d":
        return struct.pack("<d", value)
    width = 8 * struct.calcsize("<" + form)
    return (int(value) % (1 << width)).to_bytes(width // 8, "little")


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
