"""`pytest device_tests --device KIND[:ADDRESS]` runs the contract; `--bundle FOLDER` on a bundle of yours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_tests.transports import Completed, DeviceError, Transport, open_transport


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", default="local", help="local, arm64, arm64-dot, ssh:user@host[:port], adb:SERIAL"
    )
    parser.addoption("--device-python", default="", help="the command there that runs Python with the wheel")
    parser.addoption("--ssh-config", type=Path, help="a configuration file for ssh in place of your own")
    parser.addoption("--bundle", type=Path, help="a bundle to use in place of a small generated one")


@dataclass(frozen=True, slots=True)
class Device:
    """A device with one bundle on it."""

    transport: Transport
    bundle: str

    def script(self, code: str, *arguments: object) -> Completed:
        """Runs `code` on the device with the bundle's path and `arguments` as sys.argv[1:]."""
        return self.transport.python("-c", code, self.bundle, *map(str, arguments))

    def command(self, name: str, *arguments: object) -> Completed:
        """Runs `lerg-edge NAME BUNDLE ARGUMENTS...` on the device."""
        return self.transport.python("-m", "lerg_runtime", name, self.bundle, *map(str, arguments))


KINDS = {
    "graph": {},
    "folded": {"propagation": "folded"},
    "portable": {"lowering": "portable"},
    "portable, folded": {"lowering": "portable", "propagation": "folded"},
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bundle_folder" in metafunc.fixturenames:
        given = metafunc.config.getoption("--bundle")
        kinds = ["given"] if given is not None else list(KINDS)
        metafunc.parametrize("bundle_folder", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def bundle_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the command line, or a small one of each kind."""
    given: Path | None = request.config.getoption("--bundle")
    if given is not None:
        return given
    from lerg_exporter import build_bundle

    return build_bundle(tmp_path_factory.mktemp("exported") / "bundle", **KINDS[request.param])


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
def device(transport: Transport, bundle_folder: Path) -> Device:
    return Device(transport, transport.push(bundle_folder))


@pytest.fixture
def here(bundle_folder: Path) -> Iterator[Device]:
    """The same bundle on this machine, to compare answers with."""
    transport = open_transport("local")
    try:
        yield Device(transport, transport.push(bundle_folder))
    finally:
        transport.close()
