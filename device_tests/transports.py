"""How the contract reaches a device: put a folder there, run Python there, read what it prints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command on the device left: its exit status and both of its streams."""

    status: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Standard output as one JSON value; AssertionError with both streams when the command failed."""
        assert self.status == 0, f"exit {self.status}\n{self.stdout}\n{self.stderr}"
        return json.loads(self.stdout)


class Transport(Protocol):
    """One device. A new kind of device is one class with these methods and a line in `TRANSPORTS`."""

    def push(self, source: Path) -> str:
        """Copies a file or folder to the device and returns its path there."""

    def python(self, *arguments: str) -> Completed:
        """Runs the device's Python, which has the runtime's wheel, with these arguments."""

    def close(self) -> None:
        """Removes what was put on the device."""


class LocalTransport:
    """This machine, in a folder of its own and with a process a command."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="lerg-device-"))

    def push(self, source: Path) -> str:
        target = self._folder / source.name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
        return str(target)

    def python(self, *arguments: str) -> Completed:
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=self._folder)
        return Completed(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class Arm64Transport(LocalTransport):
    """An arm64 processor without the dot product, a Raspberry Pi 4's, emulated over a Debian userland.

    Raises:
        FileNotFoundError: the wheel is not built, or a command is missing.
    """

    cpu = "cortex-a72"

    def __init__(self) -> None:
        from device_tests.userland import NEEDED, arm64_wheel

        missing = [name for name in NEEDED if shutil.which(name) is None]
        wheel = arm64_wheel()
        if missing or wheel is None:
            raise FileNotFoundError(
                f"{', '.join(missing) or 'the wheel'} is not there; see device_tests/README.md"
            )
        super().__init__()
        self._wheel = wheel

    def python(self, *arguments: str) -> Completed:
        from device_tests.userland import emulated

        done = emulated(self._wheel, self.cpu, *arguments, cwd=self._folder)
        return Completed(done.returncode, done.stdout, done.stderr)


class Arm64DotTransport(Arm64Transport):
    """The same of a processor that has the dot product, a Raspberry Pi 5's."""

    cpu = "cortex-a76"


TRANSPORTS: dict[str, type[Transport]] = {
    "local": LocalTransport,
    "arm64": Arm64Transport,
    "arm64-dot": Arm64DotTransport,
}
