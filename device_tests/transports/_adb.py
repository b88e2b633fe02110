"""An Android device or emulator that is reached by adb. It was never run on hardware, see the README."""

from __future__ import annotations

import shlex
import subprocess
import uuid
from pathlib import Path

from device_tests.transports._settings import Settings
from device_tests.transports._transport import Completed, DeviceError

_HOME = "/data/local/tmp"  # where the shell user may write and run programs


class AdbTransport:
    """`adb:SERIAL`: one of those that `adb devices` lists.

    The device needs Python with the wheel, which Android has not by itself: `--device-python` names it.

    Raises:
        DeviceError: no serial is given, or the device is not there, not authorised, or offline.
    """

    def __init__(self, settings: Settings) -> None:
        if not settings.address:
            raise DeviceError("--device adb: write adb:SERIAL, one of those that `adb devices` lists")
        self._serial = settings.address
        self._python = settings.python or "python3"
        self._folder = f"{_HOME}/lerg-{uuid.uuid4().hex[:12]}"
        self._adb("shell", f"mkdir {self._folder}")

    def push(self, source: Path) -> str:
        target = f"{self._folder}/{source.name}"
        self._adb("push", str(source), target)
        return target

    def python(self, *arguments: str) -> Completed:
        words = " ".join(map(shlex.quote, arguments))
        done = self._adb("shell", f"cd {self._folder} && {self._python} {words}", may_fail=True)
        if done.status == 127:
            raise DeviceError(
                f"{self._serial} has no {self._python}: name a Python with the wheel by --device-python"
            )
        return done

    def close(self) -> None:
        self._adb("shell", f"rm -rf {self._folder}")

    def _adb(self, *words: str, may_fail: bool = False) -> Completed:
        command = ["adb", "-s", self._serial, *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise DeviceError("adb is not there: install Android's platform tools") from None
        lost = done.stderr.startswith(("adb: ", "error: "))
        if done.returncode and (lost or not may_fail):
            said = (done.stderr or done.stdout).strip().removeprefix("adb: ").removeprefix("error: ")
            raise DeviceError(f"{self._serial} does not do `{shlex.join(words)}`: {said}")
        return Completed(done.returncode, done.stdout, done.stderr)
