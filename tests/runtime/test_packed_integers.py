"""Packed integers."""

from __future__ import annotations

import numpy as np
import pytest

from lerg_runtime.bundle import pack, unpack


@pytest.mark.parametrize(("bits", "dtype", "columns"), [(4, np.uint8, 3), (8, np.int8, 6), (16, np.int16, 6)])
def test_round_trip_over_the_whole_range(bits: int, dtype: type, columns: int) -> None:
    half = 1 << (bits - 1)
    codes = np.resize(np.linspace(-half, half - 1, 24).astype(np.int32), (4, 6))
    packed = pack(codes, bits=bits)
    assert (packed.dtype, packed.shape) == (dtype, (4, columns))
    assert np.array_equal(unpack(packed, bits=bits), codes)


def test_floats_stay_what_they_are() -> None:
    weights = np.array([[1.5, -1e30], [2.0**-149, 0.0]], np.float32)
    packed = pack(weights, bits=32)
    assert (packed.dtype, packed.tobytes()) == (np.float32, weights.tobytes())
    assert unpack(packed, bits=32) is packed


def test_four_bits_put_the_even_element_low() -> None:
    assert pack(np.array([[1, -1, -8, 7]]), bits=4).tolist() == [[0xF1, 0x78]]


@pytest.mark.parametrize(
    ("codes", "bits"), [([[8, 0]], 4), ([[-9, 0]], 4), ([[128]], 8), ([[1, 2, 3]], 4), ([[0]], 5)]
)
def test_what_does_not_fit_is_refused(codes: list[list[int]], bits: int) -> None:
    with pytest.raises(ValueError, match=r"bits|outside|even"):
        pack(np.array(codes), bits=bits)
