"""Bundles to test the runtime on: small ones with a fake program, and real ones from the exporter."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lerg_runtime

sys.path.insert(0, str(Path(__file__).parent))

import _fake_native
from _real import RealBundle, write_real
from _shell import Shell
from _tiny import LONER, TinyModel, tiny_model, write_tiny


@pytest.fixture
def fake_native(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs of `write_tiny` can be run while the test lasts."""
    monkeypatch.setitem(sys.modules, "lerg_runtime._native", _fake_native)
    monkeypatch.setattr(lerg_runtime, "_native", _fake_native, raising=False)
    return


@pytest.fixture(scope="session")
def model() -> TinyModel:
    """30 users, 40 items, 8 bits."""
    return tiny_model()


@pytest.fixture
def tiny_bundle(tmp_path: Path, model: TinyModel, fake_native: None) -> Path:
    """A bundle of `model` with text ids, which the test may change."""
    return write_tiny(tmp_path / "bundle", model)


@pytest.fixture
def lonely(model: TinyModel) -> TinyModel:
    """`model`, one of whose pruned users has touched nothing."""
    assert not model.retained_users[LONER]
    keep = model.pairs[0] != LONER
    return replace(model, pairs=tuple(part[keep] for part in model.pairs))


REAL: dict[str, dict[str, Any]] = {
    "8 bits": {},
    "4 bits a row": {"bits": 4, "per_row": True},
    "blocks": {"blocks": 8},
    "32 bits": {"bits": 32},
    "folded": {"entries": 8},
    "portable": {"lowering": "portable"},
    "portable, 16 bits": {"lowering": "portable", "bits": 16},
    "portable, folded": {"lowering": "portable", "entries": 6},
}


@pytest.fixture(scope="session", params=REAL)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RealBundle:
    """A bundle with a traced program, for tests that only read it."""
    return write_real(tmp_path_factory.mktemp("real") / "bundle", **REAL[request.param])


@pytest.fixture
def bundle(real: RealBundle, tmp_path: Path) -> Path:
    """A copy of `real` that the test may change."""
    return Path(shutil.copytree(real.folder, tmp_path / "bundle"))


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs commands of `lerg-edge`."""
    return Shell(capsys)
