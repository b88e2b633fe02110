"""This machine with little memory: by a control group of the kernel's, or by a limit of the address space."""

from __future__ import annotations

import uuid
from pathlib import Path

from device_tests.transports._local import LocalTransport
from device_tests.transports._settings import Settings
from device_tests.transports._transport import DeviceError

_GROUPS = Path("/sys/fs/cgroup")


class AddressSpaceTransport(LocalTransport):
    """`rlimit:SIZE`: so much address space, libraries and stacks included."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, first=f"ulimit -v {settings.size() // 1024}")


class ControlGroupTransport(LocalTransport):
    """`cgroup:SIZE`: so much memory for the processes of a test together, what files they read included.

    Raises:
        DeviceError: the kernel has no memory controller here, or it is not ours to use.
    """

    def __init__(self, settings: Settings) -> None:
        size = settings.size()
        controllers = _GROUPS / "cgroup.controllers"
        second = controllers.exists() and "memory" in controllers.read_text().split()
        root, limit = (_GROUPS, "memory.max") if second else (_GROUPS / "memory", "memory.limit_in_bytes")
        self._group = root / f"lerg-{uuid.uuid4().hex[:12]}"
        try:
            self._group.mkdir()
            (self._group / limit).write_text(str(size))
        except OSError as error:
            raise DeviceError(f"--device cgroup: no memory controller to use here: {error}") from None
        super().__init__(settings, first=f"echo $$ > {self._group}/cgroup.procs")

    def close(self) -> None:
        super().close()
        self._group.rmdir()
