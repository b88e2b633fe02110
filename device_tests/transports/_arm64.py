"""arm64 processors in user-mode emulation: right answers; time and resident memory mean nothing."""

from __future__ import annotations

import shutil

from device_tests.transports._local import LocalTransport
from device_tests.transports._settings import Settings
from device_tests.transports._transport import Completed, DeviceError
from device_tests.transports.userland import BOOKWORM, NEEDED, RELEASES, arm64_wheel, emulated


class Arm64Transport(LocalTransport):
    """An arm64 processor without the dot product, a Raspberry Pi 4's, emulated over a Debian userland.

    The address is a release of Debian: bookworm (Python 3.11) without, trixie (3.13) or forky (3.14).

    Raises:
        DeviceError: the wheel is not built, a command is missing, or there is no such release.
    """

    cpu = "cortex-a72"

    def __init__(self, settings: Settings) -> None:
        missing = [name for name in NEEDED if shutil.which(name) is None]
        wheel = arm64_wheel()
        if missing or wheel is None:
            raise DeviceError(f"{', '.join(missing) or 'the wheel'} is not there; see device_tests/README.md")
        release = settings.address or BOOKWORM.name
        if release not in RELEASES:
            raise DeviceError(f"--device arm64:{release}: take one of {', '.join(RELEASES)}")
        super().__init__(settings)
        self._wheel, self._release = wheel, RELEASES[release]

    def python(self, *arguments: str) -> Completed:
        done = emulated(self._wheel, self.cpu, *arguments, cwd=self._folder, release=self._release)
        return Completed(done.returncode, done.stdout, done.stderr)


class Arm64DotTransport(Arm64Transport):
    """The same of a processor that has the dot product, a Raspberry Pi 5's."""

    cpu = "cortex-a76"
