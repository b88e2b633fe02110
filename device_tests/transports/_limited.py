"""This machine with little memory: by a control group of the kernel's, or by a limit of the address space."""

from __future__ import annotations

from dataclasses import replace

from device_tests.control_group import ControlGroup
from device_tests.transports._local import LocalTransport
from device_tests.transports._settings import Settings
from device_tests.transports._transport import DeviceError

_LOADED = """
import lerg_runtime.cli._main, lerg_runtime._native
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize:")))
"""


class AddressSpaceTransport(LocalTransport):
    """`rlimit:SIZE`: so much address space, libraries and stacks included.

    `rlimit:+SIZE` is so much over what Python maps with the libraries loaded.

    Raises:
        DeviceError: that could not be measured.
    """

    def __init__(self, settings: Settings) -> None:
        kibibytes = replace(settings, address=settings.address.removeprefix("+")).size() // 1024
        super().__init__(settings)
        if settings.address.startswith("+"):
            loaded = self.python("-c", _LOADED)
            if loaded.status:
                raise DeviceError(f"--device rlimit: {loaded.stderr.strip()}")
            kibibytes += int(loaded.stdout)
        self._first = f"ulimit -v {kibibytes}"


class ControlGroupTransport(LocalTransport):
    """`cgroup:SIZE`: so much memory for the processes of a test together, what files they read included.

    Raises:
        DeviceError: the kernel has no memory controller here, or it is not ours to use.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            self._group = ControlGroup(settings.size())
        except OSError as error:
            raise DeviceError(f"--device cgroup: no memory controller to use here: {error}") from None
        super().__init__(settings, first=f"echo $$ > {self._group.processes}")

    def close(self) -> None:
        super().close()
        self._group.close()
