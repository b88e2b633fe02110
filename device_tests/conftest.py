"""`pytest device_tests --device KIND[:ADDRESS]` runs the contract; `--bundle FOLDER` on a bundle of yours."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device_tests.transports import (
    TRANSPORTS,
    WITH_ADDRESS,
    Completed,
    DeviceError,
    Transport,
    open_transport,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    kinds = ", ".join(f"{kind}:ADDRESS" if kind in WITH_ADDRESS else kind for kind in TRANSPORTS)
    parser.addoption("--device", default="local", help=f"{kinds}; see device_tests/README.md")
    parser.addoption("--device-python", default="", help="the command there that runs Python with the wheel")
    parser.addoption("--ssh-config", type=Path, help="a configuration file for ssh in place of your own")
    parser.addoption("--memory-budget", help="open bundles with it; learning may then be refused")
    parser.addoption("--bundle", type=Path, help="a bundle to use in place of small generated ones")
    parser.addoption(
        "--kept", type=Path, help="a folder that keeps the small generated ones for the next run"
    )


@dataclass(frozen=True, slots=True)
class Device:
    """A device with one bundle on it, and the memory budget of `--memory-budget`."""

    transport: Transport
    bundle: str
    budget: str | None = None

    def script(self, code: str, *arguments: object) -> Completed:
        """Runs `code` on the device, with `budget`, and the bundle's path and `arguments` as sys.argv[1:]."""
        code = f"budget = {self.budget!r}\n{code}"
        return self.transport.python("-c", code, self.bundle, *map(str, arguments))

    def command(self, name: str, *arguments: object) -> Completed:
        """Runs `lerg-edge NAME BUNDLE ARGUMENTS...` on the device."""
        return self.transport.python("-m", "lerg_runtime", name, self.bundle, *map(str, arguments))


LEARN = """
def learn(rec, *interactions, **options):
    # A report, or None where the budget of the command line is too small, which it then has to be.
    try:
        return rec.finetune(*interactions, **options)
    except BudgetError as error:
        if budget is None or error.needed_bytes <= error.budget_bytes:
            raise
        return None
"""

SHARED: dict[str, dict[str, Any]] = {
    "graph": {},
    "folded": {"propagation": "folded"},
    "portable": {"lowering": "portable"},
    "portable, folded": {"lowering": "portable", "propagation": "folded"},
}
PERSONAL: dict[str, dict[str, Any]] = {"personal": {}, "portable, personal": {"lowering": "portable"}}
FIXTURES = {"bundle_folder": SHARED, "personal_folder": PERSONAL}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    given = metafunc.config.getoption("--bundle")
    for name in FIXTURES.keys() & set(metafunc.fixturenames):
        kinds = ["given"] if given is not None else list(FIXTURES[name])
        metafunc.parametrize(name, kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def bundle_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the command line, or a small one of each kind that has users."""
    return _bundle(request, tmp_path_factory, form="shared")


@pytest.fixture(scope="session")
def personal_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the command line, or a small one of each kind that serves one person."""
    return _bundle(request, tmp_path_factory, form="personal")


def _bundle(request: pytest.FixtureRequest, folders: pytest.TempPathFactory, *, form: str) -> Path:
    given: Path | None = request.config.getoption("--bundle")
    if given is not None:
        its = json.loads((given / "manifest.json").read_text()).get("form", "shared")
        if its != form:
            pytest.skip(f"the bundle of --bundle is a {its} one")
        return given
    kept: Path | None = request.config.getoption("--kept")
    folder = kept if kept is not None else folders.mktemp("exported")
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / request.param.replace(", ", "-")
    with bundle.with_suffix(".lock").open("w") as lock:  # one process makes it, others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not bundle.exists():
            with tempfile.TemporaryDirectory(dir=folder) as beside:
                made = _export(Path(beside) / "bundle", request.param)
                os.rename(made, bundle)
    return bundle


def _export(target: Path, kind: str) -> Path:
    from lerg_exporter import build_bundle

    if kind in SHARED:
        return build_bundle(target, **SHARED[kind])
    from lerg_exporter.exporting.options import ExportOptions
    from lerg_exporter.exporting.personal import export_personal
    from lerg_exporter.exporting.small_bundle import small_dataset

    options = ExportOptions(
        personal=True, finetune=True, dim=16, epochs=3, max_k=32, device="cpu", **PERSONAL[kind]
    )
    export_personal(small_dataset(240, 90, 3_000), target, options)
    return target


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """The device of the command line; where it is not there, the run ends."""
    option = request.config.getoption
    try:
        opened = open_transport(
            option("--device"), python=option("--device-python"), ssh_config=option("--ssh-config")
        )
    except DeviceError as error:
        pytest.exit(str(error), returncode=2)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def local() -> Iterator[Transport]:
    """This machine, to compare answers with."""
    transport = open_transport("local")
    try:
        yield transport
    finally:
        transport.close()


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> str | None:
    found: str | None = request.config.getoption("--memory-budget")
    return found


@pytest.fixture
def device(transport: Transport, bundle_folder: Path, budget: str | None) -> Device:
    return Device(transport, transport.push(bundle_folder), budget)


@pytest.fixture
def here(local: Transport, bundle_folder: Path, budget: str | None) -> Device:
    return Device(local, local.push(bundle_folder), budget)


@pytest.fixture
def personal(transport: Transport, personal_folder: Path, budget: str | None) -> Device:
    return Device(transport, transport.push(personal_folder), budget)


@pytest.fixture
def personal_here(local: Transport, personal_folder: Path, budget: str | None) -> Device:
    return Device(local, local.push(personal_folder), budget)
