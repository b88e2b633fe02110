"""What every transport is: put a file or folder on a device, run Python there, read what it printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Completed", "DeviceError", "Transport"]


class DeviceError(Exception):
    """The device cannot be reached, or lacks what the contract needs; the message says what to do."""


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
    """One device. A new kind of device is one file with a class like this and a line in `TRANSPORTS`."""

    def push(self, source: Path) -> str:
        """Copies a file or folder to the device and returns its path there.

        Raises:
            DeviceError: the device cannot be reached or has no room.
        """

    def python(self, *arguments: str) -> Completed:
        """Runs the device's Python, which has the runtime's wheel, with these arguments.

        Raises:
            DeviceError: the device cannot be reached.
        """

    def close(self) -> None:
        """Removes what was put on the device."""
