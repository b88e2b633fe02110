"""Programs without their graph: made again from the pairs, to the last byte, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from _tiny import TinyModel, tiny_manifest

from lerg_runtime.bundle import InteractionRows, ModelShape
from lerg_runtime.bundle._arrays import array_bytes, read_arrays
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._packed_program import pack_program, reader_of, unpack_program
from lerg_runtime.errors import BundleError

HEAD, BETWEEN = b"instructions " * 40, bytes(48)
CODES = bytes(range(256)) * 2


class Case:
    """A program with a graph that differs from the pairs by one edge more and one less."""

    def __init__(self, model: TinyModel, *, differs: bool = True) -> None:
        slots = []
        for retained in (model.retained_users, model.retained_items):
            of_side = np.full(len(retained), int(retained.sum()), np.int32)
            of_side[retained] = np.arange(int(retained.sum()))
            slots.append(of_side)
        self.slots = {"user_slots": slots[0], "item_slots": slots[1]}
        self.pairs = InteractionRows.of_sorted(*model.pairs, user_count=model.users, item_count=model.items)
        shape = ModelShape.parse(Fields(tiny_manifest(model)["model"], "model"))
        graph = np.zeros((shape.retained_users, shape.retained_items), bool)
        users, items = (side[part] for side, part in zip(slots, model.pairs, strict=True))
        kept = (users < shape.retained_users) & (items < shape.retained_items)
        graph[users[kept], items[kept]] = True
        if differs:
            (more, fewer) = (np.argwhere(graph == value)[place] for value, place in ((False, 3), (True, -3)))
            graph[tuple(more)], graph[tuple(fewer)] = True, False
        indptr = np.concatenate(([0], np.cumsum(graph.sum(axis=1)))).astype(np.int32)
        indices = np.nonzero(graph)[1].astype(np.uint8)
        self.shape = replace(shape, edges=len(indices))
        self.program = HEAD
        self.cuts = {}
        for name, content in (
            ("codes", CODES),
            ("indptr", indptr.tobytes()),
            ("indices", indices.tobytes()),
        ):
            self.program += bytes(-len(self.program) % 16)
            self.cuts[name] = (len(self.program), len(content))
            self.program += content
        self.program += BETWEEN

    def packed(self) -> bytes:
        return pack_program(self.program, self.cuts, self.shape, interactions=self.pairs, **self.slots)

    def unpacked(self, data: bytes) -> bytes:
        reader = reader_of(np.frombuffer(data, np.uint8), "program.arrays")
        made = unpack_program(
            reader, self.shape, interactions=self.pairs, where="program.arrays", **self.slots
        )
        return made.tobytes()


@pytest.mark.parametrize("differs", [True, False])
def test_a_program_comes_back_to_the_last_byte(model: TinyModel, differs: bool) -> None:
    case = Case(model, differs=differs)
    data = case.packed()
    arrays = read_arrays(data)
    assert ("changed" in arrays) == differs
    assert case.unpacked(data) == case.program
    assert (
        sum(arrays[name].nbytes for name in arrays if name[1:].isdigit())
        < len(case.program) - case.shape.edges
    )


def test_a_program_without_a_graph_is_pieces_alone(model: TinyModel) -> None:
    case = Case(model)
    case.cuts = {"codes": case.cuts["codes"]}
    data = case.packed()
    assert not {"indptr", "indices", "changed"} & read_arrays(data).keys()
    assert case.unpacked(data) == case.program
    case.cuts = {}
    assert case.unpacked(case.packed()) == case.program


WRONG: dict[str, Callable[[dict[str, np.ndarray]], None]] = {
    "no size": lambda arrays: arrays.pop("size"),
    "size 0": lambda arrays: arrays.update(size=np.array(0)),
    "a huge size": lambda arrays: arrays.update(size=np.array(2**40)),
    "a smaller size": lambda arrays: arrays.update(size=arrays["size"] - 60),
    "no piece": lambda arrays: arrays.pop("p01"),
    "overlapping": lambda arrays: arrays.update(starts=arrays["starts"] * 0),
    "negative": lambda arrays: arrays.update(starts=arrays["starts"] - 1),
    "outside": lambda arrays: arrays.update(starts=arrays["starts"] + 10**6),
    "many": lambda arrays: arrays.update(starts=np.arange(100)),
    "indices outside": lambda arrays: arrays.update(indices=arrays["size"].copy()),
    "indices at an odd place": lambda arrays: arrays.update(indices=np.array(1)),
    "a negative place": lambda arrays: arrays.update(indptr=np.array(-4)),
    "indptr alone": lambda arrays: arrays.pop("indices"),
    "a damaged code": lambda arrays: arrays.update(changed=arrays["changed"][:-1]),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(
    model: TinyModel, change: Callable[[dict[str, np.ndarray]], None]
) -> None:
    case = Case(model)
    arrays = read_arrays(case.packed())
    change(arrays)
    with pytest.raises(BundleError, match=r"program\.arrays"):
        case.unpacked(array_bytes(arrays, as_they_are=("changed",)))


def test_another_number_of_edges_is_refused(model: TinyModel) -> None:
    case = Case(model)
    data = case.packed()
    for edges in (case.shape.edges - 1, case.shape.edges + 1):
        case.shape = replace(case.shape, edges=edges)
        with pytest.raises(BundleError, match="does not follow from the interactions"):
            case.unpacked(data)
