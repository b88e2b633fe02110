"""This machine as the device."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from device_tests.transports._settings import Settings
from device_tests.transports._transport import Completed


class LocalTransport:
    """This machine, in a folder of its own and with a process a command.

    `first` is a line of the shell that each process begins with, to limit itself.
    """

    def __init__(self, settings: Settings, *, first: str = ":") -> None:
        self._first = first
        self._python = settings.python or sys.executable
        self._folder = Path(tempfile.mkdtemp(prefix="lerg-device-"))

    def push(self, source: Path) -> str:
        target = self._folder / source.name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
        return str(target)

    def python(self, *arguments: str) -> Completed:
        command = ["sh", "-c", f'{self._first} && exec "$0" "$@"', self._python, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder)
        return Completed(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
