"""Array files: the same bytes every time, and nothing but what is expected is read."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerg_runtime.bundle._npz import NpzReader, npz_bytes, smallest_unsigned
from lerg_runtime.errors import BundleError

DTYPES = ["bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float32"]


def reader(data: bytes) -> NpzReader:
    return NpzReader(io.BytesIO(data), "file")


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), max_size=3), st.integers(0, 2**32 - 1))
def test_arrays_come_back_and_numpy_reads_them_too(dtype: str, shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 2, size=shape).astype(dtype)
    data = npz_bytes({"a": array, "b": np.zeros(3, np.int64)})
    assert data == npz_bytes({"b": np.zeros(3, np.int64), "a": array.copy(order="F")})
    found = reader(data).read("a", dtypes=(dtype,), shape=tuple(shape))
    assert found.dtype == dtype
    assert np.array_equal(found, array)
    with np.load(io.BytesIO(data)) as arrays:
        assert np.array_equal(arrays["a"], array)


def test_golden_bytes() -> None:
    # Small arrays are stored as they are, so these bytes do not depend on the compressor.
    data = npz_bytes({"b": np.array(7, np.int64), "a": np.arange(4, dtype=np.uint8)})
    assert (
        hashlib.sha256(data).hexdigest() == "e6210756f222f9306ffbae68266eea134269ebe88ad83a9b1d2d1f5fe9e29bed"
    )


def test_a_digest_does_not_change_the_size() -> None:
    digests = (bytes(32), bytes(range(32)), bytes(range(200, 232)))
    assert len({len(npz_bytes({"bundle": np.frombuffer(digest, np.uint8)})) for digest in digests}) == 1


@pytest.mark.parametrize(
    ("largest", "dtype"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65_536, "uint32")]
)
def test_smallest_unsigned(largest: int, dtype: str) -> None:
    assert smallest_unsigned(largest) == dtype


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an array file"),
        (b"PK\x05\x06" + bytes(10), "not an array file"),
        (npz_bytes({"a": np.arange(9)})[:-30], "not an array file"),
        (archive(**{"../a__npy": b""}), "member '../a.npy'"),
        (archive(a__txt=b""), "member 'a.txt'"),
        (archive(**{f"a{index}__npy": b"" for index in range(65)}), "more than 64"),
    ],
    ids=["empty", "no directory", "truncated", "leaves the folder", "other file", "many"],
)
def test_files_that_are_refused_at_once(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        reader(data)


def oversized() -> bytes:
    content = npy(np.zeros(4, np.uint8))
    return content.replace(b"(4,)", b"(9,)") + bytes(0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        npy(np.zeros(4, np.uint8))[:-1],
        npy(np.zeros(4, np.uint8)) + b"x",
        oversized(),
        npy(np.zeros(4, np.float64)),
        npy(np.zeros(4, ">i4")),
        npy(np.asfortranarray(np.zeros((2, 2), np.int8))),
        npy(np.zeros(4, np.uint8), version=(2, 0)),
        npy(np.zeros(4, np.uint8)).replace(b"(4,)", b"-4, "),
        npy(np.zeros(4, [("a", "u1")])),
        np.lib.format.magic(1, 0) + b"\xff\xff" + b" " * 65535,
        pickle.dumps([1, 2]),
    ],
    ids=[
        *("empty", "text", "short", "long", "larger header", "float64", "big endian", "fortran", "version 2"),
        *("negative", "record", "long header", "pickle"),
    ],
)
def test_arrays_that_are_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="file: array a is damaged"):
        reader(archive(a__npy=content)).read("a", dtypes=tuple(DTYPES), shape=(None,))


def test_objects_are_never_unpickled() -> None:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BundleError, match="damaged"):
        reader(archive(a__npy=stream.getvalue())).header("a")


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
        reader(npz_bytes({"a": np.arange(3)})).read(name, dtypes=dtypes, shape=shape, allocate=allocate)


def test_a_changed_byte_is_found_by_the_checksum() -> None:
    data = bytearray(npz_bytes({"a": np.arange(8, dtype=np.uint8)}))
    data[data.index(bytes(range(8))) + 3] ^= 1
    with pytest.raises(BundleError, match="damaged"):
        reader(bytes(data)).read("a", dtypes=("uint8",), shape=(8,))


@given(st.data())
def test_no_damage_gives_another_error(data: st.DataObject) -> None:
    whole = npz_bytes({"a": np.arange(400, dtype=np.int32), "b": np.zeros((2, 3), np.float32)})
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
        npz_bytes(arrays)
