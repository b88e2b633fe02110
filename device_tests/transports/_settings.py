"""What a transport is told, from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_tests.transports._transport import DeviceError
from lerg_runtime.errors import InputError
from lerg_runtime.sizes import parse_size

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the device is, and what is on it.

    Attributes:
        address: what follows the colon of `--device KIND:ADDRESS`; empty without one.
        python: command that runs Python with the wheel there; empty for the transport's own.
        ssh_config: a file for `ssh -F`; None for the user's own.
    """

    address: str = ""
    python: str = ""
    ssh_config: Path | None = None

    def size(self, usual: str = "") -> int:
        """The address as a size in bytes, `usual` in place of an empty one.

        Raises:
            DeviceError: it is not a size.
        """
        try:
            return parse_size(self.address or usual, name="the address of --device")
        except InputError as error:
            raise DeviceError(str(error)) from None
