"""Array files: the same bytes every time, and nothing but what is expected is read."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_runtime import _native
from lerg_runtime.bundle._arrays import ArrayReader, array_bytes, read_arrays, smallest_unsigned
from lerg_runtime.errors import BundleError

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32"]


def reader(data: bytes) -> ArrayReader:
    return ArrayReader(io.BytesIO(data), "file")


def entry(
    name: bytes, dtype: int = 1, coding: int = 0, shape: tuple[int, ...] = (4,), stored: int = 4
) -> bytes:
    """An entry of a directory: by default of uint8 [4], stored as it is."""
    fixed = struct.pack("<BBBI", dtype, coding, len(shape), stored)
    return bytes([len(name)]) + name + fixed + struct.pack(f"<{len(shape)}I", *shape)


def file_of(*entries: bytes, content: bytes = b"", count: int | None = None) -> bytes:
    """An array file by its parts, right or wrong."""
    directory = b"".join(entries)
    head = struct.pack("<8sII", b"LERGARR2", len(directory), len(entries) if count is None else count)
    data = head + directory
    return data + bytes(-len(data) % 8) + content if content else data


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), max_size=3), st.integers(0, 2**32 - 1))
def test_arrays_come_back(dtype: str, shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 2, size=shape).astype(dtype)
    data = array_bytes({"a": array, "b": np.zeros(3, np.int64)})
    assert data == array_bytes({"b": np.zeros(3, np.int64), "a": array.copy(order="F")})
    found = reader(data).read("a", dtypes=(dtype,), shape=tuple(shape))
    assert found.dtype == dtype
    assert np.array_equal(found, array)


def test_golden_bytes() -> None:
    data = array_bytes({"b": np.array(7, np.int64), "a": np.arange(4, dtype=np.uint8)})
    directory = entry(b"a") + entry(b"b", 8, 0, (), 8)
    assert data == file_of(directory, content=bytes(range(4)) + bytes(4) + bytes([7]) + bytes(7), count=2)


@given(
    st.sampled_from(["uint8", "uint16", "int32", "uint64", "float32"]),
    st.sampled_from(["few", "runs", "text", "noise", "steps"]),
    st.integers(0, 2**32 - 1),
)
def test_coded_arrays_come_back(dtype: str, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = {
        "few": lambda: rng.integers(0, 3, 700),
        "runs": lambda: np.repeat(rng.integers(0, 200, 20), 40),
        "text": lambda: np.frombuffer(b"the quick brown fox " * 40, np.uint8),
        "noise": lambda: rng.integers(0, 256, 500),
        "steps": lambda: np.arange(900),
    }[kind]()
    array = np.ascontiguousarray(made.astype(dtype))
    data = array_bytes({"a": array})
    assert len(data) <= 64 + array.nbytes
    assert len(data) < array.nbytes or kind in ("noise", "steps")
    assert read_arrays(data)["a"].tobytes() == array.tobytes()
    for coding in (1, 2) if dtype != "uint8" else (1, 2, 3):
        coded = np.frombuffer(_native.encode_array(array, coding), np.uint8)
        out, odds = np.empty_like(array), np.empty(_native.TEXT_ODDS, np.int16)
        assert _native.decode_array(coded, coding, out, odds)
        assert np.array_equal(out, array)
        for wrong in (coded[:-1], np.append(coded, np.uint8(1))):
            assert not _native.decode_array(wrong, coding, out, odds)


def test_a_digest_does_not_change_the_size() -> None:
    digests = (bytes(32), bytes(range(32)), bytes(range(200, 232)))
    assert len({len(array_bytes({"bundle": np.frombuffer(digest, np.uint8)})) for digest in digests}) == 1


@pytest.mark.parametrize(
    ("largest", "dtype"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65_536, "uint32")]
)
def test_smallest_unsigned(largest: int, dtype: str) -> None:
    assert smallest_unsigned(largest) == dtype


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too short"),
        (b"LERGARR1" + bytes(8), "does not begin as one"),
        (file_of(entry(b"a"), content=bytes(4))[:-1], "do not add up"),
        (file_of(entry(b"a"), content=bytes(5)), "do not add up"),
        (file_of(entry(b"../a"), content=bytes(4)), "an entry of its directory is none"),
        (file_of(entry(b"a\xff"), content=bytes(4)), "not an array file"),
        (file_of(entry(b"a", dtype=10), content=bytes(4)), "an entry of its directory is none"),
        (file_of(entry(b"a", shape=(1,) * 5), content=bytes(4)), "an entry of its directory is none"),
        (file_of(entry(b"a", shape=(3,)), content=bytes(4)), "in a way that a bundle may not have"),
        (file_of(entry(b"a", coding=4), content=bytes(4)), "in a way that a bundle may not have"),
        (file_of(entry(b"a", 7, 3, (1,)), content=bytes(4)), "in a way that a bundle may not have"),
        (file_of(entry(b"a", 1, 1, (2**31 - 1, 2**31 - 1)), content=bytes(4)), "is too large"),
        (file_of(entry(b"a", 1, 1, (2**32 - 1, 0)), content=bytes(4)), "is too large"),
        (file_of(entry(b"b"), entry(b"a"), content=bytes(12)), "out of order"),
        (file_of(entry(b"a"), entry(b"a"), content=bytes(12)), "repeats"),
        (file_of(entry(b"a"), content=bytes(4), count=2), "ends early"),
        (file_of(entry(b"a"), entry(b"b"), content=bytes(4), count=1), "do not add up"),
        (file_of(*(entry(b"a%02d" % i, shape=(0,), stored=0) for i in range(65))), "65 arrays"),
        (struct.pack("<8sII", b"LERGARR2", 2**31, 1) + bytes(40), "its directory takes"),
    ],
)
def test_files_that_are_refused_at_once(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        reader(data)


@pytest.mark.parametrize("stored", [0, 1, 30, 90])
def test_coded_bytes_that_do_not_add_up_are_refused(stored: int) -> None:
    coded = _native.encode_array(np.arange(60, dtype=np.uint8), 1)
    given = (coded + bytes(range(1, 40)))[:stored]
    data = file_of(entry(b"a", 1, 1, (60,), len(given)), content=given)
    with pytest.raises(BundleError, match="do not add up"):
        reader(data).read("a", dtypes=("uint8",), shape=(60,))


def test_a_boolean_is_0_or_1() -> None:
    with pytest.raises(BundleError, match="neither 0 nor 1"):
        reader(file_of(entry(b"a", 0), content=bytes([0, 1, 2, 1]))).read("a", dtypes=("bool",), shape=(4,))


@pytest.mark.parametrize(
    ("name", "dtypes", "shape", "reason"),
    [
        ("b", ("int64",), (3,), "no array b"),
        ("a", ("int32", "uint8"), (3,), "int64, expected int32 or uint8"),
        ("a", ("int64",), (4,), r"shape \(3,\), expected \(4,\)"),
        ("a", ("int64",), (3, None), r"expected \(3, 'any'\)"),
        ("a", ("int64",), (), r"expected \(\)"),
    ],
)
def test_what_is_expected_comes_before_memory(
    name: str, dtypes: tuple[str, ...], shape: tuple[int | None, ...], reason: str
) -> None:
    def allocate(*_: object) -> np.ndarray:
        raise AssertionError("memory was taken")

    with pytest.raises(BundleError, match=reason):
        reader(array_bytes({"a": np.arange(3)})).read(name, dtypes=dtypes, shape=shape, allocate=allocate)


@given(st.data())
def test_no_damage_gives_another_error(data: st.DataObject) -> None:
    whole = array_bytes({"a": np.arange(400, dtype=np.int32), "b": np.zeros((2, 3), np.float32)})
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = reader(bytes(broken[: data.draw(st.integers(0, len(whole)))]))
        for name in found.names:
            dtype, shape = found.header(name)
            found.read(name, dtypes=(dtype,), shape=shape)
    except BundleError:
        pass


@pytest.mark.parametrize(
    "arrays", [{"a": np.zeros(1)}, {"A": np.zeros(1, np.int8)}, {"../a": np.zeros(1, np.int8)}]
)
def test_what_a_reader_would_refuse_is_not_written(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="cannot be stored"):
        array_bytes(arrays)
