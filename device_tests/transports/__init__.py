"""How the contract reaches a device. `TRANSPORTS` has the kinds that `--device KIND[:ADDRESS]` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from device_tests.transports._adb import AdbTransport
from device_tests.transports._arm64 import Arm64DotTransport, Arm64Transport
from device_tests.transports._arm64_system import Arm64SystemTransport
from device_tests.transports._limited import AddressSpaceTransport, ControlGroupTransport
from device_tests.transports._local import LocalTransport
from device_tests.transports._settings import Settings
from device_tests.transports._ssh import SshTransport
from device_tests.transports._transport import Completed, DeviceError, Transport

__all__ = [
    "TRANSPORTS",
    "WITH_ADDRESS",
    "Completed",
    "DeviceError",
    "Settings",
    "Transport",
    "open_transport",
]

TRANSPORTS: dict[str, Callable[[Settings], Transport]] = {
    "local": LocalTransport,
    "arm64": Arm64Transport,
    "arm64-dot": Arm64DotTransport,
    "arm64-system": Arm64SystemTransport,
    "cgroup": ControlGroupTransport,
    "rlimit": AddressSpaceTransport,
    "ssh": SshTransport,
    "adb": AdbTransport,
}
WITH_ADDRESS = ("arm64", "arm64-dot", "arm64-system", "cgroup", "rlimit", "ssh", "adb")


def open_transport(device: str, *, python: str = "", ssh_config: Path | None = None) -> Transport:
    """The device of `--device`.

    Raises:
        DeviceError: there is no such kind, an address is missing or too much, or it cannot be reached.
    """

    kind, _, address = device.partition(":")
    if kind not in TRANSPORTS:
        raise DeviceError(f"--device {device}: there is no {kind!r}; take one of {', '.join(TRANSPORTS)}")
    if address and kind not in WITH_ADDRESS:
        raise DeviceError(f"--device {device}: {kind} has no address")
    return TRANSPORTS[kind](Settings(address=address, python=python, ssh_config=ssh_config))
