"""What all tests share: quiet thread pools, deterministic property tests, and data to work on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Before numpy, torch or polars is imported anywhere: tests are small, and threads only get in their way.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

if TYPE_CHECKING:
    from lerg_edge.data.interactions import Interactions

# The same examples every time, and no deadline that a busy machine would miss.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the public sets, ``lastfm`` and ``gowalla``; tests that need it skip without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LERG_DATA", beside))
    if not (folder / "lastfm" / "train.txt").exists():
        pytest.skip(f"no data in {folder}: set LERG_DATA to a folder with lastfm/ and gowalla/")
    return folder


@pytest.fixture(scope="session")
def interactions() -> Interactions:
    """A small generated set: 120 users, 90 items, 1,500 pairs in six communities."""
    from lerg_edge.data.synthetic import generate

    return generate(120, 90, 1_500, communities=6, seed=7)
