"""What kernels say of their working memory; test_estimate compares it with what they take."""

from __future__ import annotations

from typing import Any

import pytest

from lerg_runtime.planning import scratch_bytes

pytestmark = pytest.mark.native


def test_a_ranking_takes_more_for_more_ranks_and_users() -> None:
    sizes = {"items": 5000, "dim": 64}
    one = scratch_bytes("top_items", users=1, wanted=10, **sizes)
    # Two parts of the catalogue, each with a shortlist of twice the ranks, a candidate taking 8 bytes.
    assert scratch_bytes("top_items", users=1, wanted=1010, **sizes) - one == 2 * 2 * 1000 * 8
    assert scratch_bytes("top_items_int8", users=64, wanted=10, **sizes) > one


def test_the_largest_sizes_do_not_wrap() -> None:
    most = scratch_bytes("top_items", users=2**31 - 1, items=2**31 - 1, wanted=1 << 20, dim=1 << 16)
    assert most > 2**53


def test_layers_of_halves_take_less() -> None:
    sizes = {"users": 5000, "items": 4000, "edges": 50_000, "codebook_rows": 500, "codes_per_entity": 4}
    whole, half = (
        scratch_bytes("propagate_table", dim=64, layers=3, layer_bits=bits, **sizes) for bits in (32, 16)
    )
    assert whole - half == (5000 + 4000) * 64 * 2


@pytest.mark.parametrize(
    ("operator", "sizes", "sentence"),
    [
        ("dequantise", {}, "no operator named dequantise takes working memory"),
        ("top_items", {"ranks": 3}, "no call has a size named ranks"),
        ("top_items", {"users": -1}, "users must be from 0 to 2147483647"),
        ("top_items", {"users": 1 << 31}, "users must be from 0 to 2147483647"),
        ("top_items", {"users": 1 << 64}, "users must be from 0 to 2147483647"),
        ("top_items", {"users": 1.5}, "users must be from 0 to 2147483647"),
        ("propagate_rows", {"side": 2}, "side must be from 0 to 1"),
        ("propagate_rows", {"layers": 255}, "layers must be from 0 to 254"),
    ],
)
def test_what_no_call_has_is_refused(operator: str, sizes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        scratch_bytes(operator, **sizes)
